//! Fields of the schema that nothing acts on yet. Asking for one is refused: nothing asked for is
//! ignored. PURE.

use super::Refusal;
use skep_proto::v1::{
    ContainerSpec, EndpointMode, FailureAction, Isolation, MountType, PublishMode, Resources,
    ServiceSpec, TaskSpec, UpdateConfig, UpdateOrder, service_mode::Mode,
};

pub(super) fn refuse_service(spec: &ServiceSpec) -> Result<(), Refusal> {
    match spec.mode.as_ref().and_then(|m| m.mode.as_ref()) {
        None => return Err(Refusal::invalid("the service has no mode").hint("mode is replicated")),
        Some(Mode::Replicated(_)) => {}
        Some(Mode::Global(_)) => {
            return Err(not_yet("mode global", "use replicated with a constraint per node"));
        }
        Some(Mode::ReplicatedJob(_) | Mode::GlobalJob(_)) => {
            return Err(not_yet("jobs", "use --restart-condition none for work that ends"));
        }
    }
    spec.update.as_ref().map_or(Ok(()), refuse_update)?;
    if spec.rollback.is_some() {
        return Err(not_yet(
            "rollback settings",
            "leave them out; update to the earlier spec instead",
        ));
    }
    let endpoint = spec.endpoint.clone().unwrap_or_default();
    if endpoint.mode() == EndpointMode::Dnsrr {
        return Err(not_yet("endpoint mode dnsrr", "leave it out"));
    }
    if endpoint.ports.iter().any(|p| p.publish_mode() == PublishMode::Ingress) {
        return Err(not_yet("publishing through the ingress mesh", "write mode=host"));
    }
    Ok(())
}

/// Of the settings for updates only the monitor time is acted on; every other must say what is done
/// anyway.
fn refuse_update(update: &UpdateConfig) -> Result<(), Refusal> {
    let asked = [
        (update.parallelism == 0, "update parallelism 0, all tasks at once,"),
        (update.parallelism > 1, "an update parallelism above 1"),
        (update.delay_ns != 0, "an update delay"),
        (
            update.failure_action != FailureAction::Pause as i32,
            "an update failure action other than pause",
        ),
        (update.max_failure_ratio != 0.0, "an update failure ratio"),
        (update.order != UpdateOrder::StopFirst as i32, "an update order other than stop-first"),
    ];
    match asked.iter().find(|(asked, _)| *asked) {
        Some((_, what)) => Err(Refusal::unsupported(format!("{what} is not supported yet"))
            .hint("leave the update settings out, or write parallelism 1 and a monitor time")),
        None => Ok(()),
    }
}

pub(super) fn refuse_task(task: &TaskSpec) -> Result<(), Refusal> {
    let placement = task.placement.clone().unwrap_or_default();
    let resources = task.resources.clone().unwrap_or_default();
    let generic = |r: &Option<Resources>| r.as_ref().is_some_and(|r| !r.generic.is_empty());
    let asked = [
        (!placement.preferences.is_empty(), "placement preferences"),
        (generic(&resources.limits) || generic(&resources.reservations), "generic resources"),
        (resources.swap_bytes.is_some() || resources.memory_swappiness.is_some(), "swap settings"),
        (task.log_driver.is_some(), "a log driver"),
        (!task.resource_references.is_empty(), "resource references"),
        (
            task.networks.iter().any(|n| !is_local(&n.target)),
            "a network other than host, none or bridge",
        ),
        (
            task.networks.iter().any(|n| {
                !n.aliases.is_empty() || !n.addresses.is_empty() || !n.driver_options.is_empty()
            }),
            "network aliases, addresses and options",
        ),
    ];
    first(&asked)
}

pub(super) fn refuse_container(c: &ContainerSpec) -> Result<(), Refusal> {
    let cluster_mounts =
        c.mounts.iter().any(|m| matches!(m.r#type(), MountType::Cluster | MountType::Npipe));
    let asked = [
        (!c.secrets.is_empty(), "secrets"),
        (!c.configs.is_empty(), "configs"),
        (!c.registry_credential_ref.is_empty(), "registry credentials"),
        (c.privileges.is_some(), "privileges"),
        (c.isolation() != Isolation::Default, "isolation"),
        (!c.groups.is_empty(), "supplementary groups"),
        (!c.hosts.is_empty(), "host entries"),
        (c.dns.is_some(), "DNS settings"),
        (c.pids_limit != 0, "a process limit"),
        (!c.sysctls.is_empty(), "sysctls"),
        (!c.capability_add.is_empty() || !c.capability_drop.is_empty(), "capabilities"),
        (!c.ulimits.is_empty(), "ulimits"),
        (c.oom_score_adj != 0, "an OOM score"),
        (cluster_mounts, "cluster volumes and named pipes"),
    ];
    first(&asked)
}

fn is_local(target: &str) -> bool {
    matches!(target, "host" | "none" | "bridge")
}

fn first(asked: &[(bool, &str)]) -> Result<(), Refusal> {
    match asked.iter().find(|(asked, _)| *asked) {
        Some((_, what)) => Err(not_yet(what, "leave it out")),
        None => Ok(()),
    }
}

fn not_yet(what: &str, instead: &str) -> Refusal {
    Refusal::unsupported(format!("{what}: not supported yet")).hint(instead)
}
