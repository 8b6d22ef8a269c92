//! From a task's spec to a container as the engine's API wants it. No IO; the hash maps are those
//! of the engine's API.
//!
//! Names and labels are those that Docker's own swarm mode writes, so that what people and tools
//! know about a swarm's containers holds here too. What cannot be expressed is refused by name;
//! nothing asked for is left out.

mod logs;
mod mounts;

use crate::runtime::{RuntimeError, Workload};
use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigIsolationEnum, PortBinding,
    ResourcesUlimits,
};
use skep_proto::{
    defaults,
    v1::{
        AppArmorMode, ContainerSpec, HealthCheck, Isolation, PortConfig, PortProtocol, Privileges,
        PublishMode, ResourceRequirements, SeccompMode, TaskSpec,
    },
};
use std::collections::HashMap;

/// The label that every task's container carries, with nothing in it.
pub(super) const LABEL_TASK: &str = "com.docker.swarm.task";
/// The task's id.
pub(super) const LABEL_TASK_ID: &str = "com.docker.swarm.task.id";
/// The id of the node whose agent made it: several agents may share one engine.
pub(super) const LABEL_NODE_ID: &str = "com.docker.swarm.node.id";
const LABEL_TASK_NAME: &str = "com.docker.swarm.task.name";
const LABEL_SERVICE_ID: &str = "com.docker.swarm.service.id";
const LABEL_SERVICE_NAME: &str = "com.docker.swarm.service.name";

/// The container's name: `SERVICE.SLOT.TASKID`.
pub(super) fn container_name(workload: &Workload) -> String {
    format!("{}.{}", workload.name(), workload.task_id)
}

/// The spec's container, or why there is nothing to run.
pub(super) fn container(spec: &TaskSpec) -> Result<&ContainerSpec, RuntimeError> {
    match defaults::container(spec) {
        Some(container) if !container.image.is_empty() => Ok(container),
        Some(_) | None => Err(rejected("the task names no image")),
    }
}

/// The body of the call that creates the container.
///
/// `log_driver` is the engine's own choice where the task asks for none.
pub(super) fn create_body(
    workload: &Workload,
    log_driver: &str,
) -> Result<ContainerCreateBody, RuntimeError> {
    let spec = container(&workload.spec)?;
    refuse_what_is_missing(spec)?;
    Ok(ContainerCreateBody {
        image: Some(spec.image.clone()),
        hostname: text(&spec.hostname),
        user: text(&spec.user),
        tty: Some(spec.tty),
        open_stdin: Some(spec.open_stdin),
        env: list(&spec.env),
        entrypoint: list(&spec.command),
        cmd: list(&spec.args),
        working_dir: text(&spec.dir),
        stop_signal: text(&spec.stop_signal),
        stop_timeout: Some(whole_seconds(defaults::stop_grace_ns(spec))),
        healthcheck: spec.health.as_ref().map(health),
        labels: Some(labels(workload, spec)),
        exposed_ports: exposed(&workload.ports),
        host_config: Some(HostConfig {
            log_config: logs::config(workload.spec.log_driver.as_ref(), log_driver),
            ..host_config(workload, spec)?
        }),
        ..ContainerCreateBody::default()
    })
}

fn host_config(workload: &Workload, spec: &ContainerSpec) -> Result<HostConfig, RuntimeError> {
    let mut host = HostConfig {
        init: spec.init,
        readonly_rootfs: Some(spec.read_only),
        group_add: list(&spec.groups),
        extra_hosts: list(&hosts(&spec.hosts)),
        mounts: some(mounts::mounts(&spec.mounts)?),
        pids_limit: (spec.pids_limit > 0).then_some(spec.pids_limit),
        sysctls: some_map(
            spec.sysctls.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        ),
        cap_add: list(&spec.capability_add),
        cap_drop: list(&spec.capability_drop),
        ulimits: some(
            spec.ulimits
                .iter()
                .map(|limit| ResourcesUlimits {
                    name: Some(limit.name.clone()),
                    soft: Some(limit.soft),
                    hard: Some(limit.hard),
                })
                .collect(),
        ),
        oom_score_adj: (spec.oom_score_adj != 0).then_some(spec.oom_score_adj),
        security_opt: some(spec.privileges.as_ref().map(security).transpose()?.unwrap_or_default()),
        isolation: isolation(spec.isolation()),
        network_mode: network_mode(&workload.spec)?,
        port_bindings: bindings(&workload.ports),
        ..HostConfig::default()
    };
    if let Some(dns) = &spec.dns {
        host.dns = list(&dns.nameservers);
        host.dns_search = list(&dns.search);
        host.dns_options = list(&dns.options);
    }
    if let Some(resources) = &workload.spec.resources {
        limit(&mut host, resources);
    }
    Ok(host)
}

fn limit(host: &mut HostConfig, resources: &ResourceRequirements) {
    let above_zero = |value: i64| (value > 0).then_some(value);
    if let Some(limits) = &resources.limits {
        host.nano_cpus = above_zero(limits.nano_cpus);
        host.memory = above_zero(limits.memory_bytes);
    }
    // Processors that are reserved only guide placement; reserved memory is also what the kernel
    // takes back last.
    if let Some(reserved) = &resources.reservations {
        host.memory_reservation = above_zero(reserved.memory_bytes);
    }
    // The engine counts memory and swap together; the spec says how much of swap alone.
    host.memory_swap = resources
        .swap_bytes
        .map(|swap| if swap < 0 { -1 } else { host.memory.unwrap_or(0) + swap });
    host.memory_swappiness = resources.memory_swappiness;
}

fn refuse_what_is_missing(spec: &ContainerSpec) -> Result<(), RuntimeError> {
    if !spec.secrets.is_empty() {
        return Err(rejected("secrets are not supported yet"));
    }
    if !spec.configs.is_empty() {
        return Err(rejected("configs are not supported yet"));
    }
    Ok(())
}

fn labels(workload: &Workload, spec: &ContainerSpec) -> HashMap<String, String> {
    let mut labels: HashMap<String, String> =
        spec.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    labels.extend([
        (LABEL_TASK.to_owned(), String::new()),
        (LABEL_TASK_ID.to_owned(), workload.task_id.to_string()),
        (LABEL_TASK_NAME.to_owned(), container_name(workload)),
        (LABEL_NODE_ID.to_owned(), workload.node_id.to_string()),
        (LABEL_SERVICE_ID.to_owned(), workload.service_id.to_string()),
        (LABEL_SERVICE_NAME.to_owned(), workload.service_name.clone()),
    ]);
    labels
}

fn health(check: &HealthCheck) -> HealthConfig {
    let nanoseconds = |value: u64| i64::try_from(value).ok().filter(|value| *value > 0);
    HealthConfig {
        test: list(&check.test),
        interval: nanoseconds(check.interval_ns),
        timeout: nanoseconds(check.timeout_ns),
        retries: (check.retries > 0).then_some(i64::from(check.retries)),
        start_period: nanoseconds(check.start_period_ns),
        start_interval: nanoseconds(check.start_interval_ns),
    }
}

/// Seconds as the engine counts a grace, rounded up: nobody gets less time than was asked for.
pub(super) fn whole_seconds(ns: u64) -> i64 {
    i64::try_from(ns.div_ceil(1_000_000_000)).unwrap_or(i64::MAX)
}

/// Swarm writes `IP HOST [HOST…]` as a hosts file does; the engine wants `HOST:IP`, which is let
/// through as it is.
fn hosts(lines: &[String]) -> Vec<String> {
    let mut hosts = Vec::new();
    for line in lines {
        let mut tokens = line.split_whitespace();
        match (tokens.next(), tokens.clone().next()) {
            (Some(address), Some(_)) => {
                hosts.extend(tokens.map(|host| format!("{host}:{address}")))
            }
            (Some(whole), None) => hosts.push(whole.to_owned()),
            (None, _) => {}
        }
    }
    hosts
}

/// One of the node's own networks; the engine's default where none is named.
fn network_mode(spec: &TaskSpec) -> Result<Option<String>, RuntimeError> {
    match spec.networks.as_slice() {
        [] => Ok(None),
        [one] if ["host", "none", "bridge"].contains(&one.target.as_str()) => {
            Ok(Some(one.target.clone()))
        }
        [one] => Err(rejected(format!(
            "the network {:?} is not supported yet; use host, none or bridge",
            one.target
        ))),
        [_, ..] => Err(rejected("more than one network is not supported yet")),
    }
}

fn port_key(port: &PortConfig) -> String {
    let protocol = match port.protocol() {
        PortProtocol::Tcp => "tcp",
        PortProtocol::Udp => "udp",
        PortProtocol::Sctp => "sctp",
    };
    format!("{}/{protocol}", port.target_port)
}

fn on_host(ports: &[PortConfig]) -> impl Iterator<Item = &PortConfig> {
    ports.iter().filter(|port| match port.publish_mode() {
        PublishMode::Host => true,
        PublishMode::Ingress => false,
    })
}

fn exposed(ports: &[PortConfig]) -> Option<Vec<String>> {
    some(on_host(ports).map(port_key).collect())
}

fn bindings(ports: &[PortConfig]) -> Option<HashMap<String, Option<Vec<PortBinding>>>> {
    let mut bindings: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
    for port in on_host(ports) {
        // Port 0 asks for an automatic one, which to the engine is an empty text.
        let host_port =
            if port.published_port == 0 { String::new() } else { port.published_port.to_string() };
        let binding = PortBinding { host_ip: None, host_port: Some(host_port) };
        bindings.entry(port_key(port)).or_default().get_or_insert_default().push(binding);
    }
    some_map(bindings)
}

/// Ports as the engine says they are published, in order, each once: it tells every address family
/// by itself.
pub(super) fn published(ports: &HashMap<String, Option<Vec<PortBinding>>>) -> Vec<PortConfig> {
    let mut found = Vec::new();
    for (key, bindings) in ports {
        let Some((target, protocol)) = key.split_once('/') else { continue };
        let protocol = match protocol {
            "udp" => PortProtocol::Udp,
            "sctp" => PortProtocol::Sctp,
            _ => PortProtocol::Tcp,
        };
        for binding in bindings.iter().flatten() {
            let published = binding.host_port.as_deref().and_then(|port| port.parse().ok());
            if let (Ok(target_port), Some(published_port)) = (target.parse(), published) {
                found.push((target_port, published_port, protocol as i32));
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    let port = |(target_port, published_port, protocol)| PortConfig {
        target_port,
        published_port,
        protocol,
        publish_mode: PublishMode::Host as i32,
        ..PortConfig::default()
    };
    found.into_iter().map(port).collect()
}

fn security(privileges: &Privileges) -> Result<Vec<String>, RuntimeError> {
    let mut options = Vec::new();
    if privileges.credential_spec.is_some() {
        return Err(rejected("credential specs are for Windows and not supported"));
    }
    if privileges.no_new_privileges {
        options.push("no-new-privileges=true".to_owned());
    }
    if let Some(seccomp) = &privileges.seccomp {
        match seccomp.mode() {
            SeccompMode::Default => {}
            SeccompMode::Unconfined => options.push("seccomp=unconfined".to_owned()),
            SeccompMode::Custom => {
                let profile = std::str::from_utf8(&seccomp.profile);
                let profile = profile.map_err(|_| rejected("the seccomp profile is not text"))?;
                options.push(format!("seccomp={profile}"));
            }
        }
    }
    if let Some(selinux) = &privileges.selinux {
        if selinux.disable {
            options.push("label=disable".to_owned());
        }
        let parts = [
            ("user", &selinux.user),
            ("role", &selinux.role),
            ("type", &selinux.r#type),
            ("level", &selinux.level),
        ];
        options.extend(
            parts
                .iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(key, value)| format!("label={key}:{value}")),
        );
    }
    match privileges.apparmor() {
        AppArmorMode::Default => {}
        AppArmorMode::Disabled => options.push("apparmor=unconfined".to_owned()),
    }
    Ok(options)
}

fn isolation(isolation: Isolation) -> Option<HostConfigIsolationEnum> {
    match isolation {
        Isolation::Default => None,
        Isolation::Process => Some(HostConfigIsolationEnum::PROCESS),
        Isolation::Hyperv => Some(HostConfigIsolationEnum::HYPERV),
    }
}

fn rejected(message: impl Into<String>) -> RuntimeError {
    RuntimeError::Rejected(message.into())
}

fn text(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

fn list(values: &[String]) -> Option<Vec<String>> {
    some(values.to_vec())
}

fn some<T>(values: Vec<T>) -> Option<Vec<T>> {
    (!values.is_empty()).then_some(values)
}

fn some_map<K, V>(values: HashMap<K, V>) -> Option<HashMap<K, V>> {
    (!values.is_empty()).then_some(values)
}

#[cfg(test)]
mod tests;
