//! What a task becomes for the engine.

use super::*;
use skep_proto::{
    Id,
    v1::{
        DnsConfig, Mount, NetworkAttachment, Resources, SeccompOptions, SelinuxContext,
        TmpfsOptions, VolumeOptions, task_spec::Runtime,
    },
};

fn workload(container: ContainerSpec) -> Workload {
    let spec = TaskSpec { runtime: Some(Runtime::Container(container)), ..TaskSpec::default() };
    Workload {
        task_id: Id(1),
        service_name: "web".into(),
        slot: 3,
        spec: spec.into(),
        ..Workload::default()
    }
}

fn busybox() -> ContainerSpec {
    ContainerSpec { image: "busybox".into(), ..ContainerSpec::default() }
}

#[test]
fn names_and_labels_are_swarms_and_the_specs_cannot_hide_them() {
    let labels =
        [("tier".to_owned(), "front".to_owned()), (LABEL_TASK_ID.to_owned(), "forged".to_owned())];
    let body =
        create_body(&workload(ContainerSpec { labels: labels.into(), ..busybox() }), "json-file")
            .unwrap();
    let labels = body.labels.unwrap();
    assert_eq!(labels["com.docker.swarm.task"], "");
    assert_eq!(labels["com.docker.swarm.task.id"], Id(1).to_string());
    assert_eq!(labels["com.docker.swarm.task.name"], format!("web.3.{}", Id(1)));
    assert_eq!(labels["com.docker.swarm.service.name"], "web");
    assert_eq!(labels["tier"], "front");
}

#[test]
fn hosts_files_lines_become_the_engines_pairs() {
    let lines = ["10.0.0.1 a b".to_owned(), "c:10.0.0.2".to_owned()];
    assert_eq!(hosts(&lines), ["a:10.0.0.1", "b:10.0.0.1", "c:10.0.0.2"]);
}

#[test]
fn limits_and_grace_are_never_less_than_asked_for() {
    let mut work =
        workload(ContainerSpec { stop_grace_period_ns: Some(1_500_000_000), ..busybox() });
    std::sync::Arc::make_mut(&mut work.spec).resources = Some(ResourceRequirements {
        limits: Some(Resources {
            nano_cpus: 250_000_000,
            memory_bytes: 64 << 20,
            generic: Vec::new(),
        }),
        swap_bytes: Some(1 << 20),
        ..ResourceRequirements::default()
    });
    let body = create_body(&work, "json-file").unwrap();
    assert_eq!(body.stop_timeout, Some(2));
    let host = body.host_config.unwrap();
    assert_eq!(
        (host.nano_cpus, host.memory, host.memory_swap),
        (Some(250_000_000), Some(64 << 20), Some(65 << 20))
    );
}

#[test]
fn published_ports_go_out_and_come_back_once() {
    let port = |published| PortConfig {
        target_port: 80,
        published_port: published,
        publish_mode: PublishMode::Host as i32,
        ..PortConfig::default()
    };
    let out = bindings(&[port(8080), port(0)]).unwrap();
    let texts: Vec<_> =
        out["80/tcp"].iter().flatten().map(|b| b.host_port.clone().unwrap()).collect();
    assert_eq!(texts, ["8080", ""]);
    let binding =
        |ip: &str| PortBinding { host_ip: Some(ip.into()), host_port: Some("8080".into()) };
    let back =
        HashMap::from([("80/tcp".to_owned(), Some(vec![binding("0.0.0.0"), binding("::")]))]);
    assert_eq!(published(&back), [port(8080)]);
}

#[test]
fn what_is_not_built_yet_is_refused_by_name() {
    let mut work = workload(busybox());
    std::sync::Arc::make_mut(&mut work.spec).networks =
        vec![NetworkAttachment { target: "backend".into(), ..NetworkAttachment::default() }];
    assert!(
        matches!(create_body(&work, "json-file"), Err(RuntimeError::Rejected(message)) if message.contains("\"backend\""))
    );
    assert!(create_body(&workload(ContainerSpec::default()), "json-file").is_err(), "no image");
}

fn host(container: ContainerSpec) -> HostConfig {
    create_body(&workload(container), "json-file").unwrap().host_config.unwrap()
}

#[test]
fn what_is_not_asked_for_is_not_sent() {
    let host = host(ContainerSpec { dns: Some(DnsConfig::default()), ..busybox() });
    assert_eq!((host.pids_limit, host.oom_score_adj, host.isolation), (None, None, None));
    assert_eq!((host.mounts, host.ulimits, host.security_opt), (None, None, None));
    assert_eq!((host.cap_add, host.cap_drop, host.group_add), (None, None, None));
    assert_eq!((host.dns, host.dns_search, host.dns_options), (None, None, None));
    let body = create_body(&workload(busybox()), "json-file").unwrap();
    assert_eq!((body.hostname, body.user, body.stop_signal), (None, None, None));
    assert_eq!((body.env, body.cmd, body.exposed_ports), (None, None, None));
}

#[test]
fn what_is_asked_for_reaches_the_engine() {
    let words = |word: &str| vec![word.to_owned()];
    let host = host(ContainerSpec {
        pids_limit: 5,
        oom_score_adj: -7,
        capability_add: words("NET_ADMIN"),
        isolation: Isolation::Hyperv as i32,
        dns: Some(DnsConfig {
            nameservers: words("10.0.0.1"),
            search: words("lan"),
            options: words("rotate"),
        }),
        ..busybox()
    });
    assert_eq!((host.pids_limit, host.oom_score_adj), (Some(5), Some(-7)));
    assert_eq!(host.isolation, Some(HostConfigIsolationEnum::HYPERV));
    assert_eq!(host.cap_add, Some(words("NET_ADMIN")));
    assert_eq!(
        (host.dns, host.dns_search, host.dns_options),
        (Some(words("10.0.0.1")), Some(words("lan")), Some(words("rotate")))
    );
    let user = ContainerSpec { user: "app".into(), args: words("-v"), ..busybox() };
    let mut work = workload(user);
    work.ports = [(80, PublishMode::Host), (81, PublishMode::Ingress)]
        .map(|(target_port, mode)| PortConfig {
            target_port,
            publish_mode: mode as i32,
            ..PortConfig::default()
        })
        .to_vec();
    let body = create_body(&work, "json-file").unwrap();
    assert_eq!((body.user, body.cmd), (Some("app".to_owned()), Some(words("-v"))));
    assert_eq!(body.exposed_ports, Some(words("80/tcp")));
}

#[test]
fn memory_and_swap_are_counted_as_the_engine_counts_them() {
    let limited = |swap_bytes: Option<i64>, memory_bytes: i64| {
        let mut host = HostConfig::default();
        let resources = Resources { memory_bytes, ..Resources::default() };
        limit(
            &mut host,
            &ResourceRequirements {
                limits: Some(resources.clone()),
                reservations: Some(resources),
                swap_bytes,
                memory_swappiness: Some(40),
            },
        );
        assert_eq!(host.memory_swappiness, Some(40));
        (host.memory, host.memory_reservation, host.memory_swap)
    };
    assert_eq!(limited(None, 0), (None, None, None));
    assert_eq!(limited(Some(0), 64), (Some(64), Some(64), Some(64)), "no swap");
    assert_eq!(limited(Some(-1), 64), (Some(64), Some(64), Some(-1)), "any swap");
}

#[test]
fn a_health_check_leaves_to_the_engine_what_it_does_not_say() {
    let unsaid = health(&HealthCheck::default());
    assert_eq!((unsaid.interval, unsaid.retries, unsaid.test), (None, None, None));
    let said = health(&HealthCheck { interval_ns: 5, retries: 2, ..HealthCheck::default() });
    assert_eq!((said.interval, said.retries), (Some(5), Some(2)));
}

#[test]
fn the_nodes_own_networks_can_be_named() {
    let mode = |target: &str| {
        let attachment = NetworkAttachment { target: target.into(), ..Default::default() };
        network_mode(&TaskSpec { networks: vec![attachment], ..TaskSpec::default() })
    };
    assert_eq!(mode("host").unwrap(), Some("host".to_owned()));
    assert!(mode("backend").is_err());
    assert_eq!(network_mode(&TaskSpec::default()).unwrap(), None);
}

#[test]
fn privileges_become_the_engines_options() {
    let check = |privileges: Privileges, expected: &[&str]| {
        assert_eq!(security(&privileges).unwrap(), expected);
    };
    check(Privileges::default(), &[]);
    let seccomp = SeccompOptions { mode: SeccompMode::Custom as i32, profile: "{}".into() };
    let selinux = SelinuxContext { r#type: "svirt".into(), ..SelinuxContext::default() };
    check(
        Privileges {
            no_new_privileges: true,
            seccomp: Some(seccomp),
            selinux: Some(selinux),
            apparmor: AppArmorMode::Disabled as i32,
            ..Privileges::default()
        },
        &["no-new-privileges=true", "seccomp={}", "label=type:svirt", "apparmor=unconfined"],
    );
    let disabled = SelinuxContext { disable: true, ..SelinuxContext::default() };
    let disabled = Privileges { selinux: Some(disabled), ..Privileges::default() };
    check(disabled, &["label=disable"]);
    let windows = Privileges { credential_spec: Some(Default::default()), ..Default::default() };
    assert!(security(&windows).is_err());
}

#[test]
fn secrets_and_configs_are_refused_by_name() {
    let secret = ContainerSpec { secrets: vec![Default::default()], ..busybox() };
    let config = ContainerSpec { configs: vec![Default::default()], ..busybox() };
    for (container, name) in [(secret, "secrets"), (config, "configs")] {
        match create_body(&workload(container), "json-file") {
            Err(RuntimeError::Rejected(message)) => assert!(message.contains(name), "{message}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn published_ports_come_in_their_order() {
    let binding =
        |port: &str| Some(vec![PortBinding { host_ip: None, host_port: Some(port.to_owned()) }]);
    let ports = (1..20).map(|port| (format!("{port}/tcp"), binding("8080"))).collect();
    let targets: Vec<u32> = published(&ports).iter().map(|port| port.target_port).collect();
    assert_eq!(targets, (1..20).collect::<Vec<_>>());
}

#[test]
fn volumes_and_memory_mounts_send_only_what_is_asked_for() {
    let mounted = |wanted: Mount| mounts::mounts(&[wanted]).unwrap().remove(0);
    let volume = |driver: &str, options: &[(&str, &str)]| {
        let pairs = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let options = VolumeOptions {
            driver: driver.into(),
            driver_options: pairs.collect(),
            ..VolumeOptions::default()
        };
        let wanted = mounted(Mount { volume: Some(options), ..Mount::default() });
        wanted.volume_options.unwrap().driver_config.map(|config| config.name)
    };
    assert_eq!(volume("", &[]), None);
    assert_eq!(volume("nfs", &[]), Some(Some("nfs".to_owned())));
    assert_eq!(volume("", &[("o", "ro")]), Some(None));
    let tmpfs = |size_bytes: u64, mode: u32, options: &str| {
        let options = TmpfsOptions { size_bytes, mode, options: options.into() };
        let sent = mounted(Mount { tmpfs: Some(options), ..Mount::default() });
        let sent = sent.tmpfs_options.unwrap();
        (sent.size_bytes, sent.mode, sent.options)
    };
    assert_eq!(tmpfs(0, 0, ""), (None, None, None));
    let pairs = [vec!["noexec"], vec!["uid", "5"]];
    let pairs = pairs.map(|pair| pair.into_iter().map(str::to_owned).collect()).to_vec();
    assert_eq!(tmpfs(64, 0o700, "noexec,,uid=5"), (Some(64), Some(0o700), Some(pairs)));
}
