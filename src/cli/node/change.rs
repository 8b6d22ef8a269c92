//! What people want of a node: labels, availability, removal.

use super::{
    super::{
        args::{AvailabilityChoice, ChangeArgs, GlobalArgs},
        connect::{self, ManagerClient},
        fail::{CliError, CliResult},
        parse,
    },
    find, resolve_self,
};
use clap::Args;
use skep_proto::v1::{NodeAvailability, RemoveNode, UpdateNode, command::Action};

/// `skep node update`
#[derive(Args)]
pub(crate) struct NodeUpdate {
    /// The node by name, id or the beginning of an id
    #[arg(value_name = "NODE", value_parser = parse::reference)]
    node: String,
    /// Add or change a label
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse::label)]
    label_add: Vec<(String, String)>,
    /// Remove a label
    #[arg(long, value_name = "KEY", value_parser = parse::removal)]
    label_rm: Vec<String>,
    /// Whether the node takes tasks
    #[arg(long, value_enum, value_name = "active|pause|drain")]
    availability: Option<AvailabilityChoice>,
    #[arg(long, hide = true, value_name = "ROLE")]
    role: Option<String>,
    #[command(flatten)]
    change: ChangeArgs,
}

/// `skep node drain|pause|activate`
#[derive(Args)]
pub(crate) struct Availability {
    /// Nodes by name, id or the beginning of an id
    #[arg(value_name = "NODE", required = true, value_parser = parse::reference)]
    nodes: Vec<String>,
    #[command(flatten)]
    change: ChangeArgs,
}

/// `skep node rm`
#[derive(Args)]
pub(crate) struct NodeRm {
    /// Nodes by name, id or the beginning of an id
    #[arg(value_name = "NODE", required = true, value_parser = parse::reference)]
    nodes: Vec<String>,
    /// Remove the node even if it is up; its tasks are given up for lost
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) async fn update(top: &GlobalArgs, args: NodeUpdate) -> CliResult {
    if args.role.is_some() {
        return Err(CliError::usage("--role is not supported yet")
            .hint("this cluster has one manager; start further workers with `skep agent`"));
    }
    let availability = args.availability.map(|wanted| wanted.of_node() as i32);
    let update = UpdateNode {
        label_add: args.label_add.into_iter().collect(),
        label_rm: args.label_rm,
        availability,
        ..UpdateNode::default()
    };
    each(top, &args.change, vec![args.node], |node| {
        Action::UpdateNode(UpdateNode { node, ..update.clone() })
    })
    .await
}

pub(super) async fn availability(
    top: &GlobalArgs,
    args: Availability,
    wanted: NodeAvailability,
) -> CliResult {
    each(top, &args.change, args.nodes, |node| {
        Action::UpdateNode(UpdateNode {
            node,
            availability: Some(wanted as i32),
            ..UpdateNode::default()
        })
    })
    .await
}

pub(super) async fn rm(top: &GlobalArgs, args: NodeRm) -> CliResult {
    let force = args.force;
    each(top, &args.change, args.nodes, |node| Action::RemoveNode(RemoveNode { node, force })).await
}

/// One command for each node.
async fn each(
    top: &GlobalArgs,
    change: &ChangeArgs,
    nodes: Vec<String>,
    action: impl Fn(String) -> Action,
) -> CliResult {
    let manager = ManagerClient::connect(&top.host(&change.host)?).await?;
    let names = nodes.clone();
    let nodes = resolve_self(&manager, nodes).await?;
    if nodes.len() > 1 {
        let found = find(&manager, None, nodes.clone()).await?.nodes;
        connect::once_each("node", &names, found.iter().map(|node| &node.id))?;
    }
    let mut submitter = manager.submitter(change.reason.as_deref()).await?;
    submitter.each(&names, |index| action(nodes[index].clone())).await
}
