//! Ids, times and durations as people read them.

use crate::cli::parse::in_zone;
use skep_proto::{Timestamp, time::SECOND_NS};

/// Characters of a shortened id, as Docker shows them.
const SHORT_ID_CHARS: usize = 12;
/// Whether long values are shortened; `--no-trunc` keeps them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Truncation {
    /// Cut to what fits into a column.
    Shortened,
    /// Shown in full.
    Full,
}

/// An id's first characters, or all of them.
pub(crate) fn short_id(id: &str, truncation: Truncation) -> String {
    match truncation {
        Truncation::Shortened => id.chars().take(SHORT_ID_CHARS).collect(),
        Truncation::Full => id.to_owned(),
    }
}

/// In quotation marks, unless there is nothing to say.
pub(crate) fn quoted(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("\"{text}\"") }
}

/// With a capital letter at the beginning.
pub(crate) fn title(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// How long ago something was, as Docker writes it; nothing for never.
pub(crate) fn ago(at: u64, now: Timestamp) -> String {
    if at == 0 { String::new() } else { format!("{} ago", duration_text(now.since(Timestamp(at)))) }
}

/// A duration in one rough word or two: `5 minutes`, `About an hour`.
pub(crate) fn duration_text(ns: u64) -> String {
    let seconds = ns / SECOND_NS;
    let (minutes, hours) = (seconds / 60, (seconds + 1_800) / 3_600);
    match seconds {
        0 => "Less than a second".into(),
        1 => "1 second".into(),
        2..60 => format!("{seconds} seconds"),
        60..120 => "About a minute".into(),
        120..3_600 => format!("{minutes} minutes"),
        _ if hours == 1 => "About an hour".into(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 14 => format!("{} days", hours / 24),
        _ if hours < 24 * 60 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

/// A time to the millisecond in the reader's zone, which it names; of one width, for columns.
/// Nothing for never.
pub(crate) fn local_time(at: u64) -> String {
    if at == 0 { String::new() } else { in_zone(at, &jiff::tz::TimeZone::system()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_as_docker_tells_them() {
        let said = |seconds: u64| duration_text(seconds * SECOND_NS);
        assert_eq!(said(0), "Less than a second");
        assert_eq!(said(1), "1 second");
        assert_eq!(said(59), "59 seconds");
        assert_eq!(said(61), "About a minute");
        assert_eq!(said(300), "5 minutes");
        assert_eq!(said(3_600), "About an hour");
        assert_eq!(said(7_200), "2 hours");
        assert_eq!(said(86_400 * 3), "3 days");
        assert_eq!(said(86_400 * 21), "3 weeks");
        assert_eq!(said(86_400 * 90), "3 months");
        assert_eq!(said(86_400 * 365 * 3), "3 years");
        assert_eq!(said(86_400 * 2), "2 days");
        assert_eq!(said(86_400 * 14), "2 weeks");
        assert_eq!(said(86_400 * 60), "2 months");
        assert_eq!(said(86_400 * 730), "2 years");
        assert_eq!(ago(5 * SECOND_NS, Timestamp(8 * SECOND_NS)), "3 seconds ago");
        assert_eq!(ago(0, Timestamp(8 * SECOND_NS)), "");
    }

    #[test]
    fn nothing_is_said_of_never_and_of_nothing() {
        assert_eq!(local_time(0), "");
        assert!(local_time(SECOND_NS).starts_with("19"));
        assert_eq!((quoted(""), quoted("a")), (String::new(), "\"a\"".into()));
        assert_eq!(title("running"), "Running");
    }
}
