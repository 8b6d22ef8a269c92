//! `skep log`: the records, oldest first, as they are read; with `--follow`, as they come.

use crate::cli::{
    args::{GlobalArgs, ReadArgs, meant},
    connect::ManagerClient,
    fail::{CliError, CliResult},
    parse::{self, ParsedTime},
    show::{AnswerFormat, say, talk},
};
use clap::Args;
use skep_proto::{
    json,
    v1::{LogRequest, Moment, RefusalCode, StatusRequest, moment},
};

/// `skep log`
#[derive(Args)]
pub(crate) struct LogArgs {
    /// Keep showing new records as they arrive
    #[arg(short, long)]
    follow: bool,
    /// Begin at this revision, time, or age
    #[arg(long, value_name = "REV|TIME|-5m", value_parser = parse::moment, allow_hyphen_values = true,
        conflicts_with = "from")]
    since: Option<ParsedTime<moment::Moment>>,
    /// End at this revision, time, or age, as with --at
    #[arg(long, value_name = "REV|TIME|-5m", value_parser = parse::moment, allow_hyphen_values = true,
        conflicts_with_all = ["at", "follow"])]
    until: Option<ParsedTime<moment::Moment>>,
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
    /// Only this many of the newest records
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

pub(crate) async fn run(top: &GlobalArgs, args: LogArgs) -> CliResult {
    let look = AnswerFormat::look(args.format.as_deref(), "LogRecord")?;
    let is_past = args.read.at.is_some() || top.0.at.is_some();
    if is_past && args.follow {
        return Err(CliError::usage("--at ends in the past, --follow never does")
            .hint("leave one of them out"));
    }
    let (manager, moment) = ManagerClient::for_read(top, &args.read).await?;
    let moment = moment.or(args.until.as_ref().map(meant));
    let to_revision = match moment {
        None => 0,
        Some(moment) => manager.revision_at(moment).await?,
    };
    let from_revision = match &args.since {
        None => args.from,
        Some(since) => since_revision(&manager, meant(since)).await?,
    };
    if moment.is_some() && from_revision > to_revision {
        return Err(CliError::refused(format!(
            "revision {from_revision} comes after the end, which is revision {to_revision}"
        ))
        .hint("begin earlier with --from or --since, or end later"));
    }
    let asked = LogRequest {
        from_revision,
        to_revision,
        follow: args.follow,
        objects: args.object,
        authors: args.author,
        all: args.all,
        tail: args.tail,
    };
    let (authors, of_all) = (asked.authors.join(", "), LogRequest { all: true, ..asked.clone() });
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
    if is_empty && !args.all && !args.follow && has_any(&manager, of_all).await? {
        talk("only records of ordinary work match, which are not shown: --all shows them");
    } else if is_empty && !authors.is_empty() {
        talk(&format!(
            "no record here is by {authors}: authors are users, uid:1000, nodes, and reconcilers"
        ));
    }
    Ok(())
}

/// The first revision at a moment or after it.
async fn since_revision(manager: &ManagerClient, moment: Moment) -> CliResult<u64> {
    if let Some(moment::Moment::Revision(revision)) = moment.moment {
        return Ok(revision);
    }
    match manager.revision_at(moment).await {
        Ok(newest_before) => Ok(newest_before.saturating_add(1)),
        // Nothing is older than the beginning of history.
        Err(failure) if failure.code() == RefusalCode::NotFound => Ok(0),
        Err(failure) => Err(failure),
    }
}

/// Whether there is any record that is asked for.
async fn has_any(manager: &ManagerClient, asked: LogRequest) -> CliResult<bool> {
    let newest = LogRequest { tail: 1, follow: false, ..asked };
    Ok(manager.history().log(newest).await?.into_inner().message().await?.is_some())
}

/// Says that nothing comes before a revision that is not written yet.
async fn say_that_it_waits(manager: &ManagerClient, from: u64) -> CliResult {
    let newest = manager.control().status(StatusRequest {}).await?.into_inner().revision;
    if from > newest.saturating_add(1) {
        talk(&format!("the newest revision is {newest}; waiting for revision {from}"));
    }
    Ok(())
}
