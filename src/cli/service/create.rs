//! `skep service create`

mod spec;

pub(super) use spec::attachment;

use super::{
    flags::TaskFlags,
    unsupported::ForCreate,
    wait::{self, WaitArgs},
};
use crate::cli::{args, connect, fail, parse, show};
use clap::Args;
use skep_proto::{
    Id,
    v1::{self, command::Action},
};
use std::path::PathBuf;

/// `skep service create`
#[derive(Args)]
#[command(after_help = "If the service does not come up, it is kept, and the exit code is 1.")]
pub(crate) struct Create {
    /// The image, or with the process runtime the program, to run
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Command and arguments for it
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
    /// The service's name [default: made from the image and some letters]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Number of tasks
    #[arg(long, value_name = "COUNT", default_value = "1", value_parser = parse::count::<u64>, allow_hyphen_values = true)]
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
    mount: Vec<v1::Mount>,
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
    publish: Vec<v1::PortConfig>,
    #[command(flatten)]
    task: TaskFlags,
    #[command(flatten)]
    waiting: WaitArgs,
    #[command(flatten)]
    change: args::ChangeArgs,
    #[command(flatten)]
    unsupported: ForCreate,
}

pub(super) async fn run(top: &args::GlobalArgs, args: Create) -> fail::CliResult {
    args.unsupported.check()?;
    let spec = spec::spec(&args)?;
    let name = spec.annotations.as_ref().map_or_else(String::new, |known| known.name.clone());
    let target = top.host(&args.change.host)?;
    let manager = connect::ManagerClient::connect(&target).await?;
    let clock = args.waiting.begin();
    let mut submitter =
        manager.submitter(args.change.reason.as_deref()).await?.within(args.waiting.limit());
    let accepted = submitter
        .submit(Action::CreateService(Box::new(v1::CreateService { spec: Some(spec) })))
        .await?;
    let id = Id::from_bytes(&accepted.object_id).to_string();
    let mut failures = connect::Failures::default();
    failures.note(show::say(&id));
    failures
        .note(wait::until_it_runs(&manager, (&id, &name), &accepted, &args.waiting, clock).await);
    failures.end()
}
