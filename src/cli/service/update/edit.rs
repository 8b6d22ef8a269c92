//! What `skep service update` changes in a spec. PURE.

use super::ServiceUpdate;
use crate::cli::{
    fail::{CliError, CliResult},
    parse,
    service::{create::attachment, flags::container},
};
use skep_proto::{
    defaults,
    v1::{self, service_mode::Mode},
};

/// Makes the changes that the flags name.
pub(super) fn edit(spec: &mut v1::ServiceSpec, args: &ServiceUpdate) -> CliResult {
    let labels = &mut spec.annotations.get_or_insert_with(v1::Annotations::default).labels;
    args.label_rm.iter().for_each(|key| drop(labels.remove(key)));
    labels.extend(args.label_add.iter().cloned());
    if let Some(replicas) = args.replicas {
        let mode = spec.mode.get_or_insert_with(v1::ServiceMode::default);
        match &mut mode.mode {
            Some(Mode::Replicated(replicated)) => replicated.replicas = replicas,
            None => mode.mode = Some(Mode::Replicated(v1::Replicated { replicas })),
            Some(Mode::Global(_) | Mode::ReplicatedJob(_) | Mode::GlobalJob(_)) => {
                return Err(CliError::refused(
                    "only replicated services have a number of replicas",
                ));
            }
        }
    }
    edit_ports(spec, args);
    edit_task(spec.task.get_or_insert_with(v1::TaskSpec::default), args).map_err(CliError::refused)
}

/// What is to be taken away and is not there. As with Docker that is no error.
pub(super) fn absent(spec: &v1::ServiceSpec, args: &ServiceUpdate) -> Vec<String> {
    let labels = spec.annotations.as_ref().map(|annotations| &annotations.labels);
    let task = spec.task.as_ref();
    let container = task.and_then(defaults::container);
    let constraints = task.and_then(|task| task.placement.as_ref()).map(|p| &p.constraints);
    let ports = spec.endpoint.as_ref().map_or(&[][..], |endpoint| &endpoint.ports);
    let mut absent = Vec::new();
    let mut look = |noun: &str, keys: &[String], is_there: &dyn Fn(&str) -> bool| {
        let missing = keys.iter().filter(|key| !is_there(key));
        absent.extend(missing.map(|key| format!("{noun} {key:?}")));
    };
    look("label", &args.label_rm, &|key| labels.is_some_and(|labels| labels.contains_key(key)));
    look("container label", &args.container_label_rm, &|key| {
        container.is_some_and(|container| container.labels.contains_key(key))
    });
    look("environment variable", &args.env_rm, &|name| {
        container.is_some_and(|c| c.env.iter().any(|own| parse::env_name(own) == name))
    });
    look("mount at", &args.mount_rm, &|target| {
        container.is_some_and(|c| c.mounts.iter().any(|own| own.target == target))
    });
    look("constraint", &args.constraint_rm, &|gone| {
        constraints.is_some_and(|all| all.iter().any(|own| unspaced(own) == unspaced(gone)))
    });
    look("network", &args.network_rm, &|target| {
        task.is_some_and(|task| task.networks.iter().any(|own| own.target == target))
    });
    for (target, protocol) in &args.publish_rm {
        if !ports.iter().any(|port| meets(port, *target, *protocol)) {
            absent.push(format!("published port with target {target}"));
        }
    }
    absent
}

/// A constraint means the same with and without blanks.
fn unspaced(text: &str) -> String {
    text.split_whitespace().collect()
}

fn edit_ports(spec: &mut v1::ServiceSpec, args: &ServiceUpdate) {
    if args.publish_add.is_empty() && args.publish_rm.is_empty() {
        return;
    }
    let endpoint = spec.endpoint.get_or_insert_with(v1::EndpointSpec::default);
    let gone = |port: &v1::PortConfig| {
        args.publish_rm.iter().any(|(target, protocol)| meets(port, *target, *protocol))
    };
    let anew = |port: &v1::PortConfig| {
        args.publish_add.iter().any(|new| meets(port, new.target_port, new.protocol()))
    };
    endpoint.ports.retain(|port| !gone(port) && !anew(port));
    endpoint.ports.extend(args.publish_add.iter().cloned());
}

fn meets(port: &v1::PortConfig, target: u32, protocol: v1::PortProtocol) -> bool {
    port.target_port == target && port.protocol() == protocol
}

fn edit_task(task: &mut v1::TaskSpec, args: &ServiceUpdate) -> Result<(), String> {
    let container = container(task)?;
    if let Some(image) = &args.image {
        container.image.clone_from(image);
    }
    if let Some(words) = &args.args {
        container.args.clone_from(&words.0);
    }
    container
        .env
        .retain(|variable| !args.env_rm.iter().any(|gone| gone == parse::env_name(variable)));
    container.env =
        parse::last_of_each(container.env.drain(..).chain(args.env_add.iter().cloned()));
    let renewed = |mount: &v1::Mount| args.mount_add.iter().any(|new| new.target == mount.target);
    container.mounts.retain(|mount| !args.mount_rm.contains(&mount.target) && !renewed(mount));
    container.mounts.extend(args.mount_add.iter().cloned());
    args.container_label_rm.iter().for_each(|key| drop(container.labels.remove(key)));
    container.labels.extend(args.container_label_add.iter().cloned());
    if !args.constraint_add.is_empty() || !args.constraint_rm.is_empty() {
        let constraints =
            &mut task.placement.get_or_insert_with(v1::Placement::default).constraints;
        constraints
            .retain(|own| !args.constraint_rm.iter().any(|gone| unspaced(gone) == unspaced(own)));
        let new: Vec<String> =
            args.constraint_add.iter().filter(|new| !constraints.contains(new)).cloned().collect();
        constraints.extend(new);
    }
    task.networks.retain(|network| !args.network_rm.contains(&network.target));
    for target in &args.network_add {
        if !task.networks.iter().any(|network| network.target == *target) {
            task.networks.push(attachment(target));
        }
    }
    if args.force {
        task.force_update += 1;
    }
    args.task.apply(task)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct UpdateLine {
        #[command(flatten)]
        update: ServiceUpdate,
    }

    fn check(before: &v1::ServiceSpec, flags: &[&str]) -> v1::ServiceSpec {
        let line = ["skep", "web"].iter().chain(flags);
        let args = UpdateLine::try_parse_from(line).expect("a good command line").update;
        let mut spec = before.clone();
        edit(&mut spec, &args).expect("it can be done");
        spec
    }

    #[test]
    fn pairs_add_change_and_take_away() {
        let spec = check(
            &v1::ServiceSpec::default(),
            &[
                "--env-add",
                "A=1",
                "--env-add",
                "B=2",
                "--label-add",
                "x=y",
                "--constraint-add",
                "node.role==worker",
                "--mount-add",
                "type=tmpfs,target=/t",
                "--publish-add",
                "published=1,target=80,mode=host",
                "--replicas",
                "3",
            ],
        );
        let spec = check(
            &spec,
            &[
                "--env-add",
                "A=9",
                "--env-rm",
                "B",
                "--label-rm",
                "x",
                "--constraint-rm",
                "node.role == worker",
                "--mount-add",
                "type=volume,source=v,target=/t",
                "--publish-add",
                "published=2,target=80,mode=host",
                "--force",
            ],
        );
        let task = spec.task.clone().expect("a task");
        let container = defaults::container(&task).expect("a container");
        assert_eq!(container.env, ["A=9"]);
        assert_eq!(container.mounts.len(), 1);
        assert_eq!(container.mounts[0].source, "v");
        assert_eq!(
            spec.endpoint.map(|e| e.ports.iter().map(|p| p.published_port).collect::<Vec<_>>()),
            Some(vec![2])
        );
        assert_eq!(task.placement.map(|p| p.constraints), Some(vec![]));
        assert_eq!(task.force_update, 1);
        assert!(spec.annotations.is_some_and(|a| a.labels.is_empty()));
        assert_eq!(
            defaults::replicas(&v1::ServiceSpec { mode: spec.mode, ..v1::ServiceSpec::default() }),
            Some(3)
        );
    }

    fn container_of(spec: &v1::ServiceSpec) -> v1::ContainerSpec {
        let task = spec.task.as_ref().expect("a task");
        defaults::container(task).expect("a container").clone()
    }

    #[test]
    fn only_what_is_named_is_taken_away() {
        let words = "--publish-add published=1,target=80,mode=host \
             --publish-add published=2,target=80,protocol=udp,mode=host \
             --publish-add published=3,target=90,mode=host \
             --mount-add type=tmpfs,target=/a --mount-add type=tmpfs,target=/b \
             --network-add host --constraint-add node.role==worker \
             --constraint-add node.hostname==n1 \
             --label-add a=1 --label-add b=2 \
             --container-label-add c=1 --container-label-add d=2";
        let words: Vec<&str> = words.split_whitespace().collect();
        let before = check(&v1::ServiceSpec::default(), &words);
        let labels = |spec: &v1::ServiceSpec| {
            let keys = |labels: &std::collections::BTreeMap<String, String>| {
                labels.keys().cloned().collect::<Vec<_>>().join(",")
            };
            let own = spec.annotations.as_ref().map(|a| keys(&a.labels)).unwrap_or_default();
            (own, keys(&container_of(spec).labels))
        };
        let published = |spec: &v1::ServiceSpec| {
            let ports = spec.endpoint.iter().flat_map(|endpoint| &endpoint.ports);
            ports.map(|port| port.published_port).collect::<Vec<_>>()
        };
        let networks = |spec: &v1::ServiceSpec| {
            let networks = spec.task.iter().flat_map(|task| &task.networks);
            networks.map(|network| network.target.clone()).collect::<Vec<_>>()
        };
        let constraints = |spec: &v1::ServiceSpec| {
            let placement = spec.task.as_ref().and_then(|task| task.placement.clone());
            placement.map(|placement| placement.constraints).unwrap_or_default()
        };
        assert_eq!(labels(&before), ("a,b".into(), "c,d".into()));
        assert_eq!((published(&before), networks(&before)), (vec![1, 2, 3], vec!["host".into()]));
        assert_eq!(constraints(&before), ["node.role==worker", "node.hostname==n1"]);

        let words = "--publish-rm 80/tcp --mount-rm /a --network-rm bridge --network-add host \
             --constraint-add node.role==worker --constraint-add node.role!=manager \
             --label-rm a --container-label-rm c";
        let words: Vec<&str> = words.split_whitespace().collect();
        let after = check(&before, &words);
        assert_eq!(labels(&after), ("b".into(), "d".into()));
        assert_eq!((published(&after), networks(&after)), (vec![2, 3], vec!["host".into()]));
        let targets: Vec<_> =
            container_of(&after).mounts.into_iter().map(|mount| mount.target).collect();
        assert_eq!(targets, ["/b"]);
        let once = ["node.role==worker", "node.hostname==n1", "node.role!=manager"];
        assert_eq!(constraints(&after), once);
        assert_eq!(after.task.as_ref().map(|task| task.force_update), Some(0));
        assert_eq!(networks(&check(&after, &["--network-rm", "host"])), Vec::<String>::new());
    }

    #[test]
    fn what_is_to_be_taken_away_and_is_not_there_is_named() {
        let spec = check(
            &v1::ServiceSpec::default(),
            &["--label-add", "a=1", "--env-add", "E=1", "--constraint-add", "node.role==worker"],
        );
        let absent = |flags: &str| {
            let line = ["skep", "web"].into_iter().chain(flags.split(' '));
            let args = UpdateLine::try_parse_from(line).expect("a good command line").update;
            absent(&spec, &args)
        };
        let there = absent("--label-rm a --env-rm E --constraint-rm node.role==worker");
        assert_eq!(there, Vec::<String>::new());
        let missing = absent(
            "--label-rm b --container-label-rm a --env-rm F --mount-rm /m --network-rm host \
             --constraint-rm node.role!=worker --publish-rm 80",
        );
        let expected = [
            "label \"b\"",
            "container label \"a\"",
            "environment variable \"F\"",
            "mount at \"/m\"",
            "constraint \"node.role!=worker\"",
            "network \"host\"",
            "published port with target 80",
        ];
        assert_eq!(missing, expected);
        assert!(UpdateLine::try_parse_from(["skep", "web", "--label-rm", ""]).is_err());
    }

    #[test]
    fn another_image_and_other_arguments_replace_what_was_there() {
        let flags = ["--image", "a:1", "--args", "-c 'echo one'"];
        let before = container_of(&check(&v1::ServiceSpec::default(), &flags));
        assert_eq!((before.image.as_str(), before.args.len()), ("a:1", 2));
        let before = check(&v1::ServiceSpec::default(), &flags);
        let after = container_of(&check(&before, &["--image", "a:2", "--args", ""]));
        assert_eq!((after.image.as_str(), after.args.len()), ("a:2", 0));
    }

    #[test]
    fn what_was_not_said_stays() {
        let before = check(
            &v1::ServiceSpec::default(),
            &["--image", "a", "--limit-memory", "64m", "--restart-delay", "1s"],
        );
        let after = check(&before, &["--limit-cpu", "0.5"]);
        let task = after.task.expect("a task");
        let limits = task.resources.and_then(|r| r.limits).expect("limits");
        assert_eq!((limits.memory_bytes, limits.nano_cpus), (64 << 20, 500_000_000));
        assert_eq!(task.restart.and_then(|r| r.delay_ns), Some(1_000_000_000));
    }
}
