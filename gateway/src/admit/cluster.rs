//! Commands about the cluster itself, and about objects that were parked.

use super::{Admitted, Refusal};
use crate::resolve;
use skep_projections::View;
use skep_proto::{
    Id,
    time::SECOND_NS,
    v1::{ClusterSpec, ClusterUpdated, ObjectReleased, ReleaseObject, UpdateCluster, event::Kind},
};

/// The shortest heartbeat period that may be asked for: below it, silence would be noise.
const HEARTBEAT_PERIOD_NS_MIN: u64 = SECOND_NS / 10;

pub(super) fn update(view: &View, command: &UpdateCluster) -> Result<Admitted, Refusal> {
    let cluster = view.cluster();
    let spec = command.spec.as_ref().ok_or_else(|| Refusal::invalid("the update has no spec"))?;
    if command.version != cluster.version.0 {
        return Err(Refusal::out_of_sequence(format!(
            "the cluster is at version {}, the update was made for version {}",
            cluster.version, command.version
        ))
        .hint("read it again and repeat the change"));
    }
    if spec.heartbeat_period_ns.is_some_and(|period| period < HEARTBEAT_PERIOD_NS_MIN) {
        return Err(Refusal::invalid("the heartbeat period must be at least 100 ms"));
    }
    built(spec)?;
    if *spec == *cluster.spec {
        return Ok(Admitted::unchanged(cluster.id));
    }
    Ok(Admitted::one(cluster.id, Kind::ClusterUpdated(Box::new(ClusterUpdated { spec: Some(spec.clone()) }))))
}

/// Settings whose behaviour is not built are refused, so that nobody believes in them.
fn built(spec: &ClusterSpec) -> Result<(), Refusal> {
    let unbuilt = [
        (spec.node_certificate_expiry_ns.is_some(), "certificate expiry"),
        (spec.default_log_driver.is_some(), "a default log driver"),
        (spec.auto_lock, "autolock"),
        (!spec.default_address_pools.is_empty() || spec.subnet_size != 0, "address pools"),
        (spec.data_path_port != 0, "the data path port"),
        (!spec.external_cas.is_empty() || spec.ca_force_rotate != 0, "certificate authorities"),
    ];
    match unbuilt.iter().find(|(asked, _)| *asked) {
        Some((_, what)) => Err(Refusal::unsupported(format!("{what} is not supported yet"))),
        None => Ok(()),
    }
}

pub(super) fn release(view: &View, command: &ReleaseObject) -> Result<Admitted, Refusal> {
    let id = parked_id(view, &command.object)?;
    if view.parked(id).is_none() {
        return Ok(Admitted::unchanged(id));
    }
    Ok(Admitted::one(id, Kind::ObjectReleased(ObjectReleased { object_id: id.to_bytes() })))
}

fn parked_id(view: &View, reference: &str) -> Result<Id, Refusal> {
    if let Some(id) = Id::parse(reference) {
        return Ok(id);
    }
    let service = resolve::service(view, reference)?;
    view.services()
        .get(service)
        .map(|row| row.id)
        .ok_or_else(|| Refusal::not_found(format!("nothing is named {reference:?}")))
}
