//! Commands about services: created whole, replaced whole, scaled, removed.

use super::{Admitted, Refusal, ports, sameness, spec};
use crate::resolve;
use skep_projections::{ServiceRow, View};
use skep_proto::{
    Revision,
    json::changed_fields,
    v1::{
        CreateService, RemoveService, ScaleService, ServiceCreated, ServiceRemoved, ServiceScaled,
        ServiceSpec, ServiceUpdated, UpdateService, event::Kind, service_mode::Mode,
    },
};
use skep_reconcilers::Entropy;

/// Replicas one service may ask for; more are refused, since each becomes a task in memory.
pub(super) const REPLICAS_MAX: u64 = 1_000_000;

pub(super) fn create(
    view: &View,
    command: &CreateService,
    entropy: &Entropy,
) -> Result<Admitted, Refusal> {
    let spec = command.spec.as_ref().ok_or_else(|| Refusal::invalid("the service has no spec"))?;
    spec::validate(view, spec)?;
    replicas_within_bound(spec)?;
    let name = name_of(Some(spec));
    if let Some(taken) = view.service_named(name).and_then(|index| view.services().get(index)) {
        return Err(Refusal::exists(format!(
            "a service named {name:?} exists already ({})",
            taken.id
        ))
        .hint(format!("choose another --name, or change it with `skep service update {name}`")));
    }
    let id = entropy.id();
    let warnings = warnings(view, spec);
    let created = ServiceCreated { service_id: id.to_bytes(), spec: Some(spec.clone()) };
    Ok(Admitted {
        events: vec![(Revision::ZERO, Kind::ServiceCreated(Box::new(created)))],
        object: id,
        warnings,
    })
}

pub(super) fn update(view: &View, command: &UpdateService) -> Result<Admitted, Refusal> {
    let row = find(view, &command.service)?;
    let spec = command.spec.as_ref().ok_or_else(|| Refusal::invalid("the update has no spec"))?;
    if command.version != row.version.0 {
        let what = format!("service {}", row.name());
        return Err(Refusal::overtaken(&what, command.version, row.version, &row.changed_by));
    }
    spec::validate(view, spec)?;
    replicas_within_bound(spec)?;
    if name_of(Some(spec)) != row.name() {
        return Err(Refusal::unsupported(format!("service {} can't be renamed", row.name()))
            .hint("create a new service and remove this one"));
    }
    let spec = sameness::as_written_before(&row.spec, spec);
    if spec == *row.spec {
        return Ok(Admitted::unchanged(row.id));
    }
    let kind = match only_replicas_changed(&row.spec, &spec) {
        Some(replicas) => {
            Kind::ServiceScaled(ServiceScaled { service_id: row.id.to_bytes(), replicas })
        }
        None => Kind::ServiceUpdated(Box::new(ServiceUpdated {
            service_id: row.id.to_bytes(),
            changed_fields: changed_fields(row.spec.as_ref(), &spec),
            spec: Some(spec),
        })),
    };
    let warnings = warnings(view, command.spec.as_ref().unwrap_or(&row.spec));
    Ok(Admitted { warnings, ..Admitted::one(row.id, kind) })
}

fn warnings(view: &View, spec: &ServiceSpec) -> Vec<String> {
    let mut warnings = ports::warnings(view, spec);
    warnings.extend(spec::warnings(view, spec));
    warnings
}

pub(super) fn scale(view: &View, command: &ScaleService) -> Result<Admitted, Refusal> {
    let row = find(view, &command.service)?;
    if command.replicas > REPLICAS_MAX {
        return Err(too_many(command.replicas));
    }
    if row.replicas() == command.replicas {
        return Ok(Admitted::unchanged(row.id));
    }
    let scaled = ServiceScaled { service_id: row.id.to_bytes(), replicas: command.replicas };
    Ok(Admitted::one(row.id, Kind::ServiceScaled(scaled)))
}

pub(super) fn remove(view: &View, command: &RemoveService) -> Result<Admitted, Refusal> {
    let row = find(view, &command.service)?;
    Ok(Admitted::one(
        row.id,
        Kind::ServiceRemoved(ServiceRemoved { service_id: row.id.to_bytes() }),
    ))
}

/// The name a spec gives.
pub(super) fn name_of(spec: Option<&ServiceSpec>) -> &str {
    spec.and_then(|s| s.annotations.as_ref()).map_or("", |a| &a.name)
}

fn replicas_within_bound(spec: &ServiceSpec) -> Result<(), Refusal> {
    match skep_proto::defaults::replicas(spec) {
        Some(wanted) if wanted > REPLICAS_MAX => Err(too_many(wanted)),
        Some(_) | None => Ok(()),
    }
}

fn too_many(wanted: u64) -> Refusal {
    Refusal::invalid(format!(
        "{wanted} replicas are more than the {REPLICAS_MAX} one service may have"
    ))
    .hint("spread them over several services")
}

/// The new number, where nothing but the number of replicas differs.
fn only_replicas_changed(old: &ServiceSpec, new: &ServiceSpec) -> Option<u64> {
    let replicas = skep_proto::defaults::replicas(new)?;
    let mut same = new.clone();
    same.mode.clone_from(&old.mode);
    let was_replicated = matches!(old.mode.as_ref()?.mode.as_ref()?, Mode::Replicated(_));
    (was_replicated && same == *old).then_some(replicas)
}

fn find<'a>(view: &'a View, reference: &str) -> Result<&'a ServiceRow, Refusal> {
    let index = resolve::service(view, reference)?;
    view.services()
        .get(index)
        .ok_or_else(|| Refusal::not_found(format!("no service {reference:?}")))
}
