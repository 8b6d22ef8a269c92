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
        value_parser = parse::from_revision,
        allow_hyphen_values = true,
        default_value = "0",
        hide_default_value = true
    )]
    from: u64,
    /// Only records that touch this service, task or node, past ones too
    #[arg(long, value_name = "NAME|ID", value_parser = parse::reference)]
    object: Vec<String>,
    /// Only records of this author: a user, uid:1000, a node, or a reconciler
    #[arg(long, value_name = "AUTHOR", value_parser = parse::author)]
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
        allow_hyphen_values = true
    )]
    tail: Option<u32>,
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
        Some(moment) => {
            manager.refuse_future(&moment).await?;
            manager.revision_at(moment).await?
        }
    };
    let mut from_revision = match &args.since {
        None => args.from,
        Some(since) => since_revision(&manager, meant(since)).await?,
    };
    if moment.is_some() && from_revision > to_revision {
        return Err(CliError::refused(format!(
            "revision {from_revision} comes after the end, which is revision {to_revision}"
        ))
        .hint("begin earlier with --from or --since, or end later"));
    }
    let tail = NewestRecords::of(args.tail);
    if tail == NewestRecords::Nothing && args.follow {
        from_revision = from_revision.max(newest(&manager).await?.saturating_add(1));
    }
    let asked = LogRequest {
        from_revision,
        to_revision,
        follow: args.follow,
        objects: args.object,
        authors: args.author,
        all: args.all,
        tail: tail.asked(),
    };
    let (authors, of_all) = (asked.authors.join(", "), LogRequest { all: true, ..asked.clone() });
    if asked.follow {
        say_that_it_waits(&manager, asked.from_revision).await?;
    }
    let mut records = manager.history().log(asked).await?.into_inner();
    if tail == NewestRecords::Nothing && !args.follow {
        return Ok(());
    }
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

/// How many of the newest records are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum NewestRecords {
    All,
    /// Of those that there are.
    Nothing,
    Some(u32),
}

impl NewestRecords {
    fn of(written: Option<u32>) -> NewestRecords {
        match written {
            None => NewestRecords::All,
            Some(0) => NewestRecords::Nothing,
            Some(records) => NewestRecords::Some(records),
        }
    }

    /// The number in the request, where 0 is all. Where nothing is to be shown, one record is still
    /// asked for: the manager then refuses names that nothing has.
    fn asked(self) -> u32 {
        match self {
            NewestRecords::All => 0,
            NewestRecords::Nothing => 1,
            NewestRecords::Some(records) => records,
        }
    }
}

/// The first revision at a moment or after it.
async fn since_revision(manager: &ManagerClient, moment: Moment) -> CliResult<u64> {
    manager.refuse_future(&moment).await?;
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
    let newest = newest(manager).await?;
    if from > newest.saturating_add(1) {
        talk(&format!("the newest revision is {newest}; waiting for revision {from}"));
    }
    Ok(())
}

/// The newest revision.
async fn newest(manager: &ManagerClient) -> CliResult<u64> {
    Ok(manager.control().status(StatusRequest {}).await?.into_inner().revision)
}
