//! What a spec needs of a runtime, wish by wish.

use skep_projections::fixture::service_spec;
use skep_proto::v1::{
    BindOptions, ContainerSpec, EndpointSpec, Feature, HealthCheck, Mount, NetworkAttachment,
    PortConfig, PublishMode, ResourceRequirements, Resources, ServiceSpec, TaskSpec, TmpfsOptions,
    VolumeOptions, task_spec::Runtime,
};
use skep_reconcilers::placement::features::needed;

fn with_task(change: impl FnOnce(&mut TaskSpec)) -> ServiceSpec {
    let mut spec = service_spec("web");
    change(spec.task.get_or_insert_default());
    spec
}

fn with_container(change: impl FnOnce(&mut ContainerSpec)) -> ServiceSpec {
    with_task(|task| {
        let mut container = ContainerSpec { image: "app".into(), ..ContainerSpec::default() };
        change(&mut container);
        task.runtime = Some(Runtime::Container(container));
    })
}

fn needs(spec: &ServiceSpec, features: &[Feature]) {
    assert_eq!(needed(spec), features);
}

#[test]
fn a_plain_spec_needs_nothing() {
    needs(&with_container(|_| {}), &[]);
    needs(&with_container(|c| c.image = "nginx:1.27".into()), &[]);
    needs(&with_container(|c| c.init = Some(false)), &[]);
    needs(
        &with_container(|c| {
            c.health = Some(HealthCheck { test: vec!["NONE".into()], ..HealthCheck::default() })
        }),
        &[],
    );
    needs(
        &with_task(|t| {
            t.networks = vec![NetworkAttachment { target: "host".into(), ..Default::default() }]
        }),
        &[],
    );
    let resources = ResourceRequirements {
        reservations: Some(Resources { nano_cpus: 1, ..Default::default() }),
        ..Default::default()
    };
    needs(&with_task(|t| t.resources = Some(resources)), &[]);
}

#[test]
fn each_wish_that_only_some_runtimes_honour_is_a_feature() {
    needs(&with_container(|c| c.image = "app@sha256:00".into()), &[Feature::Images]);
    needs(&with_container(|c| c.registry_credential_ref = "r".into()), &[Feature::Images]);
    needs(&with_container(|c| c.mounts = vec![Mount::default()]), &[Feature::Mounts]);
    let checked = HealthCheck { test: vec!["CMD".into(), "true".into()], ..HealthCheck::default() };
    needs(&with_container(|c| c.health = Some(checked)), &[Feature::Health]);
    needs(&with_container(|c| c.pids_limit = 10), &[Feature::Limits]);
    let limits = |nano_cpus, memory_bytes| {
        let limits = Resources { nano_cpus, memory_bytes, ..Default::default() };
        let resources = ResourceRequirements { limits: Some(limits), ..Default::default() };
        with_task(|task| task.resources = Some(resources))
    };
    needs(&limits(0, 0), &[]);
    needs(&limits(1, 0), &[Feature::Limits]);
    needs(&limits(0, 1), &[Feature::Limits]);
    needs(&with_container(|c| c.hostname = "h".into()), &[Feature::Hostname]);
    needs(&with_container(|c| c.read_only = true), &[Feature::ReadOnly]);
    needs(&with_container(|c| c.init = Some(true)), &[Feature::Init]);
    needs(&with_container(|c| c.user = "nobody".into()), &[Feature::User]);
    needs(&with_container(|c| c.groups = vec!["wheel".into()]), &[Feature::User]);
    needs(&with_container(|c| c.tty = true), &[Feature::Tty]);
    needs(&with_container(|c| c.open_stdin = true), &[Feature::Tty]);
    needs(
        &with_container(|c| drop(c.labels.insert("a".into(), "b".into()))),
        &[Feature::ContainerLabels],
    );
    let network =
        |target: &str| vec![NetworkAttachment { target: target.into(), ..Default::default() }];
    needs(&with_task(|t| t.networks = network("bridge")), &[Feature::BridgeNetwork]);
    needs(&with_task(|t| t.networks = network("none")), &[Feature::NoNetwork]);
    let limits = Resources { memory_bytes: 1 << 20, ..Resources::default() };
    let limited = ResourceRequirements { limits: Some(limits), ..ResourceRequirements::default() };
    needs(&with_task(|t| t.resources = Some(limited)), &[Feature::Limits]);
}

#[test]
fn options_that_older_engines_ignore_are_features() {
    let mounted = |mount: Mount| with_container(|c| c.mounts = vec![mount]);
    let bind = |bind| mounted(Mount { bind: Some(bind), ..Mount::default() });
    needs(&bind(BindOptions { non_recursive: true, ..BindOptions::default() }), &[Feature::Mounts]);
    needs(
        &bind(BindOptions { create_mountpoint: true, ..BindOptions::default() }),
        &[Feature::Mounts, Feature::CreateMountpoint],
    );
    needs(
        &bind(BindOptions { read_only_force_recursive: true, ..BindOptions::default() }),
        &[Feature::Mounts, Feature::ReadOnlyRecursive],
    );
    let part = VolumeOptions { subpath: "a".into(), ..VolumeOptions::default() };
    needs(
        &mounted(Mount { volume: Some(part), ..Mount::default() }),
        &[Feature::Mounts, Feature::VolumeSubpath],
    );
    let small = TmpfsOptions { options: "noexec".into(), ..TmpfsOptions::default() };
    needs(
        &mounted(Mount { tmpfs: Some(small), ..Mount::default() }),
        &[Feature::Mounts, Feature::TmpfsOptions],
    );
    let often = |test: &[&str]| {
        let test = test.iter().map(ToString::to_string).collect();
        let health = HealthCheck { test, start_interval_ns: 1, ..HealthCheck::default() };
        with_container(|c| c.health = Some(health))
    };
    needs(&often(&["CMD", "true"]), &[Feature::Health, Feature::HealthStartInterval]);
    needs(&often(&[]), &[Feature::HealthStartInterval]);
    needs(&often(&["NONE"]), &[]);
}

#[test]
fn only_ports_of_the_node_need_publishing() {
    let with_port = |mode: PublishMode| {
        let port = PortConfig {
            target_port: 80,
            published_port: 80,
            publish_mode: mode as i32,
            ..Default::default()
        };
        ServiceSpec {
            endpoint: Some(EndpointSpec { ports: vec![port], ..Default::default() }),
            ..service_spec("web")
        }
    };
    needs(&with_port(PublishMode::Host), &[Feature::PublishHost]);
    needs(&with_port(PublishMode::Ingress), &[]);
}

#[test]
fn what_is_needed_twice_is_named_once_and_in_order() {
    let spec = with_container(|c| {
        c.tty = true;
        c.open_stdin = true;
        c.mounts = vec![Mount::default(), Mount::default()];
        c.user = "nobody".into();
        c.groups = vec!["wheel".into()];
    });
    needs(&spec, &[Feature::Mounts, Feature::User, Feature::Tty]);
}
