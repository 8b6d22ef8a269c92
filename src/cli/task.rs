//! Tasks: what runs, what ran, and how it ended.

mod outcome;
mod pretty;

pub(super) use outcome::{end_of, image, port_list, ports, state_word, trouble};

use super::{
    args::{GlobalArgs, InspectStyle, ListStyle, ReadArgs},
    connect::ManagerClient,
    fail::CliResult,
    log_now, logs, parse,
    show::{self, CellCut, Inspection, TableField, TableLayout, TableRow, Truncation, ago, title},
};
use clap::{Args, Subcommand};
use skep_proto::{
    Id, Timestamp, json,
    task_state::EndKind,
    v1::{Filter, ListRequest, Moment, Task, TaskList},
};

/// `skep task …`
#[derive(Subcommand)]
pub(super) enum TaskCommand {
    /// List tasks of all services, ended ones too
    #[command(visible_alias = "list")]
    Ls(TaskLs),
    /// Show everything about tasks
    Inspect(TaskInspect),
    /// Show what tasks have written
    Logs(logs::TaskLogs),
}

/// `skep task ls`
#[derive(Args)]
pub(super) struct TaskLs {
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    style: ListStyle,
}

/// `skep task inspect`
#[derive(Args)]
pub(super) struct TaskInspect {
    /// Tasks by id, the beginning of an id, or name (web.1)
    #[arg(value_name = "TASK", required = true, value_parser = parse::reference)]
    tasks: Vec<String>,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    style: InspectStyle,
}

/// Docker's columns of `service ps`.
pub(super) const TASK_TABLE: TableLayout = TableLayout {
    message: "Task",
    fields: &[
        TableField::cut("ID", "ID", CellCut::KeepId(12)),
        TableField::cut("Name", "NAME", CellCut::KeepEnds(8)),
        TableField::cut("Image", "IMAGE", CellCut::KeepEnd(8)),
        TableField::cut("Node", "NODE", CellCut::KeepEnds(6)),
        TableField::cut("DesiredState", "DESIRED STATE", CellCut::KeepStart(8)),
        TableField::cut("CurrentState", "CURRENT STATE", CellCut::KeepStart(9)),
        TableField::cut("Error", "ERROR", CellCut::KeepCause),
        TableField::cut("Ports", "PORTS", CellCut::KeepStart(8)),
    ],
    filters: &["id", "name", "node", "desired-state"],
};
/// Where no service is named, services can be asked for.
const ALL_TASKS_TABLE: TableLayout =
    TableLayout { filters: &["id", "name", "node", "desired-state", "service"], ..TASK_TABLE };

pub(super) async fn run(top: &GlobalArgs, command: TaskCommand) -> CliResult {
    match command {
        TaskCommand::Ls(args) => ls(top, args).await,
        TaskCommand::Inspect(args) => inspect(top, args).await,
        TaskCommand::Logs(args) => logs::of_tasks(top, args).await,
    }
}

async fn ls(top: &GlobalArgs, args: TaskLs) -> CliResult {
    let (look, filters) =
        (ALL_TASKS_TABLE.look(&args.style)?, ALL_TASKS_TABLE.filters(&args.style)?);
    let (manager, moment) = ManagerClient::for_read(top, &args.read).await?;
    let asked = ListRequest { moment, filters, ..ListRequest::default() };
    let list = manager.control().list_tasks(asked).await?.into_inner();
    ALL_TASKS_TABLE.print(&look, &rows(&list, args.style.truncation()))
}

async fn inspect(top: &GlobalArgs, args: TaskInspect) -> CliResult {
    let look = Inspection::look(&args.style, &TASK_TABLE)?;
    let (manager, moment) = ManagerClient::for_read(top, &args.read).await?;
    let asked = ListRequest { moment, objects: args.tasks, ..ListRequest::default() };
    let list = manager.control().list_tasks(asked).await?.into_inner();
    let now = log_now(list.answered_at);
    let tasks = &list.tasks;
    let rows: Vec<TableRow> =
        tasks.iter().map(|task| row(task, task.name.clone(), Truncation::Full, now)).collect();
    look.print(&rows, |at| pretty::pretty(&tasks[at], now))
}

/// Tasks of some services or nodes: `key` says which of the two the ids are. None of no ids.
pub(super) async fn of(
    manager: &ManagerClient,
    moment: Option<Moment>,
    mut filters: Vec<Filter>,
    key: &str,
    ids: Vec<String>,
) -> CliResult<TaskList> {
    if ids.is_empty() {
        return Ok(TaskList::default());
    }
    filters.retain(|filter| filter.key != key);
    filters.push(Filter { key: key.to_owned(), values: ids });
    let asked = ListRequest { moment, filters, ..ListRequest::default() };
    Ok(manager.control().list_tasks(asked).await?.into_inner())
}

/// Rows as Docker orders them: by service and slot, the newest of a slot first, those before it
/// indented below.
pub(super) fn rows(list: &TaskList, truncation: Truncation) -> Vec<TableRow> {
    let mut sorted: Vec<&Task> = list.tasks.iter().collect();
    let created = |task: &Task| task.meta.as_ref().map_or(0, |meta| meta.created_revision);
    sorted.sort_by(|a, b| {
        (&a.service_name, &a.service_id, a.slot)
            .cmp(&(&b.service_name, &b.service_id, b.slot))
            .then(created(b).cmp(&created(a)))
    });
    let now = log_now(list.answered_at);
    let mut above: Option<&Task> = None;
    sorted
        .into_iter()
        .map(|task| {
            let same_slot =
                above.is_some_and(|a| a.service_id == task.service_id && a.slot == task.slot);
            above = Some(task);
            let name = if same_slot { format!(" \\_ {}", task.name) } else { task.name.clone() };
            row(task, name, truncation, now)
        })
        .collect()
}

fn row(task: &Task, name: String, truncation: Truncation, now: Timestamp) -> TableRow {
    let id = Id::from_bytes(&task.id).to_string();
    let status = task.status.clone().unwrap_or_default();
    let current = format!("{} {}", title(state_word(status.state())), ago(status.at, now));
    TableRow {
        cells: vec![
            show::short_id(&id, truncation),
            name,
            image(task).to_owned(),
            task.node_name.clone(),
            title(state_word(task.desired())),
            current.trim_end().to_owned(),
            show::quoted(&trouble(task)),
            ports(task),
        ],
        mark: "",
        json: task_json(task),
        id,
    }
}

/// The message in JSON. What would be said of an end is not there before the task has ended: the
/// schema's default would say that it ended by itself.
fn task_json(task: &Task) -> serde_json::Value {
    let mut json = json::render(task);
    let has_ended =
        task.status.as_ref().is_some_and(|status| status.state().meaning().end != EndKind::NoEnd);
    if !has_ended && let Some(cause) = json.pointer_mut("/status/container/end_cause") {
        *cause = serde_json::Value::Null;
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_proto::v1::{ContainerStatus, Meta, TaskState, TaskStatus};

    #[test]
    fn tasks_stand_by_service_and_slot_and_the_older_ones_of_a_slot_are_indented() {
        let task = |service: u128, slot: u64, created_revision: u64| Task {
            id: Id(u128::from(created_revision)).to_bytes(),
            name: format!("s{service}.{slot}"),
            service_id: Id(service).to_bytes(),
            service_name: if service == 1 { "web".into() } else { "db".into() },
            slot,
            node_name: "node1".into(),
            desired: TaskState::Running.into(),
            status: Some(TaskStatus {
                state: TaskState::Starting.into(),
                message: "pulling".into(),
                ..TaskStatus::default()
            }),
            meta: Some(Meta { created_revision, ..Meta::default() }),
            ..Task::default()
        };
        let tasks = vec![task(1, 2, 3), task(1, 1, 4), task(1, 1, 5), task(2, 1, 6), task(3, 1, 7)];
        let list = TaskList { tasks, ..TaskList::default() };
        let shown: Vec<String> = rows(&list, Truncation::Full)
            .iter()
            .map(|row| format!("{} {}", &row.id[24..], row.cells[1..].join("|")))
            .collect();
        let rest = "||node1|Running|Starting|\"pulling\"|";
        assert_eq!(
            shown,
            [
                format!("6 s2.1{rest}"),
                format!("7 s3.1{rest}"),
                format!("5 s1.1{rest}"),
                format!("4  \\_ s1.1{rest}"),
                format!("3 s1.2{rest}"),
            ]
        );
        assert_eq!(rows(&list, Truncation::Shortened)[0].cells[0], "000000000000");
    }

    #[test]
    fn only_a_task_that_has_ended_has_a_cause_of_its_end() {
        let cause = |state: TaskState| {
            let container = Some(ContainerStatus::default());
            let status = TaskStatus { state: state as i32, container, ..TaskStatus::default() };
            let task = Task { status: Some(status), ..Task::default() };
            task_json(&task)["status"]["container"]["end_cause"].clone()
        };
        assert_eq!(cause(TaskState::Running), serde_json::Value::Null);
        assert_eq!(cause(TaskState::Failed), "itself");
    }
}
