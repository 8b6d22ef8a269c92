//! A service for people, after `docker service inspect --pretty`.

use super::{id_of, name_of};
use crate::cli::{
    show::{duration_text, local_time, pairs},
    task::port_list,
};
use skep_proto::{
    bytes_size, counted, defaults,
    v1::{
        ContainerSpec, MountType, Resources, RestartCondition, RolloutState, RolloutStatus,
        Service, ServiceSpec, TaskSpec,
    },
};
use std::collections::BTreeMap;

pub(super) fn pretty(service: &Service) -> String {
    let spec = service.spec.clone().unwrap_or_default();
    let meta = service.meta.unwrap_or_default();
    let status = service.status.unwrap_or_default();
    let labels = spec.annotations.clone().unwrap_or_default().labels;
    let mut text = pairs(&[
        ("ID", id_of(service).to_string()),
        ("Name", name_of(service).to_owned()),
        ("Labels", joined(&labels)),
        ("Mode", mode(&spec)),
        ("Running", format!("{} of {}", status.running_tasks, status.desired_tasks)),
        ("Created", local_time(meta.created_at)),
        ("Updated", format!("{} (version {})", local_time(meta.updated_at), meta.version)),
        ("Update", service.rollout.as_ref().map_or_else(String::new, rollout)),
        (
            "Blocked",
            service.blocked.as_ref().map_or_else(String::new, |blocked| blocked.message.clone()),
        ),
        ("Parked", service.parked.clone()),
        ("Ports", port_list(spec.endpoint.as_ref().map_or(&[][..], |endpoint| &endpoint.ports))),
    ]);
    if let Some(task) = &spec.task {
        text.push_str(&task_text(task));
    }
    text
}

fn task_text(task: &TaskSpec) -> String {
    let mut all = defaults::container(task).map_or_else(Vec::new, container_pairs);
    let resources = task.resources.clone().unwrap_or_default();
    let placement = task.placement.clone().unwrap_or_default();
    let networks: Vec<&str> = task.networks.iter().map(|network| network.target.as_str()).collect();
    let most = placement.max_replicas_per_node;
    all.extend([
        (" Limits", amount(resources.limits.as_ref())),
        (" Reserved", amount(resources.reservations.as_ref())),
        (" Restart", restart(task)),
        (" Constraints", placement.constraints.join("\n")),
        (" Most a node", if most == 0 { String::new() } else { most.to_string() }),
        (" Networks", networks.join(", ")),
    ]);
    format!("Task:\n{}", pairs(&all))
}

fn container_pairs(container: &ContainerSpec) -> Vec<(&'static str, String)> {
    let mounts: Vec<String> = container
        .mounts
        .iter()
        .map(|mount| {
            let kind = match mount.r#type() {
                MountType::Bind => "bind",
                MountType::Volume => "volume",
                MountType::Tmpfs => "tmpfs",
                MountType::Npipe => "npipe",
                MountType::Cluster => "cluster",
            };
            let rights = if mount.read_only { " (read-only)" } else { "" };
            format!("{kind} {} at {}{rights}", mount.source, mount.target)
        })
        .collect();
    let yes = |set: bool| if set { "yes".to_owned() } else { String::new() };
    vec![
        (" Image", container.image.clone()),
        (" Entrypoint", container.command.join(" ")),
        (" Command", container.args.join(" ")),
        (" Environment", container.env.join("\n")),
        (" Folder", container.dir.clone()),
        (" User", container.user.clone()),
        (" Hostname", container.hostname.clone()),
        (" Labels", joined(&container.labels)),
        (" Mounts", mounts.join("\n")),
        (
            " Health",
            container.health.as_ref().map_or_else(String::new, |health| health.test.join(" ")),
        ),
        (" Stop signal", container.stop_signal.clone()),
        (" Stop grace", duration_text(defaults::stop_grace_ns(container))),
        (" Read-only", yes(container.read_only)),
        (" Init", yes(container.init.unwrap_or(false))),
    ]
}

fn mode(spec: &ServiceSpec) -> String {
    match defaults::replicas(spec) {
        None => "other".to_owned(),
        Some(replicas) => format!("replicated, {}", counted(replicas, "replica")),
    }
}

fn rollout(rollout: &RolloutStatus) -> String {
    let word = match rollout.state() {
        RolloutState::None => return String::new(),
        RolloutState::Updating => "updating",
        RolloutState::Paused => "paused",
        RolloutState::Completed => "completed",
    };
    let message =
        if rollout.message.is_empty() { String::new() } else { format!(": {}", rollout.message) };
    format!("{word}{message}")
}

fn restart(task: &TaskSpec) -> String {
    let policy = defaults::restart(task);
    let delay = duration_text(policy.delay_ns);
    let most = if policy.max_attempts == 0 {
        String::new()
    } else {
        format!(", {} at most", counted(policy.max_attempts, "attempt"))
    };
    match policy.condition {
        RestartCondition::Any => format!("always, after {delay}{most}"),
        RestartCondition::OnFailure => format!("on failure, after {delay}{most}"),
        RestartCondition::None => "never".into(),
    }
}

fn amount(resources: Option<&Resources>) -> String {
    let resources = resources.cloned().unwrap_or_default();
    let cpus =
        (resources.nano_cpus != 0).then(|| format!("{} CPUs", resources.nano_cpus as f64 / 1e9));
    let memory =
        (resources.memory_bytes != 0).then(|| bytes_size(resources.memory_bytes.unsigned_abs()));
    [cpus, memory].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn joined(labels: &BTreeMap<String, String>) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests;
