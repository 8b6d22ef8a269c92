//! `skep why`: first the verdict, then the chain of causes back to a person or to the world
//! outside.

use crate::cli::{
    args::{GlobalArgs, ReadArgs},
    connect::ManagerClient,
    fail::CliResult,
    node, parse,
    show::{AnswerFormat, say, say_json, untrusted::one_line},
};
use clap::Args;
use skep_proto::{
    Id, json,
    v1::{WhyReply, WhyRequest},
};

/// `skep why`
#[derive(Args)]
pub(crate) struct Why {
    /// A task, a service or a node: its name, id, or the beginning of its id; past ones too;
    /// `self` is the manager's own node
    #[arg(value_name = "TASK|SERVICE|NODE", value_parser = parse::reference)]
    object: String,
    /// table, json, or a template such as '{{.Verdict}}'
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    #[command(flatten)]
    read: ReadArgs,
}

pub(crate) async fn run(top: &GlobalArgs, args: Why) -> CliResult {
    let look = AnswerFormat::look(args.format.as_deref(), "WhyReply")?;
    let (manager, moment) = ManagerClient::for_read(top, &args.read).await?;
    let object = node::own_for_self(&manager, args.object).await?;
    let reply = manager.history().why(WhyRequest { object, moment }).await?.into_inner();
    match look {
        AnswerFormat::Json => say_json(&json::render(&reply)),
        AnswerFormat::Template(template) => say(&template.fill_json(json::render(&reply))),
        AnswerFormat::Text => say(text(&reply).trim_end()),
    }
}

fn text(reply: &WhyReply) -> String {
    let id = Id::from_bytes(&reply.id).to_string();
    let name = if reply.name.is_empty() { id.clone() } else { format!("{} ({id})", reply.name) };
    let mut text = one_line(&format!("{} {name}: {}", reply.kind, reply.verdict));
    text.push('\n');
    if !reply.chain.is_empty() {
        text.push_str("\nbecause, from the newest back:\n");
        for record in &reply.chain {
            text.push_str(&format!("  {}\n", super::line(record)));
        }
    }
    if !reply.placement.is_empty() {
        text.push_str("\nwhy there:\n");
        for line in &reply.placement {
            text.push_str(&format!("  {}\n", one_line(line)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_proto::v1::LogRecord;

    #[test]
    fn a_verdict_stands_above_its_causes_and_the_reasons_for_the_node() {
        let record = LogRecord {
            revision: 7,
            kind: "task_created".into(),
            reason: "a test".into(),
            ..LogRecord::default()
        };
        let mut reply = WhyReply {
            kind: "task".into(),
            id: Id(1).to_bytes(),
            name: "web.1".into(),
            verdict: "it\nruns".into(),
            chain: vec![record.clone()],
            placement: vec!["node1 has\nroom".into()],
        };
        let line = crate::cli::history::line(&record);
        let expected = format!(
            "task web.1 (0000000000000000000000001): it runs\n\n\
             because, from the newest back:\n  {line}\n\n\
             why there:\n  node1 has room\n"
        );
        assert_eq!(text(&reply), expected);
        (reply.chain, reply.placement) = (Vec::new(), Vec::new());
        reply.name.clear();
        assert_eq!(text(&reply), "task 0000000000000000000000001: it runs\n");
    }
}
