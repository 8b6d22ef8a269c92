//! `skep node status`: this machine as its own daemon knows it, whether a manager can be reached or
//! not.

use super::{role_word, runtime_word};
use crate::cli::{
    args::{GlobalArgs, Host},
    connect::ManagerClient,
    fail::CliResult,
    now, show, task,
};
use clap::Args;
use show::{AnswerFormat, duration_text, local_time, untrusted::one_line};
use skep_proto::{
    Id, Timestamp, json,
    v1::{DescribeRequest, LocalNode, LocalNodeState, LocalTask, ManagerContact},
};

/// `skep node status`
#[derive(Args)]
pub(in crate::cli) struct NodeStatusArgs {
    /// table, json, or a template such as '{{.State}}'
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    #[command(flatten)]
    host: Host,
}

pub(super) async fn run(top: &GlobalArgs, args: NodeStatusArgs) -> CliResult {
    let look = AnswerFormat::look(args.format.as_deref(), "LocalNode")?;
    let daemon = ManagerClient::connect(&top.daemon(&args.host)?).await?;
    let node = daemon.local().describe(DescribeRequest {}).await?.into_inner();
    match look {
        AnswerFormat::Json => show::say_json(&json::render(&node)),
        AnswerFormat::Template(template) => show::say(&template.fill_json(json::render(&node))),
        AnswerFormat::Text => {
            show::say(text(&node).trim_end())?;
            if !node.hint.is_empty() {
                show::talk(&format!("hint: {}", node.hint));
            }
            Ok(())
        }
    }
}

fn text(node: &LocalNode) -> String {
    let id = |bytes| match Id::from_bytes(bytes) {
        Id::NONE => String::new(),
        id => id.to_string(),
    };
    let managers: Vec<String> =
        node.managers.iter().map(|manager| contact(node, manager)).collect();
    let certificate = node.certificate.as_ref().map_or_else(String::new, |known| {
        format!("as {} until {}", role_word(known.role()), local_time(known.not_after_at))
    });
    let runtime = match (node.managers.is_empty(), node.runtime_problem.as_str()) {
        (true, _) => String::new(),
        (false, "") => runtime_word(node.runtime()).to_owned(),
        (false, problem) => format!("{}: {}", runtime_word(node.runtime()), one_line(problem)),
    };
    show::pairs(&[
        ("State", local_state_word(node.state()).to_owned()),
        ("Problem", one_line(&node.problem)),
        ("Hostname", node.hostname.clone()),
        ("Node", id(&node.node_id)),
        ("Cluster", id(&node.cluster_id)),
        ("Managers", managers.join("\n")),
        ("Certificate", certificate),
        ("Runtime", runtime),
        ("Tasks", tasks(node)),
        ("Version", node.version.clone()),
        ("State folder", node.state_dir.clone()),
        ("Left state", node.left_in.clone()),
    ])
}

fn local_state_word(state: LocalNodeState) -> &'static str {
    match state {
        LocalNodeState::Unspecified => "unknown",
        LocalNodeState::Alone => "part of no cluster",
        LocalNodeState::Joining => "joining a cluster",
        LocalNodeState::Worker => "worker",
        LocalNodeState::Manager => "manager",
        LocalNodeState::Leaving => "leaving its cluster",
        LocalNodeState::Locked => "locked: a manager that waits for its unlock key",
    }
}

/// How the machine stands to a manager. A session is with one of them, so while there is one the
/// others are not in use, which is no failure.
fn contact(node: &LocalNode, manager: &ManagerContact) -> String {
    // Many an error names the address itself.
    let named = format!("{}: ", manager.address);
    let problem = manager.problem.strip_prefix(&named).unwrap_or(&manager.problem);
    let lasted = duration_text(now().since(Timestamp(manager.since_at))).to_lowercase();
    let has_session = node.managers.iter().any(|other| other.attached);
    let how = match (manager.attached, has_session, problem) {
        (true, ..) => format!("connected for {lasted}"),
        (false, true, "") => "not in use".to_owned(),
        (false, true, problem) => format!("not in use; at the last try: {}", one_line(problem)),
        (false, false, "") => format!("not connected for {lasted}"),
        (false, false, problem) => format!("not connected for {lasted}: {}", one_line(problem)),
    };
    format!("{}: {how}", manager.address)
}

fn tasks(node: &LocalNode) -> String {
    let line = |shown: &LocalTask| {
        format!("{} {}", shown.name, show::title(task::state_word(shown.state())))
    };
    let mut lines: Vec<String> = node.tasks.iter().map(line).collect();
    lines.sort();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_that_is_not_in_use_is_no_failure() {
        let manager = |address: &str, attached, problem: &str| ManagerContact {
            address: address.to_owned(),
            attached,
            since_at: now().0,
            problem: problem.to_owned(),
        };
        let told = |first_attached| {
            let managers = vec![
                manager("a:1", first_attached, ""),
                manager("b:1", false, ""),
                manager("c:1", false, "c:1: it does not\nanswer"),
            ];
            let node = LocalNode { managers, ..LocalNode::default() };
            node.managers.iter().map(|manager| contact(&node, manager)).collect::<Vec<_>>()
        };
        assert_eq!(
            told(true),
            [
                "a:1: connected for less than a second",
                "b:1: not in use",
                "c:1: not in use; at the last try: it does not answer",
            ]
        );
        assert_eq!(
            told(false),
            [
                "a:1: not connected for less than a second",
                "b:1: not connected for less than a second",
                "c:1: not connected for less than a second: it does not answer",
            ]
        );
    }
}
