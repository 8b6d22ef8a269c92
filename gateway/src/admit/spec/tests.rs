//! Each refusal of a spec: what is asked, and the words of the answer.

mod mounts;
mod not_supported;
mod users;

use super::*;
use skep_projections::fixture::{World, service_spec};
use skep_proto::v1::{
    BindOptions, ContainerSpec, EndpointMode, EndpointSpec, FailureAction, GenericResource,
    GenericRuntime, Global, HealthCheck, LogDriver, Mount, MountType, PlacementPreference,
    Privileges, PublishMode, RefusalCode, ReplicatedJob, ResourceReference, ResourceRequirements,
    Resources, ServiceMode, TmpfsOptions, UpdateConfig, UpdateOrder, VolumeOptions,
    service_mode::Mode,
};

/// One node with the docker runtime and 4 CPUs.
const ENGINE: &str = "node n1 runtime=docker plugin=Volume:nfs:latest";

fn asked(story: &str, change: impl FnOnce(&mut ServiceSpec)) -> Result<(), Refusal> {
    let mut spec = service_spec("web");
    change(&mut spec);
    validate(&World::of(story).view, &spec)
}

fn allowed(change: impl FnOnce(&mut ServiceSpec)) {
    assert_eq!(asked(ENGINE, change), Ok(()));
}

fn refused(change: impl FnOnce(&mut ServiceSpec), code: RefusalCode, message: &str, hint: &str) {
    let refusal = asked(ENGINE, change).expect_err(message);
    assert_eq!((refusal.message.as_str(), refusal.hint.as_str()), (message, hint));
    assert_eq!(refusal.code, code, "{message}");
}

fn invalid(change: impl FnOnce(&mut ServiceSpec), message: &str, hint: &str) {
    refused(change, RefusalCode::Invalid, message, hint);
}

fn unsupported(change: impl FnOnce(&mut ServiceSpec), message: &str, hint: &str) {
    refused(change, RefusalCode::Unsupported, message, hint);
}

fn task(spec: &mut ServiceSpec) -> &mut TaskSpec {
    spec.task.get_or_insert_default()
}

fn container(spec: &mut ServiceSpec) -> &mut ContainerSpec {
    match task(spec).runtime.as_mut() {
        Some(Runtime::Container(container)) => container,
        other => panic!("no container: {other:?}"),
    }
}

fn mount(kind: MountType, source: &str, target: &str) -> Mount {
    Mount { r#type: kind as i32, source: source.into(), target: target.into(), ..Mount::default() }
}

fn port(published_port: u32, target_port: u32) -> PortConfig {
    PortConfig {
        published_port,
        target_port,
        publish_mode: PublishMode::Host as i32,
        ..PortConfig::default()
    }
}

fn with_ports(ports: &[PortConfig]) -> impl FnOnce(&mut ServiceSpec) + '_ {
    move |spec| {
        spec.endpoint = Some(EndpointSpec { ports: ports.to_vec(), ..EndpointSpec::default() })
    }
}

fn in_network(spec: &mut ServiceSpec, target: &str) {
    task(spec)
        .networks
        .push(NetworkAttachment { target: target.into(), ..NetworkAttachment::default() });
}

fn limited(nano_cpus: i64, memory_bytes: i64) -> ResourceRequirements {
    let limits = Some(Resources { nano_cpus, memory_bytes, generic: Vec::new() });
    ResourceRequirements { limits, ..ResourceRequirements::default() }
}

fn reserved(nano_cpus: i64, memory_bytes: i64) -> ResourceRequirements {
    let reservations = Some(Resources { nano_cpus, memory_bytes, generic: Vec::new() });
    ResourceRequirements { reservations, ..ResourceRequirements::default() }
}

#[test]
fn the_plain_spec_is_admitted() {
    allowed(|_| {});
}

#[test]
fn a_name_has_letters_digits_and_marks_within() {
    let hint = "1 to 63 letters, digits, '-' and '_', beginning and ending with a letter or digit";
    for name in ["", "-a", "a-", "_", "a b", "a.b", "ä", &"a".repeat(64)] {
        let change =
            |spec: &mut ServiceSpec| spec.annotations.get_or_insert_default().name = name.into();
        invalid(change, &format!("{name:?} is not a service name"), hint);
    }
    allowed(|spec| {
        spec.annotations.get_or_insert_default().name = format!("a_-{}", "9".repeat(60))
    });
}

#[test]
fn labels_are_bounded_and_plain() {
    let with = |key: &str, value: &str| {
        let (key, value) = (key.to_owned(), value.to_owned());
        move |spec: &mut ServiceSpec| {
            drop(spec.annotations.get_or_insert_default().labels.insert(key, value))
        }
    };
    invalid(with("", "x"), "a label needs a key", "write key=value");
    invalid(with("a", "\u{1b}[2J"), "label \"a\" holds control characters", "");
    allowed(with("größe", "naïve"));
    invalid(with("a\n", "x"), "label \"a\\n\" holds control characters", "");
    let (fits, long) = ("k".repeat(4_096), "k".repeat(4_097));
    allowed(with(&fits, &fits));
    let message = format!("label \"{}…\" is longer than 4096 bytes", "k".repeat(80));
    invalid(with(&long, ""), &message, "");
    invalid(with("k", &long), "label \"k\" is longer than 4096 bytes", "");
    let many =
        |n: usize| (0..n).map(|n| (n.to_string(), String::new())).collect::<BTreeMap<_, _>>();
    allowed(|spec| spec.annotations.get_or_insert_default().labels = many(256));
    invalid(
        |spec| spec.annotations.get_or_insert_default().labels = many(257),
        "a service may have 256 labels at most",
        "",
    );
    invalid(
        |spec| container(spec).labels = many(257),
        "a container may have 256 labels at most",
        "",
    );
}

#[test]
fn what_is_run_must_be_a_container() {
    let absent = "the service has no image";
    let hint = "name an image or a program to run";
    invalid(|spec| spec.task = None, "the service has no task spec", "");
    invalid(|spec| task(spec).runtime = None, absent, hint);
    invalid(|spec| container(spec).image = " ".into(), absent, hint);
    invalid(
        |spec| container(spec).image = "a b".into(),
        "\"a b\" is not an image: it holds blanks",
        "",
    );
    unsupported(
        |spec| task(spec).runtime = Some(Runtime::Generic(GenericRuntime::default())),
        "only containers can be run; other runtimes are not supported yet",
        "",
    );
}

#[test]
fn an_image_is_a_reference_or_a_program_that_some_node_can_run() {
    let hint = "write [HOST[:PORT]/]NAME[:TAG][@DIGEST], with the name in lower case";
    let image =
        |image: &'static str| move |spec: &mut ServiceSpec| container(spec).image = image.into();
    invalid(image("Busybox"), "\"Busybox\" is not an image: its name must be lower case", hint);
    invalid(
        image("/bin/sh"),
        "\"/bin/sh\" is not an image: its name must be letters and digits, separated by single '.', '_', '-' or '/'",
        hint,
    );
    for program in ["Xvfb", "/bin/sh", "/opt/My-App"] {
        assert_eq!(asked("node n1 runtime=process", image(program)), Ok(()), "{program}");
        assert_eq!(asked("", image(program)), Ok(()), "{program}: a node may still come");
    }
    for neither in ["App:tag", "bin/Sh", "Sh@x"] {
        assert!(asked("node n1 runtime=process", image(neither)).is_err(), "{neither}");
    }
    let long = format!("/{}", "a".repeat(4_095));
    assert!(asked("", |spec| container(spec).image = long).is_err());
}

#[test]
fn variables_have_a_name_and_hold_no_template() {
    let with = |variable: &'static str| {
        move |spec: &mut ServiceSpec| container(spec).env.push(variable.into())
    };
    for bad in ["", "=x", "A=\0"] {
        invalid(with(bad), &format!("{bad:?} is not an environment variable"), "write NAME=VALUE");
    }
    let blanks = "the name of the environment variable \"A B\" holds blanks";
    invalid(with("A B=1"), blanks, "write NAME=VALUE");
    let hint = "write the value itself; \"{{\" can't be part of it";
    unsupported(
        with("WHO={{.Service.Name}}"),
        "the environment variable WHO holds a template: not supported yet",
        hint,
    );
    unsupported(
        with("X={{"),
        "the environment variable X holds a template: not supported yet",
        hint,
    );
    for good in ["A=b c\nd", "A", "A=", "a.b-c=1", "A={x}}"] {
        allowed(with(good));
    }
}

#[test]
fn a_host_name_is_one_that_kernels_take() {
    let with = |name: &str| {
        let name = name.to_owned();
        move |spec: &mut ServiceSpec| container(spec).hostname = name
    };
    let hint = "write words of letters, digits and '-', separated by dots, 64 bytes in all";
    let long = format!("{}.example", "a".repeat(70));
    invalid(with(&long), &format!("host name {long:?} has 78 bytes, 64 are possible"), hint);
    invalid(
        with(&"b".repeat(65)),
        &format!("host name {:?} has 65 bytes, 64 are possible", "b".repeat(65)),
        hint,
    );
    invalid(with("under_score!"), "host name \"under_score!\" holds the character '_'", hint);
    invalid(with("a b"), "host name \"a b\" holds the character ' '", hint);
    invalid(with("ä"), "host name \"ä\" holds the character 'ä'", hint);
    for bad in ["a..b", ".a", "a.", "-a", "a-", "a.-b", "a-.b"] {
        let message =
            format!("host name {bad:?} has a label that is empty or begins or ends with '-'");
        invalid(with(bad), &message, hint);
    }
    let template = "the host name holds a template: not supported yet";
    unsupported(
        with("{{.Node.ID}}"),
        template,
        "write the value itself; \"{{\" can't be part of it",
    );
    for good in [&"b".repeat(64), "db-1.example", "9"] {
        allowed(with(good));
    }
}

#[test]
fn words_for_a_program_hold_no_zero_byte() {
    let hint = "leave it out";
    invalid(
        |spec| container(spec).args.push("a\0".into()),
        "the argument \"a\\0\" holds a zero byte",
        hint,
    );
    invalid(
        |spec| container(spec).command.push("\0".into()),
        "the argument \"\\0\" holds a zero byte",
        hint,
    );
    invalid(
        |spec| container(spec).dir = "/\0".into(),
        "the working directory \"/\\0\" holds a zero byte",
        hint,
    );
    allowed(|spec| container(spec).args.push("{{.ID}} \n".into()));
}

#[test]
fn a_working_directory_is_absolute() {
    let message = "working directory \"work\" is not an absolute path";
    invalid(|spec| container(spec).dir = "work".into(), message, "begin it with '/'");
    allowed(|spec| container(spec).dir = "/work".into());
}

#[test]
fn a_stop_signal_is_a_signal() {
    for bad in ["SIGFOO", "0", "65", "-1", "RTMIN+31", "RTMAX+1", "RTMIN-1", "SIG", "SIGRTMINx"] {
        let message = format!("{bad:?} is not a signal");
        let hint = "write a name such as SIGTERM, or a number";
        invalid(|spec| container(spec).stop_signal = bad.into(), &message, hint);
    }
    for good in ["", "SIGTERM", "term", "1", "64", "SIGRTMIN", "RTMIN+30", "SIGRTMAX-30", "sigusr1"]
    {
        allowed(|spec| container(spec).stop_signal = good.into());
    }
}

#[test]
fn no_duration_is_longer_than_ten_years() {
    let long = DURATION_NS_MAX + 1;
    let hint = "write a shorter one";
    let too_long = |what: &str| format!("{what} is longer than ten years");
    let policy =
        |delay_ns, window_ns| RestartPolicy { delay_ns, window_ns, ..RestartPolicy::default() };
    invalid(
        |s| task(s).restart = Some(policy(Some(long), 0)),
        &too_long("the restart delay"),
        hint,
    );
    invalid(|s| task(s).restart = Some(policy(None, long)), &too_long("the restart window"), hint);
    invalid(
        |s| container(s).stop_grace_period_ns = Some(long),
        &too_long("the grace period"),
        hint,
    );
    let update = UpdateConfig { parallelism: 1, monitor_ns: Some(long), ..UpdateConfig::default() };
    invalid(|s| s.update = Some(update), &too_long("the monitor time of updates"), hint);
    let check = HealthCheck { interval_ns: long, ..HealthCheck::default() };
    invalid(
        |s| container(s).health = Some(check),
        &too_long("a duration of the health check"),
        hint,
    );
    allowed(|s| task(s).restart = Some(policy(Some(DURATION_NS_MAX), DURATION_NS_MAX)));
}

#[test]
fn a_restart_condition_is_a_known_one() {
    let policy = RestartPolicy { condition: 3, ..RestartPolicy::default() };
    let hint = "write any, on-failure or none";
    invalid(|spec| task(spec).restart = Some(policy), "restart condition 3 is unknown", hint);
}

#[test]
fn a_health_check_can_be_run() {
    let check = |test: &'static [&'static str]| {
        let test = test.iter().map(|word| (*word).to_owned()).collect();
        move |spec: &mut ServiceSpec| {
            container(spec).health = Some(HealthCheck { test, ..HealthCheck::default() })
        }
    };
    invalid(check(&["curl"]), "a health check can't begin with \"curl\"", "CMD, CMD-SHELL or NONE");
    invalid(
        check(&["CMD"]),
        "a health check of CMD names no program",
        "write the program after CMD",
    );
    let line = "write the whole line as one argument after CMD-SHELL";
    for test in [&["CMD-SHELL"][..], &["CMD-SHELL", "a", "b"]] {
        invalid(check(test), "a health check of CMD-SHELL takes one command line", line);
    }
    invalid(check(&["NONE", "x"]), "a health check of NONE takes no arguments", "write NONE alone");
    invalid(check(&["CMD", "\0"]), "the health check \"\\0\" holds a zero byte", "leave it out");
    for good in [&[][..], &["NONE"], &["CMD", "true"], &["CMD", "a", "b"], &["CMD-SHELL", "a | b"]]
    {
        allowed(check(good));
    }
    for ns in [1, 999_999] {
        let short = HealthCheck { timeout_ns: ns, ..HealthCheck::default() };
        let message = "a health check's durations must be 0 or at least 1 ms";
        invalid(|spec| container(spec).health = Some(short), message, "");
    }
    let shortest = HealthCheck {
        timeout_ns: 1_000_000,
        start_interval_ns: 1_000_000,
        ..HealthCheck::default()
    };
    allowed(|spec| container(spec).health = Some(shortest));
}

#[test]
fn amounts_are_such_as_engines_take() {
    let with = |resources: ResourceRequirements| {
        move |spec: &mut ServiceSpec| task(spec).resources = Some(resources)
    };
    let cpu = "CPU limit is below the minimum";
    for nano_cpus in [1, 9_999_999, -1] {
        invalid(with(limited(nano_cpus, 0)), cpu, "at least 0.01 of a CPU");
    }
    allowed(with(limited(10_000_000, 0)));
    invalid(
        with(reserved(999_999, 0)),
        "CPU reservation is below the minimum",
        "at least 0.001 of a CPU",
    );
    allowed(with(reserved(1_000_000, 0)));
    for memory_bytes in [1, (6 << 20) - 1, -1] {
        invalid(
            with(limited(0, memory_bytes)),
            "memory limit is below the minimum",
            "at least 6MiB",
        );
        invalid(
            with(reserved(0, memory_bytes)),
            "memory reservation is below the minimum",
            "at least 6MiB",
        );
    }
    allowed(with(limited(0, 6 << 20)));
    let both = |limit: ResourceRequirements, reserved: ResourceRequirements| ResourceRequirements {
        reservations: reserved.reservations,
        ..limit
    };
    let (message, hint) = (
        "more is reserved than the limit allows to be used",
        "raise the limit or lower the reservation",
    );
    invalid(with(both(limited(1 << 30, 0), reserved((1 << 30) + 1, 0))), message, hint);
    invalid(with(both(limited(0, 1 << 30), reserved(0, (1 << 30) + 1))), message, hint);
    allowed(with(both(limited(1 << 30, 0), reserved(1 << 30, 1 << 40))));
}

#[test]
fn a_cpu_limit_is_within_some_machine() {
    let with = |cpus: i64| {
        move |spec: &mut ServiceSpec| task(spec).resources = Some(limited(cpus * 1_000_000_000, 0))
    };
    refused(
        with(5),
        RefusalCode::Precondition,
        "a limit of 5 CPUs is more than any node offers (4)",
        "limit it to 4 CPUs at most, or add a larger node",
    );
    allowed(with(4));
    assert_eq!(
        asked("node n1 runtime=docker cpus=3.5", with(4)),
        Ok(()),
        "half a CPU is kept for the system"
    );
    assert_eq!(asked("node n1 runtime=docker | node n2 runtime=docker cpus=8", with(5)), Ok(()));
    assert_eq!(asked("node n1 runtime=docker | node n2 runtime=process", with(5)), Ok(()));
    assert!(
        asked("node n1 runtime=docker | node n2 runtime=docker cpus=8 | rmnode n2", with(5))
            .is_err()
    );
    assert_eq!(asked("", with(5)), Ok(()), "a node may still come");
}

#[test]
fn a_constraint_can_be_met_and_there_are_not_too_many() {
    let with = |texts: Vec<String>| {
        move |spec: &mut ServiceSpec| {
            task(spec).placement.get_or_insert_default().constraints = texts
        }
    };
    invalid(
        with(vec!["node.foo==1".into()]),
        "constraint \"node.foo==1\" has the key \"node.foo\", which nodes do not have",
        "the keys are node.id, node.hostname, node.ip, node.role, node.platform.os, node.platform.arch, \
         node.labels.KEY, engine.labels.KEY",
    );
    allowed(with(vec!["node.labels.jobs==".into(), "node.role!=manager".into()]));
    allowed(with(vec!["node.labels.a==1".into(); 256]));
    invalid(
        with(vec!["node.labels.a==1".into(); 257]),
        "a service may have 256 constraints at most",
        "",
    );
}

#[test]
fn ports_are_in_range_and_published_once() {
    let hint = "ports are 1 to 65535";
    invalid(with_ports(&[port(80, 0)]), "port 80:0 is out of range", hint);
    invalid(with_ports(&[port(80, 65_536)]), "port 80:65536 is out of range", hint);
    invalid(with_ports(&[port(65_536, 80)]), "port 65536:80 is out of range", hint);
    let twice = [port(80, 80), port(80, 81)];
    invalid(
        with_ports(&twice),
        "port 80 is published twice",
        "publish each port once for a protocol",
    );
    let protocol = [PortConfig { protocol: 3, ..port(80, 80) }];
    invalid(with_ports(&protocol), "protocol 3 is unknown", "write tcp, udp or sctp");
    let udp = PortConfig { protocol: PortProtocol::Udp as i32, ..port(80, 80) };
    allowed(with_ports(&[port(80, 80), udp, port(0, 1), port(0, 2), port(65_535, 65_535)]));
}

#[test]
fn a_task_has_one_network_and_publishes_from_its_own() {
    let message = "a task can't be in the networks \"host\" and \"none\" at once";
    invalid(
        |spec| ["host", "none"].iter().for_each(|target| in_network(spec, target)),
        message,
        "name one of host, none and bridge",
    );
    for target in ["host", "none"] {
        let change = |spec: &mut ServiceSpec| {
            in_network(spec, target);
            with_ports(&[port(80, 80)])(spec);
        };
        let message = format!("no port can be published from the network {target:?}");
        invalid(change, &message, "leave out the network, or the ports");
        allowed(|spec| in_network(spec, target));
    }
    allowed(|spec| {
        in_network(spec, "bridge");
        with_ports(&[port(80, 80)])(spec);
    });
}
