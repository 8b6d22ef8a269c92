//! `skep service create`

use super::{
    flags::{TaskFlags, container},
    unsupported::ForCreate,
    wait::{self, WaitArgs},
};
use crate::cli::{
    args::{ChangeArgs, Top},
    connect::{Failures, ManagerClient},
    fail::{CliError, CliResult, reason},
    parse, show,
};
use clap::Args;
use skep_proto::{
    Id,
    v1::{
        Annotations, CreateService, EndpointSpec, Mount, NetworkAttachment, Placement, PortConfig,
        Replicated, ServiceMode, ServiceSpec, TaskSpec, command::Action, service_mode::Mode,
    },
};
use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// `skep service create`
#[derive(Args)]
#[command(after_help = "The service stays when it does not come to run; the exit code is 1 then.")]
pub struct Create {
    /// The image, or with the process runtime the program, to run
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Command and arguments for it
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
    /// The service's name [default: made from the image and some letters]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// How many tasks are to run
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    replicas: u64,
    #[arg(long, hide = true, value_name = "MODE", default_value = "replicated")]
    mode: String,
    /// An environment variable; a NAME alone takes the value of your own environment
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = parse::env)]
    env: Vec<String>,
    /// A file of environment variables, one a line: NAME=VALUE
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// A mount: type=bind|volume|tmpfs,source=…,target=…[,readonly][,volume-opt=…]; a field that
    /// holds a comma stands in double quotes
    #[arg(long, value_name = "MOUNT", value_parser = parse::mount)]
    mount: Vec<Mount>,
    /// Only nodes that meet this: node.labels.zone==b1, node.role!=manager
    #[arg(long, value_name = "CONSTRAINT", value_parser = parse::constraint)]
    constraint: Vec<String>,
    /// A label of the service
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = parse::label)]
    label: Vec<(String, String)>,
    /// A label of the containers
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse::label)]
    container_label: Vec<(String, String)>,
    /// A network of each node: host, none or bridge
    #[arg(long, value_name = "host|none|bridge", value_parser = parse::network)]
    network: Vec<String>,
    /// A port of the node that leads to the task: published=8080,target=80,mode=host
    #[arg(short, long, value_name = "PORT", value_parser = parse::port)]
    publish: Vec<PortConfig>,
    #[command(flatten)]
    task: TaskFlags,
    #[command(flatten)]
    waiting: WaitArgs,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    unsupported: ForCreate,
}

pub async fn run(top: &Top, args: Create) -> CliResult {
    args.unsupported.check()?;
    let spec = spec(&args)?;
    let target = top.host(&args.change.host)?;
    let manager = ManagerClient::connect(&target).await?;
    let clock = args.waiting.begin();
    let mut submitter =
        manager.submitter(args.change.reason.as_deref()).await?.within(args.waiting.limit());
    let accepted = submitter
        .submit(Action::CreateService(Box::new(CreateService { spec: Some(spec) })))
        .await?;
    let id = Id::from_bytes(&accepted.object_id).to_string();
    let mut failures = Failures::default();
    failures.note(show::say(&id));
    failures.note(wait::until_it_runs(&manager, &id, &accepted, &args.waiting, clock).await);
    failures.end()
}

fn spec(args: &Create) -> CliResult<ServiceSpec> {
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
    let mut task = TaskSpec::default();
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
            .get_or_insert_with(Placement::default)
            .constraints
            .clone_from(&args.constraint);
    }
    task.networks = args.network.iter().map(|target| attachment(target)).collect();
    let labels = args.label.iter().cloned().collect();
    let name = args.name.clone().unwrap_or_else(|| made_up(&args.image));
    Ok(ServiceSpec {
        annotations: Some(Annotations { name, labels }),
        task: Some(task),
        mode: Some(ServiceMode {
            mode: Some(Mode::Replicated(Replicated { replicas: args.replicas })),
        }),
        endpoint: (!args.publish.is_empty())
            .then(|| EndpointSpec { ports: args.publish.clone(), ..EndpointSpec::default() }),
        ..ServiceSpec::default()
    })
}

/// One of the networks that each node has by itself.
pub fn attachment(target: &str) -> NetworkAttachment {
    NetworkAttachment { target: target.to_owned(), ..NetworkAttachment::default() }
}

fn env_lines(path: &Path) -> CliResult<Vec<String>> {
    let shown = path.display();
    let mut bytes = Vec::new();
    // One byte more than is taken, so that a file which is too long is told apart.
    File::open(path)
        .and_then(|file| file.take(parse::ENV_FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| {
            CliError::usage(format!("--env-file {shown} cannot be read: {}", reason(&error)))
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
