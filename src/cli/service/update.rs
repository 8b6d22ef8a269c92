//! `skep service update`: reads the spec, changes what was said, and quotes the version that it
//! read.
//!
//! Where somebody else was faster, the spec is read again and the same change is made to it: an
//! edit of one key does not clash with an edit of another. Of two edits of the same key the later
//! one counts, as with any two commands.

use super::{
    create::attachment,
    edits::Edits,
    find,
    flags::{TaskFlags, container},
    id_of,
    unsupported::ForUpdate,
    wait::{self, WaitArgs},
};
use crate::cli::{
    args::{ChangeArgs, Top},
    connect::{Failures, ManagerClient, Submitter},
    fail::{CliError, CliResult},
    parse::{self, ShellWords},
    show,
};
use clap::Args;
use skep_proto::v1::{
    Accepted, Annotations, EndpointSpec, Mount, Placement, PortConfig, PortProtocol, RefusalCode,
    Replicated, ServiceMode, ServiceSpec, TaskSpec, UpdateService, command::Action,
    service_mode::Mode,
};
use std::time::Instant;

/// `skep service update`
#[derive(Args)]
pub struct ServiceUpdate {
    /// The service by name, id or the beginning of an id
    #[arg(value_name = "SERVICE")]
    service: String,
    /// Another image, or with the process runtime another program
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// Other command and arguments, read as a shell would: --args "-c 'echo one'"; an empty text
    /// takes them away
    #[arg(long, value_name = "COMMAND", value_parser = parse::shell_words, allow_hyphen_values = true)]
    args: Option<ShellWords>,
    /// How many tasks are to run
    #[arg(long, value_name = "COUNT")]
    replicas: Option<u64>,
    /// Replace all tasks even though nothing changes
    #[arg(long)]
    force: bool,
    /// Add or change an environment variable
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse::env)]
    env_add: Vec<String>,
    /// Take an environment variable away
    #[arg(long, value_name = "NAME")]
    env_rm: Vec<String>,
    /// Add a mount, or change the one with the same target
    #[arg(long, value_name = "MOUNT", value_parser = parse::mount)]
    mount_add: Vec<Mount>,
    /// Take away the mount with this target
    #[arg(long, value_name = "TARGET")]
    mount_rm: Vec<String>,
    /// Add a constraint
    #[arg(long, value_name = "CONSTRAINT", value_parser = parse::constraint)]
    constraint_add: Vec<String>,
    /// Take a constraint away
    #[arg(long, value_name = "CONSTRAINT")]
    constraint_rm: Vec<String>,
    /// Add or change a label of the service
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse::label)]
    label_add: Vec<(String, String)>,
    /// Take a label of the service away
    #[arg(long, value_name = "KEY")]
    label_rm: Vec<String>,
    /// Add or change a label of the containers
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse::label)]
    container_label_add: Vec<(String, String)>,
    /// Take a label of the containers away
    #[arg(long, value_name = "KEY")]
    container_label_rm: Vec<String>,
    /// Add a network of each node: host, none or bridge
    #[arg(long, value_name = "host|none|bridge", value_parser = parse::network)]
    network_add: Vec<String>,
    /// Take a network away
    #[arg(long, value_name = "NETWORK")]
    network_rm: Vec<String>,
    /// Add a published port, or change the one with the same target
    #[arg(long, value_name = "PORT", value_parser = parse::port)]
    publish_add: Vec<PortConfig>,
    /// Take away the port with this target: 80, 53/udp
    #[arg(long, value_name = "TARGET", value_parser = parse::port_removal)]
    publish_rm: Vec<(u32, PortProtocol)>,
    #[command(flatten)]
    task: TaskFlags,
    #[command(flatten)]
    waiting: WaitArgs,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    unsupported: ForUpdate,
}

pub async fn run(top: &Top, args: ServiceUpdate) -> CliResult {
    args.unsupported.check()?;
    // Tried on an empty spec, so that flags which contradict each other are found before anybody is
    // asked.
    args.task.apply(&mut TaskSpec::default()).map_err(CliError::usage)?;
    let manager = ManagerClient::connect(&top.host(&args.change.host)?).await?;
    let clock = args.waiting.begin();
    let mut submitter =
        manager.submitter(args.change.reason.as_deref()).await?.within(args.waiting.limit());
    let (id, accepted) = submit(&manager, &mut submitter, &args).await?;
    let mut failures = Failures::default();
    failures.note(show::say(&args.service));
    if !accepted.changed {
        show::talk("nothing changed");
    }
    failures.note(wait::until_it_runs(&manager, &id, &accepted, &args.waiting, clock).await);
    failures.end()
}

/// Reads, changes and submits until nobody is faster.
async fn submit(
    manager: &ManagerClient,
    submitter: &mut Submitter,
    args: &ServiceUpdate,
) -> CliResult<(String, Accepted)> {
    let began = Instant::now();
    let mut edits = Edits::new(args.waiting.limit());
    loop {
        let found = find(manager, None, vec![args.service.clone()]).await?;
        let service = found
            .into_iter()
            .next()
            .ok_or_else(|| CliError::refused(format!("no service {:?}", args.service)))?;
        let id = id_of(&service).to_string();
        let version = service.meta.as_ref().map_or(0, |meta| meta.version);
        let mut spec = service.spec.unwrap_or_default();
        edit(&mut spec, args)?;
        let update = UpdateService { service: id.clone(), version, spec: Some(spec) };
        match submitter.submit(Action::UpdateService(Box::new(update))).await {
            Ok(accepted) => return Ok((id, accepted)),
            Err(failure) if failure.code() == RefusalCode::OutOfSequence => {
                let Some(pause) = edits.again(began.elapsed(), dice()) else { return Err(failure) };
                tokio::time::sleep(pause).await;
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// Numbers that differ between processes which run at the same time. Nothing secret depends on
/// them.
fn dice() -> u64 {
    crate::cli::now().0 ^ u64::from(std::process::id()).rotate_left(32)
}

fn edit(spec: &mut ServiceSpec, args: &ServiceUpdate) -> CliResult {
    let labels = &mut spec.annotations.get_or_insert_with(Annotations::default).labels;
    args.label_rm.iter().for_each(|key| drop(labels.remove(key)));
    labels.extend(args.label_add.iter().cloned());
    if let Some(replicas) = args.replicas {
        let mode = spec.mode.get_or_insert_with(ServiceMode::default);
        match &mut mode.mode {
            Some(Mode::Replicated(replicated)) => replicated.replicas = replicas,
            None => mode.mode = Some(Mode::Replicated(Replicated { replicas })),
            Some(Mode::Global(_) | Mode::ReplicatedJob(_) | Mode::GlobalJob(_)) => {
                return Err(CliError::refused(
                    "only replicated services have a number of replicas",
                ));
            }
        }
    }
    edit_ports(spec, args);
    edit_task(spec.task.get_or_insert_with(TaskSpec::default), args).map_err(CliError::refused)
}

fn edit_ports(spec: &mut ServiceSpec, args: &ServiceUpdate) {
    if args.publish_add.is_empty() && args.publish_rm.is_empty() {
        return;
    }
    let endpoint = spec.endpoint.get_or_insert_with(EndpointSpec::default);
    let gone = |port: &PortConfig| {
        args.publish_rm.iter().any(|(target, protocol)| meets(port, *target, *protocol))
    };
    let anew = |port: &PortConfig| {
        args.publish_add.iter().any(|new| meets(port, new.target_port, new.protocol()))
    };
    endpoint.ports.retain(|port| !gone(port) && !anew(port));
    endpoint.ports.extend(args.publish_add.iter().cloned());
}

fn meets(port: &PortConfig, target: u32, protocol: PortProtocol) -> bool {
    port.target_port == target && port.protocol() == protocol
}

fn edit_task(task: &mut TaskSpec, args: &ServiceUpdate) -> Result<(), String> {
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
    let renewed = |mount: &Mount| args.mount_add.iter().any(|new| new.target == mount.target);
    container.mounts.retain(|mount| !args.mount_rm.contains(&mount.target) && !renewed(mount));
    container.mounts.extend(args.mount_add.iter().cloned());
    args.container_label_rm.iter().for_each(|key| drop(container.labels.remove(key)));
    container.labels.extend(args.container_label_add.iter().cloned());
    if !args.constraint_add.is_empty() || !args.constraint_rm.is_empty() {
        let constraints = &mut task.placement.get_or_insert_with(Placement::default).constraints;
        let plain = |text: &str| text.split_whitespace().collect::<String>();
        constraints.retain(|own| !args.constraint_rm.iter().any(|gone| plain(gone) == plain(own)));
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
    use skep_proto::defaults;

    #[derive(Parser)]
    struct UpdateLine {
        #[command(flatten)]
        update: ServiceUpdate,
    }

    fn check(before: &ServiceSpec, flags: &[&str]) -> ServiceSpec {
        let line = ["skep", "web"].iter().chain(flags);
        let args = UpdateLine::try_parse_from(line).expect("a good command line").update;
        let mut spec = before.clone();
        edit(&mut spec, &args).expect("it can be done");
        spec
    }

    #[test]
    fn pairs_add_change_and_take_away() {
        let spec = check(
            &ServiceSpec::default(),
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
            defaults::replicas(&ServiceSpec { mode: spec.mode, ..ServiceSpec::default() }),
            Some(3)
        );
    }

    #[test]
    fn what_was_not_said_stays() {
        let before = check(
            &ServiceSpec::default(),
            &["--image", "a", "--limit-memory", "64m", "--restart-delay", "1s"],
        );
        let after = check(&before, &["--limit-cpu", "0.5"]);
        let task = after.task.expect("a task");
        let limits = task.resources.and_then(|r| r.limits).expect("limits");
        assert_eq!((limits.memory_bytes, limits.nano_cpus), (64 << 20, 500_000_000));
        assert_eq!(task.restart.and_then(|r| r.delay_ns), Some(1_000_000_000));
    }
}
