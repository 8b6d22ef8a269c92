//! From the flags of `skep service create` to the spec of a service.

use super::Create;
use crate::cli::{
    fail::{CliError, CliResult},
    parse,
    service::flags::{container, note_unset},
};
use skep_proto::{
    Id, os_error,
    v1::{self, service_mode::Mode},
};
use std::{fs::File, io::Read, path::Path};

/// The whole spec; an error is a wrong usage.
pub(super) fn spec(args: &Create) -> CliResult<v1::ServiceSpec> {
    if args.mode != "replicated" {
        return Err(match args.mode.as_str() {
            "global" => CliError::usage("--mode global is not supported yet")
                .hint("use --replicas with --replicas-max-per-node 1"),
            "replicated-job" | "global-job" => {
                CliError::usage(format!("--mode {} is not supported yet", args.mode))
                    .hint("use --restart-condition none for work that ends")
            }
            other => CliError::usage(format!("mode {other:?} is unknown"))
                .hint("leave it out: services are replicated"),
        });
    }
    let mut env = Vec::new();
    for file in &args.env_file {
        env.extend(env_lines(file)?);
    }
    env.extend(args.env.iter().cloned());
    let env = parse::last_of_each(env);
    note_unset(&env);
    let mut task = v1::TaskSpec::default();
    {
        let container = container(&mut task).map_err(CliError::usage)?;
        container.image.clone_from(&args.image);
        container.args.clone_from(&args.command);
        container.env = env;
        container.mounts.clone_from(&args.mount);
        container.labels = args.container_label.iter().cloned().collect();
    }
    args.task.apply(&mut task).map_err(CliError::usage)?;
    if !args.constraint.is_empty() {
        task.placement
            .get_or_insert_with(v1::Placement::default)
            .constraints
            .clone_from(&args.constraint);
    }
    task.networks = args.network.iter().map(|target| attachment(target)).collect();
    let labels = args.label.iter().cloned().collect();
    let name = args.name.clone().unwrap_or_else(|| made_up(&args.image));
    Ok(v1::ServiceSpec {
        annotations: Some(v1::Annotations { name, labels }),
        task: Some(task),
        mode: Some(v1::ServiceMode {
            mode: Some(Mode::Replicated(v1::Replicated { replicas: args.replicas })),
        }),
        endpoint: (!args.publish.is_empty()).then(|| v1::EndpointSpec {
            ports: args.publish.clone(),
            ..v1::EndpointSpec::default()
        }),
        ..v1::ServiceSpec::default()
    })
}

/// One of the networks that each node has by itself.
pub(crate) fn attachment(target: &str) -> v1::NetworkAttachment {
    v1::NetworkAttachment { target: target.to_owned(), ..v1::NetworkAttachment::default() }
}

fn env_lines(path: &Path) -> CliResult<Vec<String>> {
    let shown = path.display();
    let mut bytes = Vec::new();
    // One byte more than is taken, so that a file which is too long is noticed.
    File::open(path)
        .and_then(|file| file.take(parse::ENV_FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| {
            CliError::usage(format!(
                "--env-file {shown} cannot be read: {}",
                os_error::message(&error)
            ))
            .caused_by(error)
        })?;
    parse::env_file(&bytes).map_err(|error| CliError::usage(format!("--env-file {shown}: {error}")))
}

/// A name for a service that was given none: what it runs, and letters that tell it from its like.
fn made_up(image: &str) -> String {
    let last =
        image.rsplit('/').next().unwrap_or_default().split(['@', ':']).next().unwrap_or_default();
    let plain: String = last
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    let plain = plain.trim_matches('-').chars().take(40).collect::<String>();
    let letters = Id(u128::from(crate::cli::now().0)).to_string();
    let tail: String = letters.chars().rev().take(6).collect();
    format!("{}-{tail}", if plain.is_empty() { "service" } else { plain.trim_end_matches('-') })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use skep_proto::defaults;

    #[derive(Parser)]
    struct CreateLine {
        #[command(flatten)]
        create: Create,
    }

    fn spec_of(flags: &str) -> CliResult<v1::ServiceSpec> {
        let line = ["skep"].into_iter().chain(flags.split_whitespace());
        spec(&CreateLine::try_parse_from(line).expect("a good command line").create)
    }

    #[test]
    fn each_flag_is_in_the_spec() {
        let spec = spec_of(
            "--name web --env A=1 --env A=2 --env B=3 --mount type=tmpfs,target=/t \
             --constraint node.role==worker --label a=1 --container-label c=2 --network host \
             --publish published=8080,target=80,mode=host --user app --replicas 3 nginx:1 -g x",
        )
        .expect("a good spec");
        let task = spec.task.clone().expect("a task");
        let container = defaults::container(&task).expect("a container");
        assert_eq!((container.image.as_str(), container.user.as_str()), ("nginx:1", "app"));
        assert_eq!(
            (container.args.join(" "), container.env.join(" ")),
            ("-g x".into(), "A=2 B=3".into())
        );
        assert_eq!((container.mounts.len(), container.labels["c"].as_str()), (1, "2"));
        assert_eq!(task.placement.map(|p| p.constraints), Some(vec!["node.role==worker".into()]));
        assert_eq!(task.networks[0].target, "host");
        assert_eq!(defaults::replicas(&spec), Some(3));
        let annotations = spec.annotations.expect("a name");
        assert_eq!((annotations.name.as_str(), annotations.labels["a"].as_str()), ("web", "1"));
        assert_eq!(spec.endpoint.map(|endpoint| endpoint.ports[0].published_port), Some(8080));
    }

    #[test]
    fn what_is_not_asked_for_is_not_in_the_spec() {
        let spec = spec_of("--name web nginx").expect("a good spec");
        let task = spec.task.expect("a task");
        assert_eq!((task.placement, task.resources, spec.endpoint), (None, None, None));
    }

    #[test]
    fn modes_that_are_not_built_are_refused_by_name() {
        let error = spec_of("--mode global nginx").expect_err("it is not built");
        assert!(error.to_string().contains("--mode global"), "{error}");
        assert!(spec_of("--mode unheard-of nginx").is_err());
        assert!(spec_of("--env-file /no/such/file nginx").is_err());
    }

    #[test]
    fn a_made_up_name_is_a_name() {
        for (image, begins) in [
            ("registry.example/a/web-app:1.2", "web-app-"),
            ("/usr/bin/sleep", "sleep-"),
            ("@", "service-"),
        ] {
            let name = made_up(image);
            assert!(name.starts_with(begins) && name.len() == begins.len() + 6, "{name}");
        }
    }
}
