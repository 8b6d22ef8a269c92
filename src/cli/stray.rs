//! Strays: tasks that run and that the history does not know, because a part of it was lost.

use super::{
    args::{ChangeArgs, GlobalArgs, ListStyle, ReadArgs},
    connect::ManagerClient,
    fail::CliResult,
    show::{TableLayout, TableRow, Truncation, short_id, title},
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
    #[arg(value_name = "STRAY", required = true)]
    strays: Vec<String>,
    #[command(flatten)]
    change: ChangeArgs,
}

const STRAY_TABLE: TableLayout = TableLayout {
    message: "Stray",
    fields: &[("ID", "ID"), ("Node", "NODE"), ("State", "STATE")],
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
    let mut submitter = manager.submitter(args.change.reason.as_deref()).await?;
    let action =
        |index: usize| Action::DisownStray(DisownStray { task: args.strays[index].clone() });
    submitter.each(&args.strays, action).await
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
