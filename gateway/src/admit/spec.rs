//! Whether a service's spec makes sense, and whether any node could ever run it. PURE.
//!
//! Whatever is admitted is tried again and again, so a spec that no engine takes is refused here,
//! while somebody is there to read why. Each refusal names the field and says what to write
//! instead.

mod accounts;
mod container;
mod image;
mod mounts;
mod resources;
mod text;

pub(super) use text::{has_control, label};

use super::{Refusal, unsupported};
use skep_projections::View;
use skep_proto::{
    constraint::Constraint,
    time::SECOND_NS,
    v1::{
        NetworkAttachment, Placement, PortConfig, PortProtocol, RestartCondition, RestartPolicy,
        ServiceSpec, TaskSpec, task_spec::Runtime,
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// Most labels one object may have; one more is refused.
pub(super) const LABELS_MAX: usize = 256;
/// Most constraints one service may have; one more is refused, since each is compared with every
/// kind of node.
const CONSTRAINTS_MAX: usize = 256;
/// The longest duration that a spec may ask for: ten years. A longer one is refused, since engines
/// count less far.
const DURATION_NS_MAX: u64 = 10 * 366 * 86_400 * SECOND_NS;

pub(super) fn validate(view: &View, spec: &ServiceSpec) -> Result<(), Refusal> {
    let annotations = spec.annotations.clone().unwrap_or_default();
    text::name(&annotations.name)?;
    labels("service", &annotations.labels)?;
    unsupported::refuse_service(spec)?;
    task(
        view,
        spec.task.as_ref().ok_or_else(|| Refusal::invalid("the service has no task spec"))?,
    )?;
    if let Some(monitor_ns) = spec.update.and_then(|update| update.monitor_ns) {
        duration("the monitor time of updates", monitor_ns)?;
    }
    let published = spec.endpoint.as_ref().map_or(&[][..], |e| &e.ports);
    ports(published)?;
    let networks = spec.task.as_ref().map_or(&[][..], |task| &task.networks);
    publishable(published, networks)
}

/// What is worth knowing about a spec that is admitted.
pub(super) fn warnings(view: &View, spec: &ServiceSpec) -> Vec<String> {
    accounts::warnings(view, spec)
}

fn labels(whose: &str, labels: &BTreeMap<String, String>) -> Result<(), Refusal> {
    if labels.len() > LABELS_MAX {
        return Err(Refusal::invalid(format!("a {whose} may have {LABELS_MAX} labels at most")));
    }
    labels.iter().try_for_each(|(key, value)| label(key, value))
}

fn task(view: &View, task: &TaskSpec) -> Result<(), Refusal> {
    match task.runtime.as_ref() {
        None => return Err(image::absent()),
        Some(Runtime::Container(spec)) => container::validate(view, spec)?,
        Some(Runtime::Generic(_) | Runtime::Attachment(_)) => {
            return Err(Refusal::unsupported(
                "only containers can be run; other runtimes are not supported yet",
            ));
        }
    }
    unsupported::refuse_task(task)?;
    networks(&task.networks)?;
    resources::validate(view, task.resources.as_ref())?;
    task.restart.as_ref().map_or(Ok(()), restart)?;
    placement(task.placement.as_ref())
}

fn networks(networks: &[NetworkAttachment]) -> Result<(), Refusal> {
    if let [first, second, ..] = networks {
        return Err(Refusal::invalid(format!(
            "a task can't be in the networks {:?} and {:?} at once",
            first.target, second.target
        ))
        .hint("name one of host, none and bridge"));
    }
    Ok(())
}

fn restart(policy: &RestartPolicy) -> Result<(), Refusal> {
    known::<RestartCondition>("restart condition", policy.condition, "any, on-failure or none")?;
    duration("the restart delay", policy.delay_ns.unwrap_or_default())?;
    duration("the restart window", policy.window_ns)
}

fn placement(placement: Option<&Placement>) -> Result<(), Refusal> {
    let Some(placement) = placement else { return Ok(()) };
    if placement.constraints.len() > CONSTRAINTS_MAX {
        return Err(Refusal::invalid(format!(
            "a service may have {CONSTRAINTS_MAX} constraints at most"
        )));
    }
    for constraint in &placement.constraints {
        Constraint::parse(constraint)
            .map_err(|error| Refusal::invalid(error.to_string()).hint(error.hint()))?;
    }
    Ok(())
}

fn ports(ports: &[PortConfig]) -> Result<(), Refusal> {
    let mut taken = BTreeSet::new();
    for port in ports {
        known::<PortProtocol>("protocol", port.protocol, "tcp, udp or sctp")?;
        if port.target_port == 0 || port.target_port > 65_535 || port.published_port > 65_535 {
            return Err(Refusal::invalid(format!(
                "port {}:{} is out of range",
                port.published_port, port.target_port
            ))
            .hint("ports are 1 to 65535"));
        }
        if port.published_port != 0 && !taken.insert((port.protocol, port.published_port)) {
            return Err(Refusal::invalid(format!(
                "port {} is published twice",
                port.published_port
            ))
            .hint("publish each port once for a protocol"));
        }
    }
    Ok(())
}

/// An engine ignores ports of a task that has no network of its own.
fn publishable(ports: &[PortConfig], networks: &[NetworkAttachment]) -> Result<(), Refusal> {
    match networks {
        [only] if !ports.is_empty() && (only.target == "host" || only.target == "none") => {
            Err(Refusal::invalid(format!(
                "no port can be published from the network {:?}",
                only.target
            ))
            .hint("leave out the network, or the ports"))
        }
        [] | [..] => Ok(()),
    }
}

/// Refuses a number that stands for nothing: it would be taken for the first of its kind.
fn known<E: TryFrom<i32>>(what: &str, number: i32, choices: &str) -> Result<(), Refusal> {
    match E::try_from(number) {
        Ok(_) => Ok(()),
        Err(_) => Err(Refusal::invalid(format!("{what} {number} is unknown"))
            .hint(format!("write {choices}"))),
    }
}

/// Refuses a time that an engine can't count.
fn duration(what: &str, ns: u64) -> Result<(), Refusal> {
    if ns > DURATION_NS_MAX {
        return Err(Refusal::invalid(format!("{what} is longer than ten years"))
            .hint("write a shorter one"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
