//! What tasks write, as it comes from their nodes.
//!
//! Nothing is kept here beyond one line: a stream of any length passes through. What is missing (a
//! node that cannot be reached, lines that newer ones pushed out) is said on the standard error at
//! its place, and the exit code is 1.

mod line;
mod missing;

use super::{
    args::{self, GlobalArgs, Host},
    connect::ManagerClient,
    fail::{CliError, CliResult},
    now, parse,
    show::{self, AnswerFormat, TextForm, Truncation, local_time, say, talk, untrusted, write_raw},
};
use clap::Args;
use line::{LineHead, Naming, Prefix};
use missing::{GapNews, Missing};
use skep_proto::{
    Id, Timestamp, json,
    v1::{self, ListRequest, LogRequest, LogSource, LogsRequest, Moment, logs_reply, moment},
};
use std::path::PathBuf;

/// Flags of both `service logs` and `task logs`.
#[derive(Args)]
pub(super) struct Flags {
    /// Keep showing new lines as they arrive
    #[arg(short, long)]
    follow: bool,
    /// Only this many of the last lines of each task, or all
    #[arg(short = 'n', long, value_name = "LINES", value_parser = parse_tail, allow_hyphen_values = true)]
    tail: Option<TailLines>,
    /// Only lines since then: a time (RFC 3339, or seconds since 1970), or an age such as 10m
    #[arg(long, value_name = "TIME|10m", allow_hyphen_values = true)]
    since: Option<String>,
    /// Only lines before then
    #[arg(long, value_name = "TIME|10m", allow_hyphen_values = true, conflicts_with = "follow")]
    until: Option<String>,
    /// Begin each line with its time
    #[arg(short, long)]
    timestamps: bool,
    /// Print lines exactly as they were written: no task names, control characters unchanged
    #[arg(long)]
    raw: bool,
    /// Do not show the tasks' ids
    #[arg(long)]
    no_task_ids: bool,
    /// Do not shorten ids
    #[arg(long)]
    no_trunc: bool,
    /// Name tasks and nodes by their ids
    #[arg(long)]
    no_resolve: bool,
    #[arg(long, hide = true)]
    details: bool,
    /// table, json (one object a line), or a template such as '{{.TaskName}} {{.Text}}'
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    #[command(flatten)]
    host: Host,
    #[arg(long, hide = true, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Show what was written up to then: a revision, a time (local unless it names its zone), or an
    /// age such as -5m
    #[arg(long, value_name = "REV|TIME|-5m", value_parser = parse::moment, allow_hyphen_values = true)]
    at: Option<parse::ParsedTime<moment::Moment>>,
}

/// `skep service logs`
#[derive(Args)]
pub(super) struct ServiceLogs {
    /// Services by name or id, or tasks by id
    #[arg(value_name = "SERVICE|TASK", required = true, value_parser = parse::reference)]
    names: Vec<String>,
    #[command(flatten)]
    flags: Flags,
}

/// `skep task logs`
#[derive(Args)]
pub(super) struct TaskLogs {
    /// Tasks by id, the beginning of an id, or name (web.1)
    #[arg(value_name = "TASK", required = true, value_parser = parse::reference)]
    names: Vec<String>,
    #[command(flatten)]
    flags: Flags,
}

/// How many lines: a number, or all of them.
#[derive(Clone, Copy)]
struct TailLines(Option<u64>);

fn parse_tail(text: &str) -> Result<TailLines, String> {
    parse::tail(text).map(TailLines)
}

pub(super) async fn of_services(top: &GlobalArgs, args: ServiceLogs) -> CliResult {
    let plan = LineFormat::new(&args.flags)?;
    let (manager, mut request, moment) = prepare(top, &args.flags).await?;
    let mut services = Vec::new();
    for name in args.names {
        let objects = vec![name.clone()];
        let asked = ListRequest { moment, objects, ..ListRequest::default() };
        // A name that is no service may be a task, as with Docker.
        match manager.control().list_services(asked.clone()).await {
            Ok(found) => {
                let found = found.into_inner().services;
                services.extend(found.iter().map(|one| Id::from_bytes(&one.id).to_string()));
                request.services.push(name);
            }
            Err(no_service) if no_service.code() == tonic::Code::NotFound => {
                match manager.control().list_tasks(asked).await {
                    Ok(_) => request.tasks.push(name),
                    Err(status) if status.code() == tonic::Code::NotFound => {
                        return Err(no_service.into());
                    }
                    Err(status) => return Err(status.into()),
                }
            }
            Err(status) => return Err(status.into()),
        }
    }
    let (names, is_of_services) = (request.services.join(", "), request.tasks.is_empty());
    let lines = stream(&manager, request, &plan).await?;
    if lines == 0 && moment.is_some() && is_of_services && !any_task(&manager, services).await? {
        talk(&format!("no task of {names} is left, and a task's output goes with it"));
    }
    Ok(())
}

pub(super) async fn of_tasks(top: &GlobalArgs, args: TaskLogs) -> CliResult {
    let plan = LineFormat::new(&args.flags)?;
    let (manager, mut request, _) = prepare(top, &args.flags).await?;
    request.tasks = args.names;
    stream(&manager, request, &plan).await.map(drop)
}

struct LineFormat {
    look: AnswerFormat,
    head: LineHead,
    /// How the tasks' text is written; where it is not said, each stream's reader decides.
    form: Option<TextForm>,
}

impl LineFormat {
    fn new(flags: &Flags) -> CliResult<LineFormat> {
        if flags.details {
            return Err(CliError::usage("--details is not supported yet")
                .hint("--format json shows all that is known of each line"));
        }
        let truncation = if flags.no_trunc { Truncation::Full } else { Truncation::Shortened };
        let ids = (!flags.no_task_ids).then_some(truncation);
        let naming = if flags.no_resolve { Naming::Ids(truncation) } else { Naming::Names(ids) };
        let prefix = (!flags.raw).then(|| Prefix::new(naming));
        Ok(LineFormat {
            look: AnswerFormat::look(flags.format.as_deref(), "LogLine")?,
            head: LineHead { timestamps: flags.timestamps, prefix },
            form: flags.raw.then_some(TextForm::Raw),
        })
    }
}

async fn prepare(
    top: &GlobalArgs,
    flags: &Flags,
) -> CliResult<(ManagerClient, LogsRequest, Option<Moment>)> {
    let now = now();
    let time = |text: &Option<String>, flag: &str| match text {
        None => Ok(0),
        Some(text) => {
            parse::since(text, now).map_err(|error| CliError::usage(format!("{flag}: {error}")))
        }
    };
    let (since_at, until_at) = (time(&flags.since, "--since")?, time(&flags.until, "--until")?);
    in_order(since_at, until_at, now)?;
    if flags.state_dir.is_some() || (top.0.source.state_dir.is_some() && flags.host.host.is_empty())
    {
        return Err(CliError::usage(
            "--state-dir has no effect here: the folder of a stopped manager holds no output of tasks",
        )
        .hint("start the manager with `skep daemon`, which asks the nodes for it"));
    }
    let source = args::SourceArgs { host: flags.host.clone(), ..args::SourceArgs::default() };
    let (target, moment) = top.read(&args::ReadArgs { source, at: flags.at.clone() })?;
    if moment.is_some() && (flags.follow || flags.until.is_some()) {
        return Err(CliError::usage(
            "--at is the end of what is shown: it excludes --follow and --until",
        )
        .hint("leave one of them out"));
    }
    let manager = ManagerClient::connect(&target).await?;
    let until_at =
        if let Some(moment) = moment { time_of(&manager, moment, now.0).await? } else { until_at };
    let request = LogsRequest {
        follow: flags.follow,
        tail: flags.tail.and_then(|tail| tail.0),
        since_at,
        until_at,
        ..LogsRequest::default()
    };
    Ok((manager, request, moment))
}

/// Refuses a time span that holds no line. A bound that was not written is 0.
fn in_order(since_at: u64, until_at: u64, now: Timestamp) -> CliResult {
    if since_at > now.0 {
        return Err(CliError::usage(format!("--since {} is in the future", local_time(since_at)))
            .hint("name a time up to now; --follow alone shows the lines to come"));
    }
    if until_at != 0 && since_at > until_at {
        return Err(CliError::usage("--since is later than --until").hint(format!(
            "they mean {} and {}; exchange them",
            local_time(since_at),
            local_time(until_at)
        )));
    }
    Ok(())
}

/// The time that a moment means: a revision's is in its record.
async fn time_of(manager: &ManagerClient, moment: Moment, now: u64) -> CliResult<u64> {
    let revision = match moment.moment {
        None => return Ok(0),
        Some(moment::Moment::TimeAt(at)) => return Ok(at),
        Some(moment::Moment::AgoNs(ago)) => return Ok(now.saturating_sub(ago)),
        Some(moment::Moment::Revision(revision)) => revision,
    };
    let asked = LogRequest {
        from_revision: revision,
        to_revision: revision,
        all: true,
        ..LogRequest::default()
    };
    let record = manager.history().log(asked).await?.into_inner().message().await?;
    // A line of the very moment belongs to it.
    record
        .map(|record| record.at + 1)
        .ok_or_else(|| CliError::refused(format!("there is no revision {revision}")))
}

/// Whether these services have a task now, ended or not.
async fn any_task(manager: &ManagerClient, services: Vec<String>) -> CliResult<bool> {
    let filters = vec![v1::Filter { key: "service".into(), values: services }];
    let asked = ListRequest { filters, ..ListRequest::default() };
    Ok(!manager.control().list_tasks(asked).await?.into_inner().tasks.is_empty())
}

/// Shows the lines, and counts them.
async fn stream(
    manager: &ManagerClient,
    request: LogsRequest,
    plan: &LineFormat,
) -> CliResult<u64> {
    let mut lines = 0;
    let mut replies = manager.logs().read(request).await?.into_inner();
    let mut missing = Missing::default();
    while let Some(reply) = replies.message().await? {
        lines += u64::from(matches!(&reply.message, Some(logs_reply::Message::Line(_))));
        match reply.message {
            None => {}
            Some(logs_reply::Message::Gap(gap)) => match missing.note(&gap) {
                GapNews::New => talk(&untrusted::one_line(&format!("warning: {}", gap.message))),
                GapNews::Known => {}
            },
            Some(logs_reply::Message::Line(line)) => match &plan.look {
                AnswerFormat::Json => say(&json::render(&line).to_string())?,
                AnswerFormat::Template(template) => say(&template.fill_json(json::render(&line)))?,
                AnswerFormat::Text => {
                    let head = plan.head.of(&line);
                    match line.source() {
                        LogSource::Stdout => {
                            let form = plan.form.unwrap_or_else(TextForm::of_stdout);
                            write_raw(&[head.as_bytes(), &form.bytes(&line.text), b"\n"])?;
                        }
                        LogSource::Stderr => {
                            let form = plan.form.unwrap_or_else(TextForm::of_stderr);
                            show::write_raw_stderr(&[
                                head.as_bytes(),
                                &form.bytes(&line.text),
                                b"\n",
                            ]);
                        }
                    }
                }
            },
        }
    }
    missing.outcome().map(|()| lines)
}
