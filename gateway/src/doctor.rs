//! What is wrong with this manager and its cluster, and what to do about it.
//!
//! Each question is asked of what is at hand: the newest view, the log's own word, and the few
//! records that tell of the manager itself. A question that finds nothing wrong says so once, at
//! the end, so that silence means "not asked".

mod clock;
mod cluster;
mod disk;
mod door;
mod history;
mod joining;

use crate::{
    drive::{CONFIRM_READ_NS_MAX, DiskTrial},
    history::PastError,
    reads::{Reads, STOPPED},
};
use skep_log::Health;
use skep_proto::{
    Revision,
    v1::{Finding, Severity},
};

/// Everything that was found, the worst first.
pub fn examine(reads: &Reads, trial: &DiskTrial) -> Result<Vec<Finding>, PastError> {
    let view = reads.newest();
    let mut findings = log(reads, trial);
    findings.extend(cluster::parked(&view));
    findings.extend(cluster::strays(&view));
    findings.extend(cluster::set_aside(&view));
    findings.extend(cluster::faults(&view));
    findings.extend(cluster::blocked(&view));
    findings.extend(cluster::crash_loops(&view));
    findings.extend(cluster::paused(&view));
    findings.extend(cluster::hampered(&view));
    findings.extend(cluster::not_running(&view));
    findings.extend(match reads.drive() {
        Some(drive) if drive.is_leaderless() => cluster::leaderless(&view),
        Some(_) => {
            let managers = cluster::managers(&view);
            [cluster::nodes(&view), managers, joining::joining(&view)].concat()
        }
        None => Vec::from([cluster::nodes_then(
            &view,
            "when the history ended",
            "a stopped manager does not know how they are now",
        )]),
    });
    findings.extend(cluster::conditions(&view));
    findings.extend(cluster::host_names(&view));
    findings.extend(connections(reads));
    if let Some(watch) = reads.door_watch() {
        findings.extend(door::access(&watch.look(), crate::clock::wall()));
        findings.extend(door::certificates(&view, crate::clock::wall()));
    }
    findings.extend(cluster::versions(&view));
    // Of a stopped manager nobody knows how its clock and the log's time stand now.
    let clocks =
        reads.drive().map_or(clock::Agreement::Differ, |drive| clock::agreement(drive.skew()));
    findings.extend(history::clock(reads.past(), &view, clocks)?);
    findings.extend(history::snapshots(reads.past(), &view)?);
    findings.extend(history::checkpoints(reads.past(), &view)?);
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Ok(findings)
}

/// The log itself, and the disk it lies on.
fn log(reads: &Reads, trial: &DiskTrial) -> Vec<Finding> {
    let Some(drive) = reads.drive() else {
        return vec![warning(
            "manager",
            STOPPED,
            "start it with `skep daemon`; until then only the past can be read",
        )];
    };
    let mut findings = Vec::new();
    let status = drive.log().status().borrow().clone();
    match status.health {
        Health::Ok if drive.is_leaderless() => {
            let revision = status.applied.revision;
            findings.push(warning(
                "log",
                format!("waits for a leader; it stands at revision {revision}"),
                "see what is said of the managers",
            ));
        }
        Health::Ok => {
            let (entry_ns, read_ns) = (drive.unconfirmed_ns(), drive.unconfirmed_read_ns());
            findings.push(confirmation(entry_ns, read_ns, status.applied.revision));
            // Where the log does not work, its time stands still.
            findings.push(clock::skew(drive.skew()));
        }
        Health::Failed(message) => {
            findings.push(problem(
                "log",
                message,
                "make the disk work; the log then goes on by itself",
            ));
        }
        Health::Stopped(message) => {
            findings.push(problem(
                "log",
                message,
                "do what the message says; the log does not go on by itself",
            ));
        }
    }
    if let Some(limit) = drive.limit() {
        let cause =
            if drive.is_in_safe_mode() { RefusalCause::SafeMode } else { RefusalCause::Disk };
        findings.push(refused_commands(limit, cause));
    }
    findings.extend(disk::trial(trial));
    findings.push(disk::room(&drive.log().space()));
    findings
}

/// Why commands are refused.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RefusalCause {
    /// The manager was started so.
    SafeMode,
    /// The disk of the log has too little room.
    Disk,
}

/// Commands are refused, or some of them.
fn refused_commands(limit: String, cause: RefusalCause) -> Finding {
    let hint = match cause {
        RefusalCause::SafeMode => {
            "reads go on; commands work again when the manager is started without --safe-mode"
        }
        RefusalCause::Disk => {
            "reads go on; commands work again when there is room on the disk; no restart is needed"
        }
    };
    problem("commands", limit, hint)
}

/// Whether the log confirms what it is given and asked. A disk that hangs gives no error, only no
/// answer.
fn confirmation(entry_ns: u64, read_ns: u64, revision: Revision) -> Finding {
    let (what, ns) = if entry_ns >= read_ns { ("an entry", entry_ns) } else { ("a read", read_ns) };
    if ns < CONFIRM_READ_NS_MAX {
        return ok("log", format!("takes entries; it stands at revision {revision}"));
    }
    let silence = disk::seconds(ns);
    problem(
        "log",
        format!("has not confirmed {what} for {silence}; it stands at revision {revision}"),
        "look whether the disk of the state folder hangs; the log then goes on by itself",
    )
}

/// Connections that found no room.
fn connections(reads: &Reads) -> Option<Finding> {
    let limiter = reads.limiter()?;
    let (open, limit, refused) = limiter.look();
    let message =
        format!("{open} are open, at most {limit} may be; {refused} were refused since the start");
    match (limiter.is_refusing(), refused) {
        (true, _) => Some(problem(
            "connections",
            format!("new ones are refused: {message}"),
            "close some, or raise the limit of open files of the daemon and restart it",
        )),
        (false, 0) => None,
        (false, _) => Some(warning(
            "connections",
            message,
            "look for a client that opens many and closes none",
        )),
    }
}

fn ok(subject: &str, message: impl Into<String>) -> Finding {
    finding(Severity::Ok, subject, message, "")
}

fn warning(subject: &str, message: impl Into<String>, hint: &str) -> Finding {
    finding(Severity::Warning, subject, message, hint)
}

fn problem(subject: &str, message: impl Into<String>, hint: &str) -> Finding {
    finding(Severity::Problem, subject, message, hint)
}

fn finding(severity: Severity, subject: &str, message: impl Into<String>, hint: &str) -> Finding {
    Finding {
        severity: severity as i32,
        subject: subject.into(),
        message: message.into(),
        hint: hint.into(),
    }
}

#[cfg(test)]
mod tests;
