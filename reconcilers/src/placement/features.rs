//! What a spec needs of a runtime that not every runtime has.
//!
//! Nothing that was asked for is ignored: a task goes only to a node whose agent says that it can
//! honour all of it.

use skep_proto::{
    defaults,
    v1::{
        ContainerSpec, Feature, HealthCheck, Mount, PublishMode, ResourceRequirements, ServiceSpec,
        TaskSpec,
    },
};

/// The features that a node must have for this service's tasks, sorted.
pub fn needed(spec: &ServiceSpec) -> Vec<Feature> {
    let mut needed = Vec::new();
    let mut need = |feature: Feature, when: bool| {
        if when {
            needed.push(feature);
        }
    };
    let publishes =
        spec.endpoint.iter().flat_map(|e| &e.ports).any(|p| p.publish_mode() == PublishMode::Host);
    need(Feature::PublishHost, publishes);
    if let Some(task) = &spec.task {
        of_task(task, &mut need);
        if let Some(container) = defaults::container(task) {
            of_container(container, &mut need);
        }
    }
    needed.sort_unstable();
    needed.dedup();
    needed
}

fn of_task(task: &TaskSpec, need: &mut impl FnMut(Feature, bool)) {
    need(Feature::BridgeNetwork, task.networks.iter().any(|network| network.target == "bridge"));
    need(Feature::NoNetwork, task.networks.iter().any(|network| network.target == "none"));
    need(Feature::Limits, task.resources.as_ref().is_some_and(limits_something));
}

fn limits_something(resources: &ResourceRequirements) -> bool {
    let limits = resources.limits.as_ref();
    limits.is_some_and(|limits| limits.nano_cpus != 0 || limits.memory_bytes != 0)
        || resources.swap_bytes.is_some()
        || resources.memory_swappiness.is_some()
}

/// An image pinned to a digest, or one that needs a registry's credentials, is an image for
/// certain; any other name may be a program's.
fn of_container(container: &ContainerSpec, need: &mut impl FnMut(Feature, bool)) {
    let pinned =
        container.image.contains("@sha256:") || !container.registry_credential_ref.is_empty();
    need(Feature::Images, pinned);
    need(Feature::Mounts, !container.mounts.is_empty());
    container.mounts.iter().for_each(|mount| of_mount(mount, need));
    if let Some(health) = &container.health {
        of_health(health, need);
    }
    need(Feature::Limits, container.pids_limit > 0 || !container.ulimits.is_empty());
    need(Feature::Hostname, !container.hostname.is_empty());
    need(Feature::ReadOnly, container.read_only);
    need(Feature::Init, container.init == Some(true));
    need(Feature::User, !container.user.is_empty() || !container.groups.is_empty());
    need(Feature::Tty, container.tty || container.open_stdin);
    need(Feature::ContainerLabels, !container.labels.is_empty());
}

/// Engines ignore options of mounts that are newer than they are.
fn of_mount(mount: &Mount, need: &mut impl FnMut(Feature, bool)) {
    if let Some(bind) = &mount.bind {
        need(Feature::CreateMountpoint, bind.create_mountpoint);
        need(Feature::ReadOnlyRecursive, bind.read_only_force_recursive);
    }
    need(Feature::VolumeSubpath, mount.volume.as_ref().is_some_and(|v| !v.subpath.is_empty()));
    need(Feature::TmpfsOptions, mount.tmpfs.as_ref().is_some_and(|t| !t.options.is_empty()));
}

/// Durations alone change the check that the image may have.
fn of_health(health: &HealthCheck, need: &mut impl FnMut(Feature, bool)) {
    let command = health.test.first();
    need(Feature::Health, command.is_some_and(|word| word != "NONE"));
    need(
        Feature::HealthStartInterval,
        command.is_none_or(|word| word != "NONE") && health.start_interval_ns > 0,
    );
}
