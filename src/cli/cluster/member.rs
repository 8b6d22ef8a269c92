//! This machine's own part in a cluster: it founds one, joins one, or leaves it. Its daemon is
//! asked to, and the command waits until it has done so.

use crate::cli::{
    args::{AvailabilityChoice, GlobalArgs, Host, ManagerAddress},
    connect::ManagerClient,
    fail::{CliError, CliResult},
    parse,
    processes::{JoinPortArgs, JoinTokenArgs},
    show::{self, untrusted::one_line},
};
use clap::Args;
use skep_proto::v1::{
    DescribeRequest, FoundCluster, JoinCluster, LeaveCluster, LocalNode, LocalNodeState, NodeRole,
};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between two looks at the daemon.
const DAEMON_LOOK_PERIOD: Duration = Duration::from_millis(100);
/// How long a machine is looked at that founds or joins a cluster; it goes on after that.
const MEMBER_LIMIT: Duration = Duration::from_secs(20);
/// A node that leaves within this time needs no word about what it waits for.
const QUIET_LEAVE_LIMIT: Duration = Duration::from_secs(1);
/// How long the socket of a daemon may be silent while it changes what it is.
const CHANGE_LIMIT: Duration = Duration::from_secs(10);

/// `skep cluster join`
#[derive(Args)]
pub(in crate::cli) struct JoinArgs {
    /// A manager of the cluster
    #[arg(value_name = "HOST:PORT", value_parser = parse::remote_manager)]
    manager: String,
    #[command(flatten)]
    token: JoinTokenArgs,
    #[command(flatten)]
    port: JoinPortArgs,
    /// Whether the node takes tasks at first [default: as its daemon was started]
    #[arg(long, value_enum, value_name = "active|pause|drain")]
    availability: Option<AvailabilityChoice>,
    #[command(flatten)]
    host: Host,
}

/// `skep cluster leave`
#[derive(Args)]
pub(in crate::cli) struct LeaveArgs {
    /// Leave even as the last manager, and do not wait longer than 30 s for tasks to end
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    host: Host,
}

pub(super) async fn join(top: &GlobalArgs, args: JoinArgs) -> CliResult {
    let daemon = top.daemon(&args.host)?;
    let token = args.token.read()?.ok_or_else(|| {
        CliError::usage("a machine joins with a token: --token or --token-file").hint(
            "`skep cluster token worker` (or `manager`) prints the whole command on a manager",
        )
    })?;
    let join = JoinCluster {
        manager: args.manager,
        token: token.to_string(),
        availability: args.availability.map(|choice| choice.of_node() as i32),
        listen_address: args.port.listen_addr,
        advertise_address: args.port.advertise_addr,
    };
    ManagerClient::connect(&daemon).await?.local().join(join).await?;
    let node = until(&daemon, Some(MEMBER_LIMIT), |node| {
        node.state() != LocalNodeState::Joining && !is_becoming_manager(node)
    });
    let node = node.await?;
    match node.state() {
        LocalNodeState::Worker if is_becoming_manager(&node) => Err(becomes_later(&node)),
        LocalNodeState::Worker => show::say("This node joined a cluster as a worker."),
        LocalNodeState::Manager => show::say("This node joined a cluster as a manager."),
        LocalNodeState::Joining => {
            let problem = node.managers.first().map_or("", |manager| manager.problem.as_str());
            let seconds = MEMBER_LIMIT.as_secs();
            Err(CliError::refused(format!(
                "this node has not joined within {seconds} s, and goes on trying: {problem}"
            ))
            .hint("`skep node status` says how it goes, and `skep cluster leave` gives it up"))
        }
        LocalNodeState::Unspecified
        | LocalNodeState::Alone
        | LocalNodeState::Leaving
        | LocalNodeState::Locked => Err(failed(&node, "this node did not join")),
    }
}

/// A node that joins as a manager is a worker first, with the certificate of a manager: it becomes
/// one when it has been given its number.
fn is_becoming_manager(node: &LocalNode) -> bool {
    let role = node.certificate.as_ref().map(|certificate| certificate.role());
    node.state() == LocalNodeState::Worker && role == Some(NodeRole::Manager)
}

fn becomes_later(node: &LocalNode) -> CliError {
    let problem = match node.problem.as_str() {
        "" => String::new(),
        problem => format!(": {}", one_line(problem)),
    };
    let seconds = MEMBER_LIMIT.as_secs();
    CliError::refused(format!(
        "this node has joined, has not become a manager within {seconds} s, and goes on trying{problem}"
    ))
    .hint("`skep node status` says how it goes here, and `skep node ls` on a manager how it goes there")
}

pub(super) async fn leave(top: &GlobalArgs, args: LeaveArgs) -> CliResult {
    let daemon = top.daemon(&args.host)?;
    let leave = LeaveCluster { force: args.force };
    let mut local = ManagerClient::connect(&daemon).await?.local();
    let before = local.describe(DescribeRequest {}).await?.into_inner().state();
    local.leave(leave).await?;
    let end = match args.force {
        true => ", for 30 s at most",
        false => "; it goes on without this command too, and with --force for 30 s at most",
    };
    let (asked, mut told) = (Instant::now(), false);
    let node = until(&daemon, None, |node| {
        let goes_on = node.state() == LocalNodeState::Leaving;
        if goes_on && asked.elapsed() > QUIET_LEAVE_LIMIT && !std::mem::replace(&mut told, true) {
            show::talk(&format!("{}{end}", waits_for(node)));
        }
        !matches!(node.state(), LocalNodeState::Leaving | LocalNodeState::Joining)
    });
    let node = node.await?;
    match node.state() {
        LocalNodeState::Alone if before == LocalNodeState::Joining => {
            show::say("Node gave up joining; nothing is left of it.")
        }
        LocalNodeState::Alone => {
            show::say("Node left the cluster.")?;
            if !node.left_in.is_empty() {
                show::talk(&format!("its state lies in {}", node.left_in));
            }
            if !node.problem.is_empty() {
                show::talk(&format!("note: {}: {}", node.problem, node.hint));
            }
            Ok(())
        }
        LocalNodeState::Unspecified
        | LocalNodeState::Joining
        | LocalNodeState::Worker
        | LocalNodeState::Manager
        | LocalNodeState::Leaving
        | LocalNodeState::Locked => Err(failed(&node, "this node did not leave")),
    }
}

/// What a node that leaves waits for.
fn waits_for(node: &LocalNode) -> String {
    let tasks = match (node.tasks.len(), node.runtime_problem.as_str()) {
        (_, problem) if !problem.is_empty() => format!("for the runtime: {}", one_line(problem)),
        (0, _) => "for the runtime".to_owned(),
        (1, _) => "for a task to end".to_owned(),
        (tasks, _) => format!("for {tasks} tasks to end"),
    };
    format!("waiting {tasks}")
}

/// Founds a cluster where the daemon waits for that; says whether it did.
pub(super) async fn found(daemon: &ManagerAddress, found: FoundCluster) -> CliResult<bool> {
    let mut local = ManagerClient::connect(daemon).await?.local();
    let node = local.describe(DescribeRequest {}).await?.into_inner();
    if node.state() == LocalNodeState::Manager {
        return Ok(false);
    }
    local.found(found).await?;
    let node = until(daemon, Some(MEMBER_LIMIT), |node| node.state() != LocalNodeState::Joining);
    let node = node.await?;
    match node.state() == LocalNodeState::Manager {
        true => Ok(true),
        false => Err(failed(&node, "this node did not found a cluster")),
    }
}

fn failed(node: &LocalNode, what: &str) -> CliError {
    match node.problem.as_str() {
        "" => CliError::refused(what).hint("see the log of its daemon"),
        problem => CliError::refused(format!("{what}: {problem}")).hint(node.hint.as_str()),
    }
}

/// Looks at the daemon until it is as expected, or for so long. Its socket may be silent for a
/// while when it becomes something else.
async fn until(
    daemon: &ManagerAddress,
    limit: Option<Duration>,
    mut is_expected: impl FnMut(&LocalNode) -> bool,
) -> CliResult<LocalNode> {
    let begun = Instant::now();
    let mut heard = begun;
    loop {
        let looked = look(daemon).await;
        let is_late = limit.is_some_and(|limit| begun.elapsed() > limit);
        match looked {
            Ok(node) if is_late || is_expected(&node) => return Ok(node),
            Ok(_) => heard = Instant::now(),
            Err(failure) if heard.elapsed() > CHANGE_LIMIT => {
                let seconds = CHANGE_LIMIT.as_secs();
                return Err(failure.and(&format!("the daemon has been silent for {seconds} s")));
            }
            Err(_) => {}
        }
        sleep(DAEMON_LOOK_PERIOD).await;
    }
}

async fn look(daemon: &ManagerAddress) -> CliResult<LocalNode> {
    let mut local = ManagerClient::connect(daemon).await?.local();
    Ok(local.describe(DescribeRequest {}).await?.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_proto::v1::ShownCertificate;

    #[test]
    fn a_worker_with_the_certificate_of_a_manager_is_becoming_one() {
        let is_becoming = |state: LocalNodeState, role: Option<NodeRole>| {
            let certificate =
                role.map(|role| ShownCertificate { role: role.into(), not_after_at: 1 });
            is_becoming_manager(&LocalNode {
                state: state.into(),
                certificate,
                ..LocalNode::default()
            })
        };
        assert!(is_becoming(LocalNodeState::Worker, Some(NodeRole::Manager)));
        assert!(!is_becoming(LocalNodeState::Worker, Some(NodeRole::Worker)));
        assert!(!is_becoming(LocalNodeState::Worker, None));
        assert!(!is_becoming(LocalNodeState::Manager, Some(NodeRole::Manager)));
        assert!(!is_becoming(LocalNodeState::Joining, Some(NodeRole::Manager)));
    }

    #[test]
    fn a_manager_that_takes_long_to_become_one_is_told_with_why() {
        let told = |problem: &str| {
            let problem = problem.to_owned();
            let failure = becomes_later(&LocalNode { problem, ..LocalNode::default() });
            failure.to_string().lines().next().unwrap_or_default().to_owned()
        };
        let message =
            "error: this node has joined, has not become a manager within 20 s, and goes on trying";
        assert_eq!(told(""), message);
        assert_eq!(told("its port\nis taken"), format!("{message}: its port is taken"));
    }
}
