//! Who is a manager: `skep node promote` and `skep node demote`, in Docker's words.

use super::super::{
    args::{ChangeArgs, GlobalArgs, RoleChoice},
    connect::{Failures, ManagerClient, Submitter},
    fail::CliResult,
    parse, show,
};
use clap::Args;
use skep_proto::v1::{Accepted, ListRequest, UpdateNode, command::Action};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between two looks at a node that is being demoted.
const DEMOTION_LOOK_PERIOD: Duration = Duration::from_millis(100);
/// How long the next demotion waits for the one before; then the manager says what it waits for.
const DEMOTION_LIMIT: Duration = Duration::from_secs(20);

/// `skep node promote|demote`
#[derive(Args)]
pub(in crate::cli) struct RoleArgs {
    /// Nodes by name, id or the beginning of an id
    #[arg(value_name = "NODE", required = true, value_parser = parse::reference)]
    nodes: Vec<String>,
    #[command(flatten)]
    change: ChangeArgs,
}

/// One command for each node, as of all commands about several. Managers are demoted one after the
/// other, since each time the others must be able to go on.
pub(super) async fn change(top: &GlobalArgs, args: RoleArgs, wanted: RoleChoice) -> CliResult {
    let manager = ManagerClient::connect(&top.host(&args.change.host)?).await?;
    let nodes = super::chosen(&manager, &args.nodes).await?;
    let mut submitter = manager.submitter(args.change.reason.as_deref()).await?;
    let (mut failures, mut leaving) = (Failures::default(), None);
    for (index, (name, node)) in args.nodes.iter().zip(nodes).enumerate() {
        if let Some(before) = leaving.take() {
            await_demotion(&manager, before).await;
        }
        match set(&mut submitter, &node, wanted).await {
            Ok(accepted) => {
                failures.note(show::say(&told(name, wanted, &accepted)));
                leaving = (wanted == RoleChoice::Worker && accepted.changed).then_some(node);
            }
            Err(failure) if failure.is_unreachable() => {
                return failures.give_up(failure, &args.nodes[index + 1..]);
            }
            Err(failure) => failures.note(Err(failure)),
        }
    }
    failures.end()
}

async fn set(submitter: &mut Submitter, node: &str, wanted: RoleChoice) -> CliResult<Accepted> {
    let role = Some(wanted.role() as i32);
    let update = UpdateNode { node: node.to_owned(), role, ..UpdateNode::default() };
    submitter.submit(Action::UpdateNode(update)).await
}

fn told(name: &str, wanted: RoleChoice, accepted: &Accepted) -> String {
    match (wanted, accepted.changed) {
        (RoleChoice::Manager, true) => format!("Node {name} promoted to a manager in the cluster."),
        (RoleChoice::Manager, false) => format!("Node {name} is already a manager."),
        (RoleChoice::Worker, true) => format!("Manager {name} demoted in the cluster."),
        (RoleChoice::Worker, false) => format!("Node {name} is already a worker."),
    }
}

/// Waits until a node is out of the managers. Where that cannot be seen, the next demotion is tried
/// at once: the manager knows better.
async fn await_demotion(manager: &ManagerClient, node: String) {
    let begun = Instant::now();
    while begun.elapsed() < DEMOTION_LIMIT {
        let asked = ListRequest { objects: vec![node.clone()], ..ListRequest::default() };
        let Ok(list) = manager.control().list_nodes(asked).await else { return };
        if list.into_inner().nodes.iter().all(|node| node.manager_status.is_none()) {
            return;
        }
        sleep(DEMOTION_LOOK_PERIOD).await;
    }
}
