//! Commands about the cluster itself, and about objects that were parked.

use super::{Admitted, Refusal, certificates::no_authority, is_ready, is_up, votes};
use crate::resolve::{self, Noun, ResolveError};
use skep_projections::{NodeRow, View};
use skep_proto::{
    AUTOLOCK_LEVEL, Id,
    time::{DAY_NS, SECOND_NS},
    v1::{
        ClusterSpec, ClusterUpdated, ObjectReleased, ReleaseObject, UnlockKeyRotated,
        UpdateCluster, event::Kind,
    },
};
use skep_reconcilers::Entropy;
use skep_trust::validity::EXPIRY_NS_MIN;

/// The shortest heartbeat period that may be asked for: below it a busy machine would count as
/// silent.
const HEARTBEAT_PERIOD_NS_MIN: u64 = SECOND_NS / 10;
/// The longest heartbeat period that may be asked for: a dead node is noticed after three of them.
const HEARTBEAT_PERIOD_NS_MAX: u64 = 3_600 * SECOND_NS;
/// The longest life of a node's certificate that may be asked for; the root's is twice as long.
const CERTIFICATE_EXPIRY_NS_MAX: u64 = 10 * 365 * DAY_NS;

pub(super) fn update(
    view: &View,
    command: &UpdateCluster,
    entropy: &Entropy,
) -> Result<Admitted, Refusal> {
    let cluster = view.cluster();
    let spec = command.spec.as_ref().ok_or_else(|| Refusal::invalid("the update has no spec"))?;
    if command.version != cluster.version.0 {
        return Err(Refusal::overtaken(
            "the cluster",
            command.version,
            cluster.version,
            &cluster.changed_by,
        ));
    }
    check_cluster(spec)?;
    if *spec == *cluster.spec {
        return Ok(Admitted::unchanged(cluster.id));
    }
    let updated = Kind::ClusterUpdated(Box::new(ClusterUpdated { spec: Some(spec.clone()) }));
    let mut admitted = Admitted::one(cluster.id, updated);
    if spec.auto_lock && !cluster.spec.auto_lock {
        // Each time that the cluster is locked it has a new key, as Swarm's.
        admitted.events.extend(fresh_key(view, entropy)?.events);
        let away = managers_away(view);
        let warning = format!("{away}: away now, and its keys lie in the clear until it is back");
        admitted.warnings.extend((!away.is_empty()).then_some(warning));
    } else if cluster.spec.auto_lock && !spec.auto_lock {
        admitted.warnings.extend(warned_of_locked(view));
    }
    Ok(admitted)
}

/// Another key unlocks managers from now on.
pub(super) fn rotate_unlock_key(view: &View, entropy: &Entropy) -> Result<Admitted, Refusal> {
    let rotated = fresh_key(view, entropy)?;
    match view.cluster().spec.auto_lock {
        true => Ok(Admitted { warnings: warned_of_locked(view), ..rotated }),
        false => Err(Refusal::precondition("managers of this cluster are not locked")
            .hint("`skep cluster update --autolock` locks them")),
    }
}

fn fresh_key(view: &View, entropy: &Entropy) -> Result<Admitted, Refusal> {
    if view.level() < AUTOLOCK_LEVEL {
        let message = "a manager of this cluster is older and can't be locked";
        return Err(Refusal::precondition(message).hint("upgrade every manager first"));
    }
    if view.cluster().authority.is_none() {
        return Err(no_authority());
    }
    let rotated = UnlockKeyRotated { salt: entropy.id().to_bytes() };
    Ok(Admitted::one(view.cluster().id, Kind::UnlockKeyRotated(rotated)))
}

/// Managers that are away keep the key of before until they have been unlocked once more.
fn warned_of_locked(view: &View) -> Vec<String> {
    let away = managers_away(view);
    let warning = format!("{away}: away now, and needs the unlock key of before at its next start");
    (!away.is_empty()).then_some(warning).into_iter().collect()
}

/// Their names. Of those that do not vote yet nobody records whether they answer.
fn managers_away(view: &View) -> String {
    let is_away = |row: &&NodeRow| match votes(view, row) {
        true => !is_ready(view, row),
        false => !is_up(row),
    };
    let managers = view.managers().map(|(_, row)| row).filter(|row| row.manager.is_some());
    let names: Vec<&str> = managers.filter(is_away).map(|row| row.hostname()).collect();
    names.join(", ")
}

/// Refuses settings that no cluster can have.
pub fn check_cluster(spec: &ClusterSpec) -> Result<(), Refusal> {
    let bounds = HEARTBEAT_PERIOD_NS_MIN..=HEARTBEAT_PERIOD_NS_MAX;
    if spec.heartbeat_period_ns.is_some_and(|period| !bounds.contains(&period)) {
        return Err(Refusal::invalid("the heartbeat period must be 100 ms to 1 h"));
    }
    let bounds = EXPIRY_NS_MIN..=CERTIFICATE_EXPIRY_NS_MAX;
    if spec.node_certificate_expiry_ns.is_some_and(|expiry| !bounds.contains(&expiry)) {
        return Err(Refusal::invalid("certificates must be valid for 1 h to 10 years"));
    }
    built(spec)
}

/// Refuses settings that nothing acts on yet: nothing asked for is ignored.
fn built(spec: &ClusterSpec) -> Result<(), Refusal> {
    let unbuilt = [
        (spec.default_log_driver.is_some(), "a default log driver"),
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
        let warnings = vec![format!("{} is not parked: nothing was changed", command.object)];
        return Ok(Admitted { warnings, ..Admitted::unchanged(id) });
    }
    Ok(Admitted::one(id, Kind::ObjectReleased(ObjectReleased { object_id: id.to_bytes() })))
}

fn parked_id(view: &View, reference: &str) -> Result<Id, Refusal> {
    if reference.is_empty() {
        return Err(ResolveError::Empty(Noun::Object).into());
    }
    if let Some(id) = Id::parse(reference) {
        return Ok(id);
    }
    let service =
        resolve::service(view, reference).ok().and_then(|index| view.services().get(index));
    let node = || resolve::node(view, reference).ok().and_then(|index| view.nodes().get(index));
    let found = service.map(|row| row.id).or_else(|| node().map(|row| row.id));
    found.ok_or_else(|| {
        Refusal::not_found(format!("no service and no node is named {reference:?}"))
            .hint("`skep doctor` names what is parked")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_projections::fixture::{World, id};

    fn released(story: &str, object: &str) -> Result<Admitted, Refusal> {
        release(&World::of(story).view, &ReleaseObject { object: object.into() })
    }

    #[test]
    fn a_parked_object_is_released_by_name_or_id() {
        for object in ["web", id("service", "web").to_string().as_str()] {
            let admitted = released("service web | park web", object).expect("it is parked");
            let expected = ObjectReleased { object_id: id("service", "web").to_bytes() };
            assert_eq!(
                admitted.events,
                [(skep_proto::Revision::ZERO, Kind::ObjectReleased(expected))]
            );
        }
    }

    #[test]
    fn one_that_is_not_parked_stays_as_it_is_and_the_caller_hears_so() {
        let admitted = released("node n1", "n1").expect("it is there");
        assert_eq!(admitted.events, []);
        assert_eq!(admitted.warnings, ["n1 is not parked: nothing was changed"]);
    }

    #[test]
    fn what_is_not_there_is_refused_with_where_to_look() {
        let refusal = released("service web | park web", "wbe").expect_err("there is none");
        assert_eq!(refusal.message, "no service and no node is named \"wbe\"");
        assert!(refusal.hint.contains("skep doctor"), "{refusal:?}");
    }
}
