//! What stands before a line: when, whose, where.

use crate::cli::show::{Truncation, short_id, untrusted::one_line};
use skep_proto::{Id, Timestamp, v1::LogLine};
use std::cell::Cell;

/// How a line says whose it is.
#[derive(Clone, Copy)]
pub(super) enum Naming {
    /// The names of task and node, and the task's id if it is shown: `web.1.0a1b2c3d4e5f@node-a`.
    Names(Option<Truncation>),
    /// The ids of both.
    Ids(Truncation),
}

/// `web.1.0a1b2c3d4e5f@node-a    | `, as Docker writes it, padded to the widest seen so far.
pub(super) struct Prefix {
    naming: Naming,
    widest: Cell<usize>,
}

impl Prefix {
    pub(super) fn new(naming: Naming) -> Prefix {
        Prefix { naming, widest: Cell::new(0) }
    }

    fn of(&self, line: &LogLine) -> String {
        let id =
            |bytes: &[u8], truncation| short_id(&Id::from_bytes(bytes).to_string(), truncation);
        let name = match self.naming {
            Naming::Names(None) => format!("{}@{}", line.task_name, one_line(&line.node_name)),
            Naming::Names(Some(truncation)) => format!(
                "{}.{}@{}",
                line.task_name,
                id(&line.task_id, truncation),
                one_line(&line.node_name)
            ),
            Naming::Ids(truncation) => {
                format!("{}@{}", id(&line.task_id, truncation), id(&line.node_id, truncation))
            }
        };
        self.widest.set(self.widest.get().max(name.chars().count()));
        format!("{name:<width$}    | ", width = self.widest.get())
    }
}

/// What stands before each line's own text.
pub(super) struct LineHead {
    pub(super) timestamps: bool,
    pub(super) prefix: Option<Prefix>,
}

impl LineHead {
    pub(super) fn of(&self, line: &LogLine) -> String {
        let mut head = String::new();
        if self.timestamps {
            head = nine_digits(Timestamp(line.at)) + " ";
        }
        head + &self.prefix.as_ref().map_or_else(String::new, |prefix| prefix.of(line))
    }
}

/// A time whose fraction always has nine digits, so that what follows it stands in columns.
fn nine_digits(at: Timestamp) -> String {
    let text = at.to_string();
    let whole = text.trim_end_matches('Z');
    let (seconds, fraction) = whole.split_once('.').unwrap_or((whole, ""));
    format!("{seconds}.{fraction:0<9}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_whose_it_is_and_columns_stay_under_each_other() {
        let line = |name: &str, node: &str| LogLine {
            task_id: Id(35).to_bytes(),
            task_name: name.into(),
            node_name: node.into(),
            at: 1_000_000_000,
            ..LogLine::default()
        };
        let without_ids =
            LineHead { timestamps: false, prefix: Some(Prefix::new(Naming::Names(None))) };
        let timed = LineHead { timestamps: true, prefix: None };
        assert_eq!(without_ids.of(&line("web.10", "alpha")), "web.10@alpha    | ");
        assert_eq!(without_ids.of(&line("web.1", "beta")), "web.1@beta      | ");
        assert_eq!(timed.of(&line("web.1", "beta")), "1970-01-01T00:00:01.000000000Z ");
        for at in [1, 1_795_267_201_123_400_000, 1_795_267_201_000_000_000] {
            let text = nine_digits(Timestamp(at));
            assert_eq!((text.len(), Timestamp::parse(&text)), (30, Some(Timestamp(at))));
        }
        let whole = Some(Prefix::new(Naming::Names(Some(Truncation::Full))));
        let whole = LineHead { timestamps: false, prefix: whole };
        assert_eq!(whole.of(&line("web.1", "b")), "web.1.000000000000000000000000z@b    | ");
        let ids = Some(Prefix::new(Naming::Ids(Truncation::Shortened)));
        let ids = LineHead { timestamps: false, prefix: ids };
        let of_node = LogLine { node_id: Id(36).to_bytes(), ..line("web.1", "b") };
        assert_eq!(ids.of(&of_node), "000000000000@000000000000    | ");
    }
}
