//! `skep log`: the records, oldest first, as they are read; with `--follow`, as they come.

use crate::cli::{
    args::{ReadArgs, Top},
    connect::ManagerClient,
    fail::{CliError, CliResult},
    parse,
    show::{AnswerFormat, say, talk},
};
use clap::Args;
use skep_proto::{
    json,
    v1::{LogRequest, StatusRequest},
};

/// `skep log`
#[derive(Args)]
pub(crate) struct LogArgs {
    /// Go on with new records as they come
    #[arg(short, long)]
    follow: bool,
    /// Begin at this revision
    #[arg(
        long,
        value_name = "REV",
        value_parser = parse::count::<u64>,
        allow_hyphen_values = true,
        default_value = "0",
        hide_default_value = true
    )]
    from: u64,
    /// Only records that touch this service, task or node, past ones too
    #[arg(long, value_name = "NAME|ID")]
    object: Vec<String>,
    /// Only records of this author: a user, uid:1000, a node, or a reconciler
    #[arg(long, value_name = "AUTHOR")]
    author: Vec<String>,
    /// Every record, not only commands, decisions that matter, and failures
    #[arg(short, long)]
    all: bool,
    /// Only so many of the newest
    #[arg(
        short = 'n',
        long,
        value_name = "RECORDS",
        value_parser = parse::count::<u32>,
        allow_hyphen_values = true,
        default_value = "0",
        hide_default_value = true
    )]
    tail: u32,
    /// table, json (one record a line), or a template such as '{{.Revision}} {{.Summary}}'
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    #[command(flatten)]
    read: ReadArgs,
}

pub(crate) async fn run(top: &Top, args: LogArgs) -> CliResult {
    let look = AnswerFormat::look(args.format.as_deref(), "LogRecord")?;
    let is_past = args.read.at.is_some() || top.0.at.is_some();
    if is_past && args.follow {
        return Err(CliError::usage("--at ends in the past, --follow never does")
            .hint("leave one of them out"));
    }
    let (manager, moment) = ManagerClient::for_read(top, &args.read).await?;
    let to_revision = match moment {
        None => 0,
        Some(moment) => manager.revision_at(moment).await?,
    };
    if moment.is_some() && args.from > to_revision {
        return Err(CliError::refused(format!(
            "--from {} is after --at, which is revision {to_revision}",
            args.from
        )));
    }
    let asked = LogRequest {
        from_revision: args.from,
        to_revision,
        follow: args.follow,
        objects: args.object,
        authors: args.author,
        all: args.all,
        tail: args.tail,
    };
    let authors = asked.authors.join(", ");
    if asked.follow {
        say_that_it_waits(&manager, asked.from_revision).await?;
    }
    let mut records = manager.history().log(asked).await?.into_inner();
    let mut is_empty = true;
    while let Some(record) = records.message().await? {
        is_empty = false;
        let text = match &look {
            AnswerFormat::Text => super::line(&record),
            AnswerFormat::Json => json::render(&record).to_string(),
            AnswerFormat::Template(template) => template.fill_json(json::render(&record)),
        };
        say(&text)?;
    }
    if is_empty && !authors.is_empty() {
        talk(&format!(
            "no record here is by {authors}: authors are users, uid:1000, nodes, and reconcilers"
        ));
    }
    Ok(())
}

/// Says that nothing comes before a revision that is not written yet.
async fn say_that_it_waits(manager: &ManagerClient, from: u64) -> CliResult {
    let newest = manager.control().status(StatusRequest {}).await?.into_inner().revision;
    if from > newest.saturating_add(1) {
        talk(&format!("the newest revision is {newest}; waiting for revision {from}"));
    }
    Ok(())
}
