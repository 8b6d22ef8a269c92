//! Strays: tasks that run and that the history does not know, because a part of it was lost.

use super::{
    args::{ChangeArgs, GlobalArgs, ListStyle, ReadArgs},
    connect::{self, ManagerClient},
    fail::{CliError, CliResult},
    parse,
    show::{CellCut, TableField, TableLayout, TableRow, Truncation, short_id, title},
    task::state_word,
};
use clap::{Args, Subcommand};
use skep_proto::{
    Id, json,
    v1::{DisownStray, ListStraysRequest, Stray, command::Action},
};

/// `skep stray …`
#[derive(Subcommand)]
pub(super) enum StrayCommand {
    /// List tasks that the history does not know
    #[command(visible_alias = "list")]
    Ls(StrayLs),
    /// End tasks that the history does not know
    #[command(visible_alias = "remove")]
    Rm(StrayRm),
}

/// `skep stray ls`
#[derive(Args)]
pub(super) struct StrayLs {
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    style: ListStyle,
}

/// `skep stray rm`
#[derive(Args)]
pub(super) struct StrayRm {
    /// Strays by id or the beginning of an id
    #[arg(value_name = "STRAY", required = true, value_parser = parse::reference)]
    strays: Vec<String>,
    #[command(flatten)]
    change: ChangeArgs,
}

const STRAY_TABLE: TableLayout = TableLayout {
    message: "Stray",
    fields: &[
        TableField::cut("ID", "ID", CellCut::KeepId(12)),
        TableField::cut("Node", "NODE", CellCut::KeepEnds(6)),
        TableField::cut("State", "STATE", CellCut::KeepStart(9)),
    ],
    filters: &[],
};

pub(super) async fn run(top: &GlobalArgs, command: StrayCommand) -> CliResult {
    match command {
        StrayCommand::Ls(args) => ls(top, args).await,
        StrayCommand::Rm(args) => rm(top, args).await,
    }
}

async fn ls(top: &GlobalArgs, args: StrayLs) -> CliResult {
    let look = STRAY_TABLE.look(&args.style)?;
    STRAY_TABLE.filters(&args.style)?;
    let (manager, moment) = ManagerClient::for_read(top, &args.read).await?;
    let strays =
        manager.control().list_strays(ListStraysRequest { moment }).await?.into_inner().strays;
    let rows: Vec<TableRow> =
        strays.iter().map(|stray| row(stray, args.style.truncation())).collect();
    STRAY_TABLE.print(&look, &rows)
}

async fn rm(top: &GlobalArgs, args: StrayRm) -> CliResult {
    let manager = ManagerClient::connect(&top.host(&args.change.host)?).await?;
    if args.strays.len() > 1 {
        let asked = ListStraysRequest::default();
        let strays = manager.control().list_strays(asked).await?.into_inner().strays;
        connect::once_each("stray", &args.strays, each_of(&strays, &args.strays)?)?;
    }
    let mut submitter = manager.submitter(args.change.reason.as_deref()).await?;
    let action =
        |index: usize| Action::DisownStray(DisownStray { task: args.strays[index].clone() });
    submitter.each(&args.strays, action).await
}

/// The id of each stray that is named; one that is not there keeps the others from being ended.
fn each_of(strays: &[Stray], names: &[String]) -> CliResult<Vec<Id>> {
    let ids: Vec<Id> = strays.iter().map(|stray| Id::from_bytes(&stray.task_id)).collect();
    let one = |name: &String| {
        let begun = name.to_ascii_lowercase();
        let mut found = ids.iter().filter(|id| id.to_string().starts_with(&begun));
        let wrong = match (found.next(), found.next()) {
            (Some(id), None) => return Ok(*id),
            (Some(_), Some(_)) => format!("several strays begin with {name:?}"),
            (None, _) => format!("no stray task {name:?}"),
        };
        Err(CliError::refused(wrong).and("nothing was ended").hint("`skep stray ls` lists them"))
    };
    names.iter().map(one).collect()
}

fn row(stray: &Stray, truncation: Truncation) -> TableRow {
    let id = Id::from_bytes(&stray.task_id).to_string();
    TableRow {
        cells: vec![
            short_id(&id, truncation),
            stray.node_name.clone(),
            title(state_word(stray.state())),
        ],
        mark: "",
        json: json::render(stray),
        id,
    }
}
