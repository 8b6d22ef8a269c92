//! `skep verify`: recomputes everything that can be computed, and compares.
//!
//! The entries come as they are stored. From their bytes alone this program computes the leaves,
//! the roots and the hashes, checks that each entry follows the one before without a gap, folds
//! every record into a view of its own, and compares that view's digest with what checkpoints
//! recorded and with what the manager says it has now.

mod audit;

use super::{
    args::{GlobalArgs, ManagerAddress, ReadArgs},
    connect::ManagerClient,
    fail::{CliError, CliResult},
    show::{can_draw, pairs, say, say_json},
};
use audit::Audit;
use clap::Args;
use serde_json::json;
use skep_proto::{
    bytes_size,
    v1::{EntriesRequest, StatusReply, StatusRequest},
};

/// `skep verify`
#[derive(Args)]
#[command(after_help = "Exit code 1 when something does not match.")]
pub(super) struct Verify {
    /// table or json
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    #[command(flatten)]
    read: ReadArgs,
}

pub(super) async fn run(top: &GlobalArgs, args: Verify) -> CliResult {
    let format = match args.format.as_deref() {
        None | Some("table") => ReportFormat::Table,
        Some("json") => ReportFormat::Json,
        Some(other) => {
            return Err(CliError::usage(format!("format {other:?} is unknown here"))
                .hint("choose table or json"));
        }
    };
    let (manager, moment) = ManagerClient::for_read(top, &args.read).await?;
    let claimant = match top.target(&args.read.source)? {
        ManagerAddress::Sockets(_) => "the manager",
        ManagerAddress::Folder(_) => "the stored head",
    };
    // What the manager claims is fetched first: everything up to there must then be found.
    let claimed = manager.control().status(StatusRequest {}).await?.into_inner();
    let upto = match moment {
        None => claimed.revision,
        Some(moment) => manager.revision_at(moment).await?.min(claimed.revision),
    };
    let bar = progress(upto);
    let mut audit = Audit::default();
    let asked = EntriesRequest { from_revision: 0, to_revision: upto };
    let mut entries = manager.history().entries(asked).await?.into_inner();
    while let Some(stored) = entries.message().await? {
        if let Err(error) = audit.take(stored.entry, claimed.revision, &claimed) {
            bar.finish_and_clear();
            return Err(error);
        }
        bar.set_position(audit.revision());
    }
    bar.finish_and_clear();
    audit.finish(upto, &claimed)?;
    report(&audit, &claimed, claimant, format)
}

fn progress(upto: u64) -> indicatif::ProgressBar {
    if !can_draw() {
        return indicatif::ProgressBar::hidden();
    }
    indicatif::ProgressBar::new(upto).with_prefix("verify")
}

/// How the outcome is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ReportFormat {
    Table,
    Json,
}

fn report(audit: &Audit, claimed: &StatusReply, claimant: &str, format: ReportFormat) -> CliResult {
    if format == ReportFormat::Json {
        return say_json(&json!({
            "verified": true,
            "incarnation": audit.incarnation(),
            "lineage": audit.lineage().to_json(),
            "first_revision": audit.first_revision(),
            "revision": audit.revision(),
            "entries": audit.entries(),
            "bytes": audit.bytes(),
            "head": audit.head().to_string(),
            "digest": audit.digest(),
            "checkpoints": audit.checkpoints(),
            "set_aside": audit.set_aside(),
            "newest_set_aside": audit.newest_set_aside(),
        }));
    }
    let is_newest = audit.revision() >= claimed.revision;
    let now = if is_newest { format!("as {claimant} says") } else { String::new() };
    let mut lines = vec![
        ("Verified", format!("revisions {} to {}", audit.first_revision(), audit.revision())),
        ("Entries", format!("{} ({})", audit.entries(), bytes_size(audit.bytes()))),
        ("Head", format!("{} {now}", audit.head()).trim_end().to_owned()),
        ("Digest", format!("{} {now}", audit.digest()).trim_end().to_owned()),
        ("Checkpoints", format!("{} compared", audit.checkpoints())),
    ];
    if let Some(newest) = audit.newest_set_aside() {
        lines.push(("Set aside", format!("{}; the newest is {newest}", audit.set_aside())));
    }
    let text = pairs(&lines);
    say(text.trim_end())
}
