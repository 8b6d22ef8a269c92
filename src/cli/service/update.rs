//! `skep service update`: reads the spec, changes what was said, and quotes the version that it
//! read.
//!
//! Where somebody else was faster, the spec is read again and the same change is made to it: an
//! edit of one key does not clash with an edit of another. Of two edits of the same key the later
//! one counts, as with any two commands.

mod edit;

use super::{
    find, flags, id_of, unsupported,
    wait::{self},
};
use crate::cli::{
    args::{ChangeArgs, GlobalArgs},
    connect::{EditTries, Failures, ManagerClient, Submitter},
    fail::{CliError, CliResult},
    parse::{self, ShellWords},
    show,
};
use clap::Args;
use skep_proto::v1::{self, command::Action};

/// `skep service update`
#[derive(Args)]
pub(crate) struct ServiceUpdate {
    /// The service by name, id or the beginning of an id
    #[arg(value_name = "SERVICE", value_parser = parse::reference)]
    service: String,
    /// Another image, or with the process runtime another program
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// Other command and arguments, read as a shell would: --args "-c 'echo one'"; an empty text
    /// removes them
    #[arg(long, value_name = "COMMAND", value_parser = parse::shell_words, allow_hyphen_values = true)]
    args: Option<ShellWords>,
    /// Number of tasks
    #[arg(long, value_name = "COUNT", value_parser = parse::count::<u64>, allow_hyphen_values = true)]
    replicas: Option<u64>,
    /// Replace all tasks even though nothing changes
    #[arg(long)]
    force: bool,
    /// Add or change an environment variable
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse::env)]
    env_add: Vec<String>,
    /// Remove an environment variable
    #[arg(long, value_name = "NAME", value_parser = parse::removal)]
    env_rm: Vec<String>,
    /// Add a mount, or change the one with the same target
    #[arg(long, value_name = "MOUNT", value_parser = parse::mount)]
    mount_add: Vec<v1::Mount>,
    /// Remove the mount with this target
    #[arg(long, value_name = "TARGET", value_parser = parse::removal)]
    mount_rm: Vec<String>,
    /// Add a constraint
    #[arg(long, value_name = "CONSTRAINT", value_parser = parse::constraint)]
    constraint_add: Vec<String>,
    /// Remove a constraint
    #[arg(long, value_name = "CONSTRAINT", value_parser = parse::removal)]
    constraint_rm: Vec<String>,
    /// Add or change a label of the service
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse::label)]
    label_add: Vec<(String, String)>,
    /// Remove a label of the service
    #[arg(long, value_name = "KEY", value_parser = parse::removal)]
    label_rm: Vec<String>,
    /// Add or change a label of the containers
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse::label)]
    container_label_add: Vec<(String, String)>,
    /// Remove a label of the containers
    #[arg(long, value_name = "KEY", value_parser = parse::removal)]
    container_label_rm: Vec<String>,
    /// Add a network of each node: host, none or bridge
    #[arg(long, value_name = "host|none|bridge", value_parser = parse::network)]
    network_add: Vec<String>,
    /// Remove a network
    #[arg(long, value_name = "NETWORK", value_parser = parse::removal)]
    network_rm: Vec<String>,
    /// Add a published port, or change the one with the same target
    #[arg(long, value_name = "PORT", value_parser = parse::port)]
    publish_add: Vec<v1::PortConfig>,
    /// Remove the port with this target: 80, 53/udp
    #[arg(long, value_name = "TARGET", value_parser = parse::port_removal)]
    publish_rm: Vec<(u32, v1::PortProtocol)>,
    #[command(flatten)]
    task: flags::TaskFlags,
    #[command(flatten)]
    waiting: wait::WaitArgs,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    unsupported: unsupported::ForUpdate,
}

pub(super) async fn run(top: &GlobalArgs, args: ServiceUpdate) -> CliResult {
    args.unsupported.check()?;
    flags::note_unset(&args.env_add);
    // Tried on an empty spec, so that flags which contradict each other are found before anybody is
    // asked.
    args.task.apply(&mut v1::TaskSpec::default()).map_err(CliError::usage)?;
    let manager = ManagerClient::connect(&top.host(&args.change.host)?).await?;
    let clock = args.waiting.begin();
    let mut submitter =
        manager.submitter(args.change.reason.as_deref()).await?.within(args.waiting.limit());
    let (id, accepted) = submit(&manager, &mut submitter, &args).await?;
    let mut failures = Failures::default();
    failures.note(show::say(&args.service));
    if !accepted.changed {
        show::talk(&format!("{}: nothing changed", args.service));
    }
    failures.note(
        wait::until_it_runs(&manager, (&id, &args.service), &accepted, &args.waiting, clock).await,
    );
    failures.end()
}

/// Reads, changes and submits until nobody is faster.
async fn submit(
    manager: &ManagerClient,
    submitter: &mut Submitter,
    args: &ServiceUpdate,
) -> CliResult<(String, v1::Accepted)> {
    let mut tries = EditTries::begin(args.waiting.limit());
    loop {
        let found = find(manager, None, vec![args.service.clone()]).await?;
        let service = found
            .into_iter()
            .next()
            .ok_or_else(|| CliError::refused(format!("no service {:?}", args.service)))?;
        let id = id_of(&service).to_string();
        let version = service.meta.as_ref().map_or(0, |meta| meta.version);
        let mut spec = service.spec.unwrap_or_default();
        let absent = edit::absent(&spec, args);
        edit::edit(&mut spec, args)?;
        let update = v1::UpdateService { service: id.clone(), version, spec: Some(spec) };
        match submitter.submit(Action::UpdateService(Box::new(update))).await {
            Ok(accepted) => {
                absent.iter().for_each(|what| {
                    show::talk(&format!("warning: service {} has no {what}", args.service));
                });
                return Ok((id, accepted));
            }
            Err(failure) if failure.code() == v1::RefusalCode::OutOfSequence => {
                tries.pause(failure).await?;
            }
            Err(failure) => return Err(failure),
        }
    }
}
