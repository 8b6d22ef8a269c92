//! Nodes: what they are, what runs on them, and what people want of them.

mod change;
mod pretty;
mod role;
mod status;

use super::{
    args::{GlobalArgs, InspectStyle, ListStyle, ReadArgs, RoleChoice},
    connect::{self, ManagerClient},
    fail::{CliError, CliResult},
    log_now, parse,
    show::{CellCut, Inspection, TableField, TableLayout, TableRow, title},
    task,
};
use clap::{Args, Subcommand};
use skep_proto::{Id, json, v1};

/// `skep node …`
#[derive(Subcommand)]
pub(super) enum NodeCommand {
    /// List nodes
    #[command(visible_alias = "list")]
    Ls(NodeLs),
    /// List the tasks of nodes
    Ps(NodePs),
    /// Show everything about nodes
    Inspect(NodeInspect),
    /// Show this machine as its own daemon knows it, without asking a manager
    Status(status::NodeStatusArgs),
    /// Change a node's labels, availability or role
    Update(change::NodeUpdate),
    /// Move all tasks away from nodes and give them none
    Drain(change::Availability),
    /// Give nodes no new tasks
    Pause(change::Availability),
    /// Give nodes tasks again
    Activate(change::Availability),
    /// Remove nodes from the cluster
    #[command(visible_alias = "remove")]
    Rm(change::NodeRm),
    /// Make nodes managers
    Promote(role::RoleArgs),
    /// Make managers workers
    Demote(role::RoleArgs),
}

/// `skep node ls`
#[derive(Args)]
pub(super) struct NodeLs {
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    style: ListStyle,
}

/// `skep node ps`
#[derive(Args)]
pub(super) struct NodePs {
    /// Nodes by name, id or the beginning of an id; `self` is the manager's own
    #[arg(value_name = "NODE", default_value = "self", value_parser = parse::reference)]
    nodes: Vec<String>,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    style: ListStyle,
}

/// `skep node inspect`
#[derive(Args)]
pub(super) struct NodeInspect {
    /// Nodes by name, id or the beginning of an id; `self` is the manager's own
    #[arg(value_name = "NODE", required = true, value_parser = parse::reference)]
    nodes: Vec<String>,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    style: InspectStyle,
}

const NODE_TABLE: TableLayout = TableLayout {
    message: "Node",
    fields: &[
        TableField::cut("ID", "ID", CellCut::KeepId(14)),
        TableField::cut("Hostname", "HOSTNAME", CellCut::KeepEnds(8)),
        TableField::cut("Status", "STATUS", CellCut::KeepStart(10)),
        TableField::cut("Availability", "AVAILABILITY", CellCut::KeepStart(6)),
        TableField::cut("ManagerStatus", "MANAGER STATUS", CellCut::KeepStart(9)),
        TableField::cut("EngineVersion", "ENGINE VERSION", CellCut::KeepStart(8)),
        TableField::unlisted("Self"),
        TableField::unlisted("Role"),
        TableField::unlisted("Tasks"),
        TableField::unlisted("Runtime"),
    ],
    filters: &["id", "label", "node.label", "membership", "name", "role"],
};
/// The word for the node of the manager that is asked.
const SELF: &str = "self";

pub(super) async fn run(top: &GlobalArgs, command: NodeCommand) -> CliResult {
    match command {
        NodeCommand::Ls(args) => ls(top, args).await,
        NodeCommand::Ps(args) => ps(top, args).await,
        NodeCommand::Inspect(args) => inspect(top, args).await,
        NodeCommand::Status(args) => status::run(top, args).await,
        NodeCommand::Update(args) => change::update(top, args).await,
        NodeCommand::Drain(args) => {
            change::availability(top, args, skep_proto::v1::NodeAvailability::Drain).await
        }
        NodeCommand::Pause(args) => {
            change::availability(top, args, skep_proto::v1::NodeAvailability::Pause).await
        }
        NodeCommand::Activate(args) => {
            change::availability(top, args, skep_proto::v1::NodeAvailability::Active).await
        }
        NodeCommand::Rm(args) => change::rm(top, args).await,
        NodeCommand::Promote(args) => role::change(top, args, RoleChoice::Manager).await,
        NodeCommand::Demote(args) => role::change(top, args, RoleChoice::Worker).await,
    }
}

async fn ls(top: &GlobalArgs, args: NodeLs) -> CliResult {
    let (look, filters) = (NODE_TABLE.look(&args.style)?, NODE_TABLE.filters(&args.style)?);
    let (manager, moment) = ManagerClient::for_read(top, &args.read).await?;
    let asked = v1::ListRequest { moment, filters, ..v1::ListRequest::default() };
    let nodes = manager.control().list_nodes(asked).await?.into_inner().nodes;
    let own = status(&manager).await.ok();
    let rows: Vec<TableRow> = nodes.iter().map(|node| row(node, own.as_ref())).collect();
    NODE_TABLE.print(&look, &rows)
}

async fn ps(top: &GlobalArgs, args: NodePs) -> CliResult {
    let (look, filters) =
        (task::TASK_TABLE.look(&args.style)?, task::TASK_TABLE.filters(&args.style)?);
    let (manager, moment) = ManagerClient::for_read(top, &args.read).await?;
    let nodes = find(&manager, moment, args.nodes).await?.nodes;
    let ids = nodes.iter().map(|node| Id::from_bytes(&node.id).to_string()).collect();
    let list = task::of(&manager, moment, filters, "node", ids).await?;
    task::TASK_TABLE.print(&look, &task::rows(&list, args.style.truncation()))
}

async fn inspect(top: &GlobalArgs, args: NodeInspect) -> CliResult {
    let look = Inspection::look(&args.style, &NODE_TABLE)?;
    let (manager, moment) = ManagerClient::for_read(top, &args.read).await?;
    let list = find(&manager, moment, args.nodes).await?;
    let own = status(&manager).await.ok();
    let rows: Vec<TableRow> = list.nodes.iter().map(|node| row(node, own.as_ref())).collect();
    let now = log_now(list.answered_at);
    look.print(&rows, |at| pretty::pretty(&list.nodes[at], now))
}

/// The nodes of these names, with `self` understood.
async fn find(
    manager: &ManagerClient,
    moment: Option<v1::Moment>,
    names: Vec<String>,
) -> CliResult<v1::NodeList> {
    let objects = resolve_self(manager, names).await?;
    let asked = v1::ListRequest { moment, objects, ..v1::ListRequest::default() };
    Ok(manager.control().list_nodes(asked).await?.into_inner())
}

async fn resolve_self(manager: &ManagerClient, names: Vec<String>) -> CliResult<Vec<String>> {
    if !names.iter().any(|name| name == SELF) {
        return Ok(names);
    }
    let own = Id::from_bytes(&status(manager).await?.node_id);
    if own.is_none() {
        return Err(CliError::refused("the manager has no node of its own")
            .hint("name a node: `skep node ls`"));
    }
    Ok(names.into_iter().map(|name| if name == SELF { own.to_string() } else { name }).collect())
}

/// The ids or names of the nodes that a command is about, `self` understood. A node that is named
/// twice is refused before any is changed. One that is not there is left to the manager, which
/// refuses it when its turn comes and goes on with the others.
async fn chosen(manager: &ManagerClient, names: &[String]) -> CliResult<Vec<String>> {
    if manager.others() > 0 && names.iter().any(|name| name == SELF) {
        let message =
            "self is the node of the manager that is asked, and several sockets are named";
        return Err(CliError::usage(message).hint("name the node: `skep node ls`"));
    }
    let nodes = resolve_self(manager, names.to_vec()).await?;
    if nodes.len() < 2 {
        return Ok(nodes);
    }
    let (mut named, mut ids) = (Vec::new(), Vec::new());
    match find(manager, None, nodes.clone()).await {
        Ok(found) => (named, ids) = (names.to_vec(), ids_of(found)),
        Err(failure) if failure.is_unreachable() => return Err(failure),
        Err(_) => {
            for (name, node) in names.iter().zip(&nodes) {
                if let Ok(found) = find(manager, None, vec![node.clone()]).await {
                    named.push(name.clone());
                    ids.extend(ids_of(found));
                }
            }
        }
    }
    connect::once_each("node", &named, ids)?;
    Ok(nodes)
}

fn ids_of(list: v1::NodeList) -> Vec<Id> {
    list.nodes.iter().map(|node| Id::from_bytes(&node.id)).collect()
}

/// A reference to any object, with `self` understood.
pub(super) async fn own_for_self(manager: &ManagerClient, name: String) -> CliResult<String> {
    if name != SELF {
        return Ok(name);
    }
    let ids = resolve_self(manager, vec![name]).await?;
    Ok(format!("node/{}", ids.concat()))
}

async fn status(manager: &ManagerClient) -> CliResult<v1::StatusReply> {
    Ok(manager.control().status(v1::StatusRequest {}).await?.into_inner())
}

fn row(node: &v1::Node, own: Option<&v1::StatusReply>) -> TableRow {
    let id = Id::from_bytes(&node.id).to_string();
    let is_own = own.is_some_and(|own| own.node_id == node.id);
    let description = node.description.clone().unwrap_or_default();
    let engine = description
        .engine
        .as_ref()
        .map(|engine| engine.version.clone())
        .filter(|version| !version.is_empty());
    TableRow {
        cells: vec![
            id.clone(),
            description.hostname.clone(),
            status_text(node),
            title(availability_word(node)),
            manager_word(node, own).into(),
            // A node without an engine has none to show a version of.
            engine.unwrap_or_else(|| "-".into()),
            is_own.to_string(),
            role_word(node.role()).into(),
            node.tasks.to_string(),
            runtime_word(description.runtime()).into(),
        ],
        mark: if is_own { " *" } else { "" },
        json: json::render(node),
        id,
    }
}

/// What a node is among the managers; nothing of a worker. Below feature level 6 the node does not
/// say it, and there the manager that is asked is the only one.
fn manager_word(node: &v1::Node, own: Option<&v1::StatusReply>) -> &'static str {
    use skep_proto::v1::{NodeRole, RaftMembership};
    let Some(status) = &node.manager_status else {
        let leads = own.is_some_and(|own| own.leader && own.node_id == node.id);
        return match (node.role(), leads) {
            (NodeRole::Manager, true) => "Leader",
            (NodeRole::Manager, false) => "Reachable",
            (NodeRole::Worker, _) => "",
        };
    };
    match (node.role(), status.membership()) {
        _ if status.leader => "Leader",
        (NodeRole::Worker, _) => "Leaving",
        (NodeRole::Manager, RaftMembership::None | RaftMembership::Follows) => "Joining",
        (NodeRole::Manager, RaftMembership::Votes) if status.reachable => "Reachable",
        (NodeRole::Manager, RaftMembership::Votes) => "Unreachable",
    }
}

fn state_word(node: &v1::Node) -> &'static str {
    match node.status.as_ref().map(|status| status.state()) {
        None | Some(v1::NodeState::Unknown) => "Unknown",
        Some(v1::NodeState::Down) => "Down",
        Some(v1::NodeState::Ready) => "Ready",
        Some(v1::NodeState::Disconnected) => "Disconnected",
    }
}

/// The state, and what is wrong with the node although it is up: `Ready (engine unreachable)`.
fn status_text(node: &v1::Node) -> String {
    let conditions = node.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let faults: Vec<&str> =
        conditions.iter().map(|condition| condition_word(condition.kind())).collect();
    match faults.is_empty() {
        true => state_word(node).to_owned(),
        false => format!("{} ({})", state_word(node), faults.join(", ")),
    }
}

fn condition_word(kind: v1::ConditionKind) -> &'static str {
    match kind {
        v1::ConditionKind::Unspecified => "in trouble",
        v1::ConditionKind::EngineUnreachable => "engine unreachable",
        v1::ConditionKind::TasksUnlisted => "tasks unlisted",
        v1::ConditionKind::PullFailing => "pulls fail",
        v1::ConditionKind::StateUnwritable => "state unwritable",
        v1::ConditionKind::EngineStuck => "engine stuck",
    }
}

fn availability_word(node: &v1::Node) -> &'static str {
    use skep_proto::v1::NodeAvailability;
    match node.spec.as_ref().map(|spec| spec.availability()).unwrap_or_default() {
        NodeAvailability::Active => "active",
        NodeAvailability::Pause => "pause",
        NodeAvailability::Drain => "drain",
    }
}

fn role_word(role: v1::NodeRole) -> &'static str {
    match role {
        v1::NodeRole::Worker => "worker",
        v1::NodeRole::Manager => "manager",
    }
}

fn runtime_word(runtime: v1::RuntimeKind) -> &'static str {
    match runtime {
        v1::RuntimeKind::Docker => "docker",
        v1::RuntimeKind::Process => "process",
        v1::RuntimeKind::Fake => "fake",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A node of these kinds in each column, and what its row shows.
    #[test]
    fn each_kind_of_node_has_its_row() {
        let cells = |node: &v1::Node, own: Option<&v1::StatusReply>| {
            let row = row(node, own);
            (row.cells.join(" | "), row.mark)
        };
        let id = Id(1).to_bytes();
        let mut node = v1::Node { id: id.clone(), tasks: 3, ..v1::Node::default() };
        let worker =
            "0000000000000000000000001 |  | Unknown | Active |  | - | false | worker | 3 | docker";
        assert_eq!(cells(&node, None), (worker.to_owned(), ""));

        let condition = |kind: v1::ConditionKind| v1::Condition {
            kind: kind.into(),
            ..v1::Condition::default()
        };
        node.role = v1::NodeRole::Manager.into();
        node.status = Some(v1::NodeStatus {
            state: v1::NodeState::Ready.into(),
            conditions: vec![
                condition(v1::ConditionKind::EngineUnreachable),
                condition(v1::ConditionKind::TasksUnlisted),
                condition(v1::ConditionKind::PullFailing),
                condition(v1::ConditionKind::StateUnwritable),
                condition(v1::ConditionKind::EngineStuck),
                condition(v1::ConditionKind::Unspecified),
            ],
            ..v1::NodeStatus::default()
        });
        node.spec = Some(v1::NodeSpec {
            availability: v1::NodeAvailability::Drain.into(),
            ..v1::NodeSpec::default()
        });
        node.description = Some(v1::NodeDescription {
            hostname: "node1".into(),
            engine: Some(v1::EngineDescription { version: "28.1".into(), ..Default::default() }),
            runtime: v1::RuntimeKind::Process.into(),
            ..v1::NodeDescription::default()
        });
        let own = |node_id: u128, leader| v1::StatusReply {
            node_id: Id(node_id).to_bytes(),
            leader,
            ..v1::StatusReply::default()
        };
        let of = |manager: &str, is_own: bool| {
            format!(
                "0000000000000000000000001 | node1 | Ready (engine unreachable, tasks unlisted, \
                 pulls fail, state unwritable, engine stuck, in trouble) | Drain | {manager} | \
                 28.1 | {is_own} | manager | 3 | process"
            )
        };
        assert_eq!(cells(&node, Some(&own(1, true))), (of("Leader", true), " *"));
        assert_eq!(cells(&node, Some(&own(1, false))), (of("Reachable", true), " *"));
        assert_eq!(cells(&node, Some(&own(2, true))), (of("Reachable", false), ""));
    }

    #[test]
    fn each_manager_has_its_word_and_below_feature_level_6_the_one_that_is_asked() {
        use skep_proto::v1::{
            NodeRole,
            RaftMembership::{Follows, None as Outside, Votes},
        };
        let word = |role: NodeRole, membership: v1::RaftMembership, leader, reachable| {
            let membership = membership.into();
            let status = v1::ManagerStatus { raft_id: 1, membership, leader, reachable };
            let (role, manager_status) = (role.into(), Some(status));
            manager_word(&v1::Node { role, manager_status, ..v1::Node::default() }, None)
        };
        assert_eq!(word(NodeRole::Manager, Votes, true, true), "Leader");
        assert_eq!(word(NodeRole::Manager, Outside, true, true), "Leader", "not yet recorded");
        assert_eq!(word(NodeRole::Worker, Votes, true, true), "Leader", "till it hands over");
        assert_eq!(word(NodeRole::Manager, Votes, false, true), "Reachable");
        assert_eq!(word(NodeRole::Manager, Votes, false, false), "Unreachable");
        for (membership, reachable) in [(Outside, true), (Follows, true), (Follows, false)] {
            assert_eq!(word(NodeRole::Manager, membership, false, reachable), "Joining");
        }
        for membership in [Outside, Follows, Votes] {
            assert_eq!(word(NodeRole::Worker, membership, false, true), "Leaving");
        }
    }

    #[test]
    fn each_state_and_availability_has_its_word() {
        let words = [v1::NodeState::Unknown, v1::NodeState::Down, v1::NodeState::Disconnected];
        let words = words.map(|state| {
            let status = Some(v1::NodeStatus { state: state.into(), ..v1::NodeStatus::default() });
            status_text(&v1::Node { status, ..v1::Node::default() })
        });
        assert_eq!(words, ["Unknown", "Down", "Disconnected"]);
        let availability = v1::NodeAvailability::Pause.into();
        let spec = Some(v1::NodeSpec { availability, ..v1::NodeSpec::default() });
        assert_eq!(availability_word(&v1::Node { spec, ..v1::Node::default() }), "pause");
        assert_eq!(runtime_word(v1::RuntimeKind::Fake), "fake");
    }
}
