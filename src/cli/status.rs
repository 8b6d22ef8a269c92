//! How the cluster is: `status` in figures, `doctor` in findings.

use super::{
    args::{GlobalArgs, SourceArgs},
    connect::ManagerClient,
    fail::{CliError, CliResult},
    show::{AnswerFormat, duration_text, local_time, pairs, say, say_json, untrusted::one_line},
};
use clap::Args;
use skep_proto::{
    Id, Lineage, bytes_size, json,
    v1::{DoctorReply, DoctorRequest, Severity, StatusReply, StatusRequest},
};

/// `skep status`
#[derive(Args)]
pub(super) struct StatusArgs {
    /// table, json, or a template such as '{{.Revision}}'
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    #[command(flatten)]
    source: SourceArgs,
}

/// `skep doctor`
#[derive(Args)]
#[command(after_help = "Exit code 1 when there is a problem; warnings alone are 0.")]
pub(super) struct Doctor {
    /// table, json, or a template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    #[command(flatten)]
    source: SourceArgs,
}

pub(super) async fn status(top: &GlobalArgs, args: StatusArgs) -> CliResult {
    let look = AnswerFormat::look(args.format.as_deref(), "StatusReply")?;
    let manager = ManagerClient::connect(&top.source(&args.source)?).await?;
    let reply = manager.control().status(StatusRequest {}).await?.into_inner();
    match look {
        AnswerFormat::Json => say_json(&json::render(&reply)),
        AnswerFormat::Template(template) => say(&template.fill_json(json::render(&reply))),
        AnswerFormat::Text => say(status_text(&reply).trim_end()),
    }
}

fn status_text(reply: &StatusReply) -> String {
    let hex: String = reply.head_hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let digest: String = reply.digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let started = match reply.started_at {
        0 => String::new(),
        at if reply.uptime_ns == 0 => local_time(at),
        at => format!("{} ({} ago)", local_time(at), duration_text(reply.uptime_ns)),
    };
    pairs(&[
        ("Cluster", Id::from_bytes(&reply.cluster_id).to_string()),
        ("Manager", Id::from_bytes(&reply.node_id).to_string()),
        ("Version", format!("{} (feature level {})", reply.version, reply.feature_level)),
        ("Started", started),
        ("Commands", reply.accepting.clone()),
        ("Leader", format!("{} (term {})", if reply.leader { "yes" } else { "no" }, reply.term)),
        ("Nodes", format!("{} of {} ready", reply.nodes_ready, reply.nodes)),
        ("Services", reply.services.to_string()),
        ("Tasks", format!("{} running, {} in all", reply.tasks_running, reply.tasks)),
        (
            "Revision",
            format!(
                "{} (incarnation {}, lineage {}) of {}",
                reply.revision,
                reply.incarnation,
                Lineage(reply.lineage),
                local_time(reply.at)
            ),
        ),
        (
            "History",
            format!("from revision {}, {}", reply.first_revision, bytes_size(reply.log_bytes)),
        ),
        (
            "Free disk",
            if reply.free_bytes == 0 { String::new() } else { bytes_size(reply.free_bytes) },
        ),
        ("Head", hex),
        ("Digest", digest),
    ])
}

pub(super) async fn doctor(top: &GlobalArgs, args: Doctor) -> CliResult {
    let look = AnswerFormat::look(args.format.as_deref(), "DoctorReply")?;
    let manager = ManagerClient::connect(&top.source(&args.source)?).await?;
    let reply = manager.history().doctor(DoctorRequest {}).await?.into_inner();
    match look {
        AnswerFormat::Json => say_json(&json::render(&reply))?,
        AnswerFormat::Template(template) => say(&template.fill_json(json::render(&reply)))?,
        AnswerFormat::Text => say(doctor_text(&reply).trim_end())?,
    }
    match reply.findings.iter().filter(|finding| finding.severity() == Severity::Problem).count() {
        0 => Ok(()),
        1 => Err(CliError::refused("there is a problem")),
        many => Err(CliError::refused(format!("there are {many} problems"))),
    }
}

fn doctor_text(reply: &DoctorReply) -> String {
    if reply.findings.is_empty() {
        return "all is well\n".into();
    }
    let mut text = String::new();
    for finding in &reply.findings {
        let word = match finding.severity() {
            Severity::Ok => "ok",
            Severity::Warning => "warning",
            Severity::Problem => "PROBLEM",
        };
        text.push_str(&one_line(&format!("{word:<8} {}: {}", finding.subject, finding.message)));
        text.push('\n');
        if !finding.hint.is_empty() {
            text.push_str(&format!("{:<8} hint: {}\n", "", one_line(&finding.hint)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_proto::v1::Finding;

    #[test]
    fn findings_say_how_bad_and_what_to_do() {
        let finding = |severity: Severity, hint: &str| Finding {
            severity: severity as i32,
            subject: "disk".into(),
            message: "4 % free".into(),
            hint: hint.into(),
        };
        let reply = DoctorReply {
            findings: vec![
                finding(Severity::Ok, ""),
                finding(Severity::Problem, "make\nroom"),
                finding(Severity::Warning, ""),
            ],
        };
        assert_eq!(
            doctor_text(&reply),
            "ok       disk: 4 % free\nPROBLEM  disk: 4 % free\n         hint: make room\n\
             warning  disk: 4 % free\n"
        );
        assert_eq!(doctor_text(&DoctorReply::default()), "all is well\n");
    }

    #[test]
    fn a_cluster_is_told_in_figures() {
        let (started_at, at) = (1_700_000_000_000_000_000, 1_700_000_060_000_000_000);
        let mut reply = StatusReply {
            cluster_id: Id(1).to_bytes(),
            node_id: Id(2).to_bytes(),
            version: "1.2.3".into(),
            feature_level: 2,
            started_at,
            uptime_ns: 61_000_000_000,
            accepting: "yes".into(),
            leader: true,
            term: 3,
            nodes_ready: 4,
            nodes: 5,
            services: 6,
            tasks_running: 7,
            tasks: 8,
            revision: 9,
            incarnation: 1,
            lineage: 0xab,
            at,
            first_revision: 1,
            log_bytes: 2_048,
            free_bytes: 1 << 30,
            head_hash: vec![0x0a, 0xff].into(),
            digest: vec![0x01].into(),
        };
        let (started, newest) = (local_time(started_at), local_time(at));
        let expected = format!(
            "Cluster:    0000000000000000000000001
Manager:    0000000000000000000000002
Version:    1.2.3 (feature level 2)
Started:    {started} (About a minute ago)
Commands:   yes
Leader:     yes (term 3)
Nodes:      4 of 5 ready
Services:   6
Tasks:      7 running, 8 in all
Revision:   9 (incarnation 1, lineage 00000000000000ab) of {newest}
History:    from revision 1, 2KiB
Free disk:  1GiB
Head:       0aff
Digest:     01
"
        );
        assert_eq!(status_text(&reply), expected);
        (reply.uptime_ns, reply.leader) = (0, false);
        let stopped = expected
            .replace(" (About a minute ago)", "")
            .replace("Leader:     yes", "Leader:     no");
        assert_eq!(status_text(&reply), stopped);
        reply.started_at = 0;
        assert_eq!(status_text(&reply), stopped.replace(&format!("Started:    {started}\n"), ""));
        reply.free_bytes = 0;
        assert!(!status_text(&reply).contains("Free disk"), "nobody knows");
    }
}
