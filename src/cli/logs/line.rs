//! What stands before a line: when, whose, where.

use crate::cli::show::{short_id, untrusted::one_line};
use skep_proto::{Id, Timestamp, v1::LogLine};
use std::cell::Cell;

/// `web.1.0a1b2c3d4e5f@node-a    | `, as Docker writes it, padded to the widest seen so far.
pub(super) struct Prefix {
    ids: bool,
    whole_ids: bool,
    widest: Cell<usize>,
}

impl Prefix {
    pub(super) fn new(ids: bool, whole_ids: bool) -> Prefix {
        Prefix { ids, whole_ids, widest: Cell::new(0) }
    }

    fn of(&self, line: &LogLine) -> String {
        let mut name = line.task_name.clone();
        if self.ids {
            name.push('.');
            name.push_str(&short_id(&Id::from_bytes(&line.task_id).to_string(), self.whole_ids));
        }
        name.push('@');
        name.push_str(&one_line(&line.node_name));
        self.widest.set(self.widest.get().max(name.chars().count()));
        format!("{name:<width$}    | ", width = self.widest.get())
    }
}

/// Everything before the line's own text.
pub(super) fn head(line: &LogLine, timestamps: bool, prefix: Option<&Prefix>) -> String {
    let time = if timestamps { nine_digits(Timestamp(line.at)) + " " } else { String::new() };
    time + &prefix.map_or_else(String::new, |prefix| prefix.of(line))
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
        let prefix = Prefix::new(false, false);
        assert_eq!(head(&line("web.10", "alpha"), false, Some(&prefix)), "web.10@alpha    | ");
        assert_eq!(head(&line("web.1", "beta"), false, Some(&prefix)), "web.1@beta      | ");
        assert_eq!(head(&line("web.1", "beta"), true, None), "1970-01-01T00:00:01.000000000Z ");
        for at in [1, 1_795_267_201_123_400_000, 1_795_267_201_000_000_000] {
            let text = nine_digits(Timestamp(at));
            assert_eq!((text.len(), Timestamp::parse(&text)), (30, Some(Timestamp(at))));
        }
        let whole = Prefix::new(true, true);
        assert_eq!(
            head(&line("web.1", "b"), false, Some(&whole)),
            "web.1.000000000000000000000000z@b    | "
        );
    }
}
