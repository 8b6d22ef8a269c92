//! From the flags of `skep service create` to the spec of a service.

use super::Create;
use crate::cli::{
    fail::{CliError, CliResult},
    parse,
    service::flags::container,
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
