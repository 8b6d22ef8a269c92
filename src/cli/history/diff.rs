//! `skep diff`: what changed between two moments, field by field.

use crate::cli::{
    args::{GlobalArgs, SourceArgs, meant},
    connect::ManagerClient,
    fail::{CliError, CliResult},
    parse::{self, ParsedTime},
    show::{self, AnswerFormat, say, say_json, untrusted::one_line},
};
use clap::Args;
use skep_proto::{
    Id, json,
    v1::{
        ChangeKind, DiffReply, DiffRequest, ObjectChange,
        moment::{self, Moment},
    },
};

/// `skep diff`
#[derive(Args)]
pub(crate) struct Diff {
    /// The earlier moment: a revision, a time (local unless it names its zone), or an age
    /// such as -5m
    #[arg(value_name = "FROM", value_parser = parse::moment, allow_hyphen_values = true)]
    from: ParsedTime<moment::Moment>,
    /// The later moment [default: now]
    #[arg(value_name = "TO", value_parser = parse::moment, allow_hyphen_values = true)]
    to: Option<ParsedTime<moment::Moment>>,
    /// table, json, or a template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    #[command(flatten)]
    source: SourceArgs,
}

pub(crate) async fn run(top: &GlobalArgs, args: Diff) -> CliResult {
    let look = AnswerFormat::look(args.format.as_deref(), "DiffReply")?;
    if let (Moment::Revision(from), Some(Moment::Revision(to))) =
        (args.from.value, args.to.as_ref().map(|to| to.value))
    {
        in_order(from, to)?;
    }
    let asked = DiffRequest { from: Some(meant(&args.from)), to: args.to.as_ref().map(meant) };
    let manager = ManagerClient::connect(&top.source(&args.source)?).await?;
    for moment in asked.from.iter().chain(&asked.to) {
        manager.refuse_future(moment).await?;
    }
    let reply = manager.history().diff(asked).await?.into_inner();
    in_order(reply.from_revision, reply.to_revision)?;
    match look {
        AnswerFormat::Json => say_json(&json::render(&reply)),
        AnswerFormat::Template(template) => say(&template.fill_json(json::render(&reply))),
        AnswerFormat::Text => {
            if reply.changes.is_empty() {
                let (from, to) = (reply.from_revision, reply.to_revision);
                show::talk(&format!("nothing changed between revisions {from} and {to}"));
                return Ok(());
            }
            say(text(&reply).trim_end())
        }
    }
}

/// Refuses two moments of which the later one comes first: additions would be told as removals.
fn in_order(from: u64, to: u64) -> CliResult {
    if from <= to {
        return Ok(());
    }
    Err(CliError::usage(format!("FROM, revision {from}, comes after TO, revision {to}"))
        .hint("name the earlier moment first"))
}

fn text(reply: &DiffReply) -> String {
    let mut text = format!("revisions {} → {}\n", reply.from_revision, reply.to_revision);
    reply.changes.iter().for_each(|change| one(&mut text, change));
    text
}

fn one(text: &mut String, change: &ObjectChange) {
    let (sign, word) = match change.change() {
        ChangeKind::Added => ('+', "added"),
        ChangeKind::Removed => ('-', "removed"),
        ChangeKind::Changed => ('~', "changed"),
    };
    let id = Id::from_bytes(&change.id).to_string();
    let name = if change.name.is_empty() { id.clone() } else { format!("{} ({id})", change.name) };
    text.push_str(&one_line(&format!("{sign} {} {name} {word}", change.kind)));
    text.push('\n');
    for field in &change.fields {
        let line = match (field.before.is_empty(), field.after.is_empty()) {
            (true, _) => format!("    {}: {}", field.path, field.after),
            (false, true) => format!("    {}: {} → nothing", field.path, field.before),
            (false, false) => format!("    {}: {} → {}", field.path, field.before, field.after),
        };
        text.push_str(&one_line(&line));
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_proto::v1::FieldChange;

    #[test]
    fn each_change_is_signed_and_its_fields_stand_below() {
        let field = |path: &str, before: &str, after: &str| FieldChange {
            path: path.into(),
            before: before.into(),
            after: after.into(),
        };
        let change = |change: ChangeKind, name: &str, fields| ObjectChange {
            kind: "service".into(),
            id: Id(1).to_bytes(),
            name: name.into(),
            change: change as i32,
            fields,
        };
        let reply = DiffReply {
            from_revision: 3,
            to_revision: 9,
            changes: vec![
                change(
                    ChangeKind::Changed,
                    "web",
                    vec![field("spec.mode.replicated.replicas", "3", "5")],
                ),
                change(ChangeKind::Removed, "", vec![field("a", "1", "")]),
                change(ChangeKind::Added, "db", vec![field("b", "", "2"), field("c\n", "", "")]),
            ],
        };
        assert_eq!(
            text(&reply),
            "revisions 3 → 9\n\
             ~ service web (0000000000000000000000001) changed\n    spec.mode.replicated.replicas: 3 → 5\n\
             - service 0000000000000000000000001 removed\n    a: 1 → nothing\n\
             + service db (0000000000000000000000001) added\n    b: 2\n    c : \n"
        );
    }

    #[test]
    fn the_earlier_moment_comes_first() {
        assert_eq!((in_order(3, 9), in_order(3, 3)), (Ok(()), Ok(())));
        let refused = CliError::usage("FROM, revision 9, comes after TO, revision 3")
            .hint("name the earlier moment first");
        assert_eq!(in_order(9, 3), Err(refused));
    }
}
