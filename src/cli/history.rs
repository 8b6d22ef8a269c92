//! Looking back: what happened, what changed, and why.

pub(super) mod diff;
pub(super) mod log;
pub(super) mod why;

use super::show::{local_time, untrusted::one_line};
use skep_proto::{author, v1::LogRecord};

/// Columns of an author: longer ones push the line, since streams can't be measured beforehand.
const AUTHOR_COLUMNS: usize = 16;

/// One record as a line: revision, time, author, summary, and the reason where one was given.
fn line(record: &LogRecord) -> String {
    let who = short_author(record);
    let summary = if record.summary.is_empty() {
        record.kind.replace('_', " ")
    } else {
        record.summary.clone()
    };
    let reason = if record.reason.is_empty() {
        String::new()
    } else {
        format!("  (reason: {})", record.reason)
    };
    let text = format!(
        "{:>7}  {}  {who:<AUTHOR_COLUMNS$}  {summary}{reason}",
        record.revision,
        local_time(record.at)
    );
    one_line(&text)
}

/// The author with an id cut to what tells it apart.
fn short_author(record: &LogRecord) -> String {
    let who = author::describe(record.author.as_ref());
    match who.split_once(' ') {
        Some((kind @ ("node" | "manager"), id)) => {
            format!("{kind} {}", super::show::short_id(id, super::show::Truncation::Shortened))
        }
        Some(_) | None => who.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_proto::v1::Reconciler;

    #[test]
    fn a_record_is_one_line_in_columns() {
        let record = LogRecord {
            revision: 42,
            at: 1_795_267_201_500_000_000,
            author: Some(author::reconciler(Reconciler::Placement)),
            kind: "task_assigned".into(),
            summary: "task web.1 to node\nn1".into(),
            reason: "INC-7".into(),
            ..LogRecord::default()
        };
        let at = local_time(record.at);
        assert_eq!(
            line(&record),
            format!("     42  {at}  placement         task web.1 to node n1  (reason: INC-7)")
        );
    }
}
