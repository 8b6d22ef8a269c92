//! Whether a service's spec makes sense, whatever the cluster looks like.

use super::{Refusal, nodes::label, unsupported};
use skep_proto::{
    constraint::Constraint,
    v1::{
        ContainerSpec, HealthCheck, Mount, MountType, Placement, PortConfig, ResourceRequirements, Resources,
        ServiceSpec, TaskSpec, task_spec::Runtime,
    },
};
use std::collections::BTreeSet;

/// Longest service name: it becomes a host name.
const NAME_CHARS_MAX: usize = 63;
/// The smallest CPU share an engine can give, in thousand-millionths of a CPU.
const NANO_CPUS_MIN: i64 = 1_000_000;
/// The smallest memory an engine can give.
const MEMORY_BYTES_MIN: i64 = 4 << 20;
/// The shortest health interval.
const HEALTH_NS_MIN: u64 = 1_000_000;

pub(super) fn validate(spec: &ServiceSpec) -> Result<(), Refusal> {
    let annotations = spec.annotations.clone().unwrap_or_default();
    name(&annotations.name)?;
    annotations.labels.iter().try_for_each(|(key, value)| label(key, value))?;
    unsupported::refuse_service(spec)?;
    task(spec.task.as_ref().ok_or_else(|| Refusal::invalid("the service has no task spec"))?)?;
    ports(spec.endpoint.as_ref().map_or(&[][..], |e| &e.ports))
}

fn name(name: &str) -> Result<(), Refusal> {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let ends_well = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    if name.len() > NAME_CHARS_MAX
        || !name.chars().all(inner)
        || !ends_well(name.chars().next())
        || !ends_well(name.chars().last())
    {
        return Err(Refusal::invalid(format!("{name:?} is no service name"))
            .hint("1 to 63 letters, digits, '-' and '_', beginning and ending with a letter or digit"));
    }
    Ok(())
}

fn task(task: &TaskSpec) -> Result<(), Refusal> {
    match task.runtime.as_ref() {
        None => {
            return Err(
                Refusal::invalid("the service has no image").hint("name an image or a program to run")
            );
        }
        Some(Runtime::Container(spec)) => container(spec)?,
        Some(Runtime::Generic(_) | Runtime::Attachment(_)) => {
            return Err(Refusal::unsupported(
                "only containers can be run; other runtimes are not supported yet",
            ));
        }
    }
    unsupported::refuse_task(task)?;
    resources(task.resources.as_ref())?;
    placement(task.placement.as_ref())
}

fn container(c: &ContainerSpec) -> Result<(), Refusal> {
    if c.image.trim().is_empty() {
        return Err(Refusal::invalid("the service has no image").hint("name an image or a program to run"));
    }
    if c.image.chars().any(|ch| ch.is_whitespace() || ch.is_control()) {
        return Err(Refusal::invalid(format!("{:?} is no image: it holds blanks", c.image)));
    }
    if let Some(bad) = c.env.iter().find(|e| e.is_empty() || e.starts_with('=') || e.contains('\0')) {
        return Err(Refusal::invalid(format!("{bad:?} is no environment variable")).hint("write NAME=VALUE"));
    }
    c.labels.iter().try_for_each(|(key, value)| label(key, value))?;
    unsupported::refuse_container(c)?;
    mounts(&c.mounts)?;
    c.health.as_ref().map_or(Ok(()), health)
}

fn mounts(mounts: &[Mount]) -> Result<(), Refusal> {
    let mut targets = BTreeSet::new();
    for mount in mounts {
        let target = mount.target.trim_end_matches('/');
        if !mount.target.starts_with('/') {
            return Err(Refusal::invalid(format!("mount target {:?} is not an absolute path", mount.target)));
        }
        if !targets.insert(target) {
            return Err(Refusal::invalid(format!("mount target {:?} is named twice", mount.target)));
        }
        let source_fits = match mount.r#type() {
            MountType::Bind => mount.source.starts_with('/'),
            MountType::Volume => !mount.source.starts_with('/'),
            MountType::Tmpfs => mount.source.is_empty(),
            MountType::Npipe | MountType::Cluster => true,
        };
        if !source_fits {
            return Err(Refusal::invalid(format!("mount source {:?} does not fit its type", mount.source))
                .hint("bind takes an absolute path, volume a name, tmpfs none"));
        }
    }
    Ok(())
}

fn health(health: &HealthCheck) -> Result<(), Refusal> {
    let durations = [health.interval_ns, health.timeout_ns, health.start_period_ns, health.start_interval_ns];
    if durations.iter().any(|ns| *ns != 0 && *ns < HEALTH_NS_MIN) {
        return Err(Refusal::invalid("a health check's durations must be 0 or at least 1 ms"));
    }
    match health.test.first().map(String::as_str) {
        None | Some("NONE" | "CMD" | "CMD-SHELL") => Ok(()),
        Some(other) => Err(Refusal::invalid(format!("a health check can't begin with {other:?}"))
            .hint("CMD, CMD-SHELL or NONE")),
    }
}

fn resources(requirements: Option<&ResourceRequirements>) -> Result<(), Refusal> {
    let Some(requirements) = requirements else { return Ok(()) };
    amounts("limit", requirements.limits.as_ref())?;
    amounts("reservation", requirements.reservations.as_ref())?;
    if let (Some(limit), Some(reserved)) = (&requirements.limits, &requirements.reservations) {
        let over = |limit: i64, reserved: i64| limit != 0 && reserved > limit;
        if over(limit.nano_cpus, reserved.nano_cpus) || over(limit.memory_bytes, reserved.memory_bytes) {
            return Err(Refusal::invalid("more is reserved than the limit allows to be used"));
        }
    }
    Ok(())
}

fn amounts(what: &str, resources: Option<&Resources>) -> Result<(), Refusal> {
    let Some(r) = resources else { return Ok(()) };
    if r.nano_cpus != 0 && r.nano_cpus < NANO_CPUS_MIN {
        return Err(Refusal::invalid(format!("CPU {what} is below the minimum"))
            .hint(format!("at least {} of a CPU", NANO_CPUS_MIN as f64 / 1e9)));
    }
    if r.memory_bytes != 0 && r.memory_bytes < MEMORY_BYTES_MIN {
        return Err(Refusal::invalid(format!("memory {what} is below the minimum")).hint("at least 4 MiB"));
    }
    Ok(())
}

fn placement(placement: Option<&Placement>) -> Result<(), Refusal> {
    let Some(placement) = placement else { return Ok(()) };
    for constraint in &placement.constraints {
        Constraint::parse(constraint).map_err(|error| {
            Refusal::invalid(error.to_string()).hint("for example node.labels.zone==b1 or node.role!=manager")
        })?;
    }
    Ok(())
}

fn ports(ports: &[PortConfig]) -> Result<(), Refusal> {
    let mut taken = BTreeSet::new();
    for port in ports {
        if port.target_port == 0 || port.target_port > 65_535 || port.published_port > 65_535 {
            return Err(Refusal::invalid(format!(
                "port {}:{} is out of range",
                port.published_port, port.target_port
            ))
            .hint("ports are 1 to 65535"));
        }
        if port.published_port != 0 && !taken.insert((port.protocol, port.published_port)) {
            return Err(Refusal::invalid(format!("port {} is published twice", port.published_port)));
        }
    }
    Ok(())
}
