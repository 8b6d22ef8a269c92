//! Refusals of what is not built yet.

use super::*;

#[test]
fn modes_that_are_not_built_are_refused() {
    let mode = |mode: Mode| {
        move |spec: &mut ServiceSpec| spec.mode = Some(ServiceMode { mode: Some(mode) })
    };
    invalid(|spec| spec.mode = None, "the service has no mode", "mode is replicated");
    let hint = "use replicated with a constraint per node";
    unsupported(mode(Mode::Global(Global {})), "mode global: not supported yet", hint);
    let hint = "use --restart-condition none for work that ends";
    unsupported(
        mode(Mode::ReplicatedJob(ReplicatedJob::default())),
        "jobs: not supported yet",
        hint,
    );
}

#[test]
fn of_the_settings_for_updates_only_the_monitor_time_is_free() {
    let one = UpdateConfig { parallelism: 1, ..UpdateConfig::default() };
    let hint = "leave the update settings out, or write parallelism 1 and a monitor time";
    let refused = [
        (UpdateConfig::default(), "update parallelism 0, all tasks at once, is not supported yet"),
        (
            UpdateConfig { parallelism: 2, ..one },
            "an update parallelism above 1 is not supported yet",
        ),
        (UpdateConfig { delay_ns: 1, ..one }, "an update delay is not supported yet"),
        (
            UpdateConfig { failure_action: FailureAction::Rollback as i32, ..one },
            "an update failure action other than pause is not supported yet",
        ),
        (
            UpdateConfig { max_failure_ratio: 0.1, ..one },
            "an update failure ratio is not supported yet",
        ),
        (
            UpdateConfig { order: UpdateOrder::StartFirst as i32, ..one },
            "an update order other than stop-first is not supported yet",
        ),
    ];
    for (config, message) in refused {
        unsupported(|spec| spec.update = Some(config), message, hint);
    }
    allowed(|spec| spec.update = Some(UpdateConfig { monitor_ns: Some(0), ..one }));
    let hint = "leave them out; update to the earlier spec instead";
    unsupported(|spec| spec.rollback = Some(one), "rollback settings: not supported yet", hint);
}

#[test]
fn endpoints_that_are_not_built_are_refused() {
    let endpoint = EndpointSpec { mode: EndpointMode::Dnsrr as i32, ..EndpointSpec::default() };
    let message = "endpoint mode dnsrr: not supported yet";
    unsupported(|spec| spec.endpoint = Some(endpoint), message, "leave it out");
    let mesh = [PortConfig { target_port: 80, ..PortConfig::default() }];
    let message = "publishing through the ingress mesh: not supported yet";
    unsupported(with_ports(&mesh), message, "write mode=host");
}

#[test]
fn parts_of_a_task_that_are_not_built_are_refused() {
    let not_yet = |change: Box<dyn FnOnce(&mut TaskSpec)>, what: &str| {
        unsupported(
            |spec| change(task(spec)),
            &format!("{what}: not supported yet"),
            "leave it out",
        );
    };
    let generic =
        || Resources { generic: vec![GenericResource::default()], ..Resources::default() };
    let preference = PlacementPreference { spread: "node.labels.zone".into() };
    not_yet(
        Box::new(|task| task.placement.get_or_insert_default().preferences.push(preference)),
        "placement preferences",
    );
    let needs = ResourceRequirements { limits: Some(generic()), ..ResourceRequirements::default() };
    not_yet(Box::new(move |task| task.resources = Some(needs)), "generic resources");
    let needs =
        ResourceRequirements { reservations: Some(generic()), ..ResourceRequirements::default() };
    not_yet(Box::new(move |task| task.resources = Some(needs)), "generic resources");
    let needs = ResourceRequirements { swap_bytes: Some(0), ..ResourceRequirements::default() };
    not_yet(Box::new(move |task| task.resources = Some(needs)), "swap settings");
    let needs =
        ResourceRequirements { memory_swappiness: Some(0), ..ResourceRequirements::default() };
    not_yet(Box::new(move |task| task.resources = Some(needs)), "swap settings");
    not_yet(Box::new(|task| task.log_driver = Some(LogDriver::default())), "a log driver");
    not_yet(
        Box::new(|task| task.resource_references.push(ResourceReference::default())),
        "resource references",
    );
    let network =
        |target: &str| NetworkAttachment { target: target.into(), ..NetworkAttachment::default() };
    not_yet(
        Box::new(move |task| task.networks.push(network("mine"))),
        "a network other than host, none or bridge",
    );
    let named = NetworkAttachment { aliases: vec!["db".into()], ..network("bridge") };
    not_yet(
        Box::new(move |task| task.networks.push(named)),
        "network aliases, addresses and options",
    );
    let fixed = NetworkAttachment { addresses: vec!["10.0.0.1".into()], ..network("bridge") };
    not_yet(
        Box::new(move |task| task.networks.push(fixed)),
        "network aliases, addresses and options",
    );
    let option = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    let with = NetworkAttachment { driver_options: option, ..network("bridge") };
    not_yet(
        Box::new(move |task| task.networks.push(with)),
        "network aliases, addresses and options",
    );
}

#[test]
fn parts_of_a_container_that_are_not_built_are_refused() {
    type SpecEdit = fn(&mut ContainerSpec);
    let parts: [(SpecEdit, &str); 15] = [
        (|c| c.secrets.push(Default::default()), "secrets"),
        (|c| c.configs.push(Default::default()), "configs"),
        (|c| c.registry_credential_ref = "x".into(), "registry credentials"),
        (|c| c.privileges = Some(Privileges::default()), "privileges"),
        (|c| c.isolation = 1, "isolation"),
        (|c| c.groups.push("x".into()), "supplementary groups"),
        (|c| c.hosts.push("1.1.1.1 x".into()), "host entries"),
        (|c| c.dns = Some(Default::default()), "DNS settings"),
        (|c| c.pids_limit = 1, "a process limit"),
        (|c| drop(c.sysctls.insert("a".into(), "b".into())), "sysctls"),
        (|c| c.capability_add.push("x".into()), "capabilities"),
        (|c| c.capability_drop.push("x".into()), "capabilities"),
        (|c| c.ulimits.push(Default::default()), "ulimits"),
        (|c| c.oom_score_adj = 1, "an OOM score"),
        (|c| c.mounts.push(mount(MountType::Npipe, "x", "/m")), "cluster volumes and named pipes"),
    ];
    for (change, what) in parts {
        unsupported(
            |spec| change(container(spec)),
            &format!("{what}: not supported yet"),
            "leave it out",
        );
    }
}
