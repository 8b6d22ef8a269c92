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
