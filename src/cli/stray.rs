//! Strays: tasks that run and that the history does not know, because a part of it was lost.

use super::{
    args::{Change, ListStyle, Read, Top},
    connect::Manager,
    fail::Outcome,
    show::{Listing, Row, short_id, title},
    task::state_word,
};
use clap::{Args, Subcommand};
use skep_proto::{
    Id, json,
    v1::{DisownStray, ListStraysRequest, Stray, command::Action},
};

/// `skep stray …`
#[derive(Subcommand)]
pub enum Command {
    /// List tasks that the history does not know
    #[command(visible_alias = "list")]
    Ls(Ls),
    /// End tasks that the history does not know
    #[command(visible_alias = "remove")]
    Rm(Rm),
}

/// `skep stray ls`
#[derive(Args)]
pub struct Ls {
    #[command(flatten)]
    read: Read,
    #[command(flatten)]
    style: ListStyle,
}

/// `skep stray rm`
#[derive(Args)]
pub struct Rm {
    /// Strays by id or the beginning of an id
    #[arg(value_name = "STRAY", required = true)]
    strays: Vec<String>,
    #[command(flatten)]
    change: Change,
}

const LISTING: Listing = Listing {
    message: "Stray",
    fields: &[("ID", "ID"), ("Node", "NODE"), ("State", "STATE")],
    filters: &[],
};

pub(super) async fn run(top: &Top, command: Command) -> Outcome {
    match command {
        Command::Ls(args) => ls(top, args).await,
        Command::Rm(args) => rm(top, args).await,
    }
}

async fn ls(top: &Top, args: Ls) -> Outcome {
    let look = LISTING.look(&args.style)?;
    LISTING.filters(&args.style)?;
    let (manager, moment) = Manager::for_read(top, &args.read).await?;
    let strays =
        manager.control().list_strays(ListStraysRequest { moment }).await?.into_inner().strays;
    let rows: Vec<Row> = strays.iter().map(|stray| row(stray, args.style.no_trunc)).collect();
    LISTING.print(&look, &rows)
}

async fn rm(top: &Top, args: Rm) -> Outcome {
    let manager = Manager::connect(&top.host(&args.change.host)?).await?;
    let mut submitter = manager.submitter(args.change.reason.as_deref()).await?;
    let action =
        |index: usize| Action::DisownStray(DisownStray { task: args.strays[index].clone() });
    submitter.each(&args.strays, action).await
}

fn row(stray: &Stray, no_trunc: bool) -> Row {
    let id = Id::from_bytes(&stray.task_id).to_string();
    Row {
        cells: vec![
            short_id(&id, no_trunc),
            stray.node_name.clone(),
            title(state_word(stray.state())),
        ],
        mark: "",
        json: json::render(stray),
        id,
    }
}
