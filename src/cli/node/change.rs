//! What people want of a node: labels, availability, role, removal.

use super::{
    super::{
        args::{AvailabilityChoice, ChangeArgs, GlobalArgs, RoleChoice},
        connect::ManagerClient,
        fail::CliResult,
        parse,
    },
    chosen,
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
    /// Whether the node is a manager
    #[arg(long, value_enum, value_name = "worker|manager", hide_possible_values = true)]
    role: Option<RoleChoice>,
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
    let availability = args.availability.map(|wanted| wanted.of_node() as i32);
    let update = UpdateNode {
        label_add: args.label_add.into_iter().collect(),
        label_rm: args.label_rm,
        availability,
        role: args.role.map(|wanted| wanted.role() as i32),
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
    names: Vec<String>,
    action: impl Fn(String) -> Action,
) -> CliResult {
    let manager = ManagerClient::connect(&top.host(&change.host)?).await?;
    let nodes = chosen(&manager, &names).await?;
    let mut submitter = manager.submitter(change.reason.as_deref()).await?;
    submitter.each(&names, |index| action(nodes[index].clone())).await
}
