//! Ids, errors, sizes and durations as people read them.

use crate::cli::parse::in_zone;
use skep_proto::{Timestamp, time::SECOND_NS};

/// Characters of a shortened id, as Docker shows them.
const SHORT_ID_CHARS: usize = 12;
/// Characters of a shortened error. It is cut in its middle: what failed stands first, and why
/// stands last.
const SHORT_ERROR_CHARS: usize = 60;
/// Of these, characters from its beginning.
const SHORT_ERROR_HEAD_CHARS: usize = 24;

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

/// Cut to what fits into a column, or in full.
pub(crate) fn truncated(text: &str, truncation: Truncation) -> String {
    let chars = text.chars().count();
    if truncation == Truncation::Full || chars <= SHORT_ERROR_CHARS {
        return text.to_owned();
    }
    let tail_chars = SHORT_ERROR_CHARS - SHORT_ERROR_HEAD_CHARS - 1;
    let head: String = text.chars().take(SHORT_ERROR_HEAD_CHARS).collect();
    let tail: String = text.chars().skip(chars - tail_chars).collect();
    format!("{head}…{tail}")
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

/// A size in binary units: `512MiB`, `1.5GiB`.
pub(crate) fn bytes_size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    let number = format!("{size:.2}");
    let number = number.trim_end_matches('0').trim_end_matches('.');
    format!("{number}{}", UNITS[unit])
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
    fn an_error_keeps_its_beginning_and_its_end() {
        let long = "create container: OCI runtime create failed: runc create failed: sethostname: invalid argument";
        assert_eq!(
            truncated(long, Truncation::Shortened),
            "create container: OCI ru…iled: sethostname: invalid argument"
        );
        assert_eq!(truncated(long, Truncation::Shortened).chars().count(), SHORT_ERROR_CHARS);
        assert_eq!(truncated(long, Truncation::Full), long);
        let short = "no suitable node: not ready on 2 nodes";
        assert_eq!(truncated(short, Truncation::Shortened), short);
    }

    #[test]
    fn sizes_and_cuts() {
        assert_eq!(bytes_size(512 << 20), "512MiB");
        assert_eq!(bytes_size(3 << 29), "1.5GiB");
        assert_eq!(bytes_size(100), "100B");
        assert_eq!((bytes_size(1023), bytes_size(1024)), ("1023B".into(), "1KiB".into()));
        assert_eq!(bytes_size(u64::MAX), "16384PiB");
        assert_eq!(local_time(0), "");
        assert!(local_time(SECOND_NS).starts_with("19"));
        assert_eq!((quoted(""), quoted("a")), (String::new(), "\"a\"".into()));
        let fits = "x".repeat(SHORT_ERROR_CHARS);
        assert_eq!(truncated(&fits, Truncation::Shortened), fits);
        assert_eq!(title("running"), "Running");
    }
}
