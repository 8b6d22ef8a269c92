//! How the cluster is: `status` in figures, `doctor` in findings.

use super::{
    args::{GlobalArgs, SourceArgs},
    connect::ManagerClient,
    fail::{CliError, CliResult},
    show::{AnswerFormat, duration_text, local_time, pairs, say, say_json, untrusted::one_line},
};
use clap::Args;
use skep_proto::{
    Id, bytes_size, json,
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
                "{} (incarnation {}) of {}",
                reply.revision,
                reply.incarnation,
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
            findings: vec![finding(Severity::Ok, ""), finding(Severity::Problem, "make room")],
        };
        assert_eq!(
            doctor_text(&reply),
            "ok       disk: 4 % free\nPROBLEM  disk: 4 % free\n         hint: make room\n"
        );
    }
}
