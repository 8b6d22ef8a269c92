//! What stands before a line: when, whose, where.

use crate::cli::show::{Truncation, short_id, untrusted::one_line};
use skep_proto::{Id, Timestamp, v1::LogLine};
use std::cell::Cell;

/// `web.1.0a1b2c3d4e5f@node-a    | `, as Docker writes it, padded to the widest seen so far.
pub(super) struct Prefix {
    /// How the tasks' ids are shown, if they are.
    ids: Option<Truncation>,
    widest: Cell<usize>,
}

impl Prefix {
    pub(super) fn new(ids: Option<Truncation>) -> Prefix {
        Prefix { ids, widest: Cell::new(0) }
    }

    fn of(&self, line: &LogLine) -> String {
        let mut name = line.task_name.clone();
        if let Some(truncation) = self.ids {
            name.push('.');
            name.push_str(&short_id(&Id::from_bytes(&line.task_id).to_string(), truncation));
        }
        name.push('@');
        name.push_str(&one_line(&line.node_name));
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
        let without_ids = LineHead { timestamps: false, prefix: Some(Prefix::new(None)) };
        let timed = LineHead { timestamps: true, prefix: None };
        assert_eq!(without_ids.of(&line("web.10", "alpha")), "web.10@alpha    | ");
        assert_eq!(without_ids.of(&line("web.1", "beta")), "web.1@beta      | ");
        assert_eq!(timed.of(&line("web.1", "beta")), "1970-01-01T00:00:01.000000000Z ");
        for at in [1, 1_795_267_201_123_400_000, 1_795_267_201_000_000_000] {
            let text = nine_digits(Timestamp(at));
            assert_eq!((text.len(), Timestamp::parse(&text)), (30, Some(Timestamp(at))));
        }
        let whole = Some(Prefix::new(Some(Truncation::Full)));
        let whole = LineHead { timestamps: false, prefix: whole };
        assert_eq!(whole.of(&line("web.1", "b")), "web.1.000000000000000000000000z@b    | ");
    }
}
