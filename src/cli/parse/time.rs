//! Times as people write them, and as skep prints them. PURE: now and the local zone are handed in.
//!
//! A time with a zone means the same everywhere. One without a zone, and a date alone, is the
//! reader's local time: that is what stands on the wall clock and in most tickets. Whoever asks is
//! shown how it was read, because a wrong guess shows other records and nothing looks wrong.

use super::duration_ns;
use jiff::{civil::DateTime, tz::TimeZone};
use skep_proto::{
    Timestamp,
    time::SECOND_NS,
    v1::moment::{self, Moment::*},
};

/// Whole seconds since 1970 below this (September 2001) are hardly meant as such, which is said.
const SECONDS_PLAUSIBLE_MIN: u64 = 1_000_000_000;

/// A value that was read from the command line, and what people must know about how it was read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ParsedTime<T> {
    /// The value.
    pub value: T,
    /// How it was read, where it could have meant something else.
    pub note: Option<String>,
}

impl<T> ParsedTime<T> {
    fn plain(value: T) -> ParsedTime<T> {
        ParsedTime { value, note: None }
    }

    fn map<U>(self, change: impl FnOnce(T) -> U) -> ParsedTime<U> {
        ParsedTime { value: change(self.value), note: self.note }
    }
}

/// A revision, a time, or an age with or without its minus.
pub(super) fn moment(text: &str, zone: &TimeZone) -> Result<ParsedTime<moment::Moment>, String> {
    if let Some(ago) = text.strip_prefix('-') {
        return duration_ns(ago).map(|ns| ParsedTime::plain(AgoNs(ns)));
    }
    if is_number(text) {
        let revision = text.parse().map_err(|_| "it is too large for a revision".to_owned())?;
        return Ok(ParsedTime::plain(Revision(revision)));
    }
    if let Some(time) = time(text, zone)? {
        return Ok(time.map(TimeAt));
    }
    duration_ns(text).map(|ns| ParsedTime::plain(AgoNs(ns))).map_err(|_| {
        "write a revision (1234), a time (2026-01-31T14:00:00Z, or 2026-01-31 14:00 for local time), \
         or an age such as -5m"
            .to_owned()
    })
}

/// The bound of what is wanted: a time, seconds since 1970, or so long before `now`. Nanoseconds
/// since 1970.
pub(super) fn since(
    text: &str,
    now: Timestamp,
    zone: &TimeZone,
) -> Result<ParsedTime<u64>, String> {
    if is_number(text) {
        let seconds: u64 =
            text.parse().map_err(|_| "it is too large for seconds since 1970".to_owned())?;
        let value = seconds.saturating_mul(SECOND_NS);
        // Nothing is as old as that; somebody may have meant minutes, or a revision.
        let note = (seconds < SECONDS_PLAUSIBLE_MIN)
            .then(|| format!("{text} is read as seconds since 1970: {}", in_zone(value, zone)));
        return Ok(ParsedTime { value, note });
    }
    if let Some(time) = time(text, zone)? {
        return Ok(time);
    }
    let ago = duration_ns(text.strip_prefix('-').unwrap_or(text)).map_err(|_| {
        "write a time (2026-01-31T14:00:00Z, or 2026-01-31 14:00 for local time), or an age such as 10m"
            .to_owned()
    })?;
    Ok(ParsedTime::plain(now.0.saturating_sub(ago)))
}

/// A time of the log as people read it: to the millisecond, of one width, in their zone and naming
/// it.
pub(crate) fn in_zone(at: u64, zone: &TimeZone) -> String {
    let Ok(time) = jiff::Timestamp::from_nanosecond(i128::from(at)) else { return String::new() };
    let zoned = time.to_zoned(zone.clone());
    match zoned.offset().is_zero() {
        true => format!("{time:.3}"),
        false => zoned.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string(),
    }
}

/// A time with or without a zone, a date alone, or seconds since 1970 with a fraction; none if it
/// is something else.
fn time(text: &str, zone: &TimeZone) -> Result<Option<ParsedTime<u64>>, String> {
    if let Some((seconds, fraction)) =
        text.split_once('.').filter(|(s, f)| is_number(s) && is_number(f))
    {
        return seconds_and_fraction(seconds, fraction).map(|at| Some(ParsedTime::plain(at)));
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return nanoseconds(time).map(|at| Some(ParsedTime::plain(at)));
    }
    // A zone that cannot be read must not be dropped, as the parser of zone-less times would.
    let tail = text.get(10..).unwrap_or_default();
    if tail.contains(['+', '-', 'Z', 'z', '[']) {
        return Ok(None);
    }
    let Ok(civil) = text.parse::<DateTime>() else { return Ok(None) };
    let zoned =
        civil.to_zoned(zone.clone()).map_err(|_| format!("{text} is not a time of this zone"))?;
    let at = nanoseconds(zoned.timestamp())?;
    let note = format!("{text} has no zone and is read as local time: {}", in_zone(at, zone));
    Ok(Some(ParsedTime { value: at, note: Some(note) }))
}

fn seconds_and_fraction(seconds: &str, fraction: &str) -> Result<u64, String> {
    let seconds: u64 =
        seconds.parse().map_err(|_| "it is too large for seconds since 1970".to_owned())?;
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let ns: u64 =
        digits.parse().map_err(|_| "the fraction of the seconds is not a number".to_owned())?;
    Ok(seconds.saturating_mul(SECOND_NS).saturating_add(ns))
}

fn nanoseconds(time: jiff::Timestamp) -> Result<u64, String> {
    u64::try_from(time.as_nanosecond())
        .map_err(|_| "times before 1970 and after 2554 are not known here".into())
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An hour and a half ahead of UTC, all the year.
    fn zone() -> TimeZone {
        TimeZone::fixed(jiff::tz::Offset::from_seconds(5_400).expect("a small offset"))
    }

    fn check_since(text: &str, seconds: f64, is_noted: bool) {
        let now = Timestamp(100 * SECOND_NS);
        let read = since(text, now, &zone()).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((read.value as f64 / 1e9, read.note.is_some()), (seconds, is_noted), "{text}");
    }

    #[test]
    fn a_time_with_a_zone_means_the_same_everywhere() {
        check_since("1970-01-01T00:00:02Z", 2.0, false);
        check_since("1970-01-01T02:00:02+02:00", 2.0, false);
        check_since("1970-01-01 00:00:02.5Z", 2.5, false);
    }

    #[test]
    fn a_time_without_a_zone_is_local_and_that_is_said() {
        check_since("1970-01-02T01:30:02", 86_402.0, true);
        check_since("1970-01-02 01:30:02.25", 86_402.25, true);
        check_since("1970-01-02T01:30", 86_400.0, true);
        check_since("1970-01-02", 86_400.0 - 5_400.0, true);
        let read = since("1970-01-02", Timestamp(0), &zone()).expect("a date");
        assert_eq!(
            read.note.as_deref(),
            Some("1970-01-02 has no zone and is read as local time: 1970-01-02T00:00:00.000+01:30")
        );
    }

    #[test]
    fn seconds_may_have_a_fraction_and_the_past_may_be_counted_back() {
        check_since("7", 7.0, true);
        check_since("999999999", 999_999_999.0, true);
        check_since("1000000000", 1_000_000_000.0, false);
        check_since("7.250000000", 7.25, false);
        check_since("7.5", 7.5, false);
        check_since("10s", 90.0, false);
        check_since("-1m", 40.0, false);
        check_since("1h", 0.0, false);
    }

    #[test]
    fn a_printed_time_is_read_back_to_the_nanosecond() {
        let at = 1_795_267_201_500_000_001;
        let printed = Timestamp(at).to_string();
        assert_eq!(since(&printed, Timestamp(0), &zone()), Ok(ParsedTime::plain(at)));
        assert_eq!(in_zone(at, &TimeZone::UTC), "2026-11-21T13:20:01.500Z");
        assert_eq!(in_zone(at, &zone()), "2026-11-21T14:50:01.500+01:30");
    }

    #[test]
    fn a_moment_is_a_revision_a_time_or_so_long_ago() {
        let read = |text| moment(text, &zone()).map(|read| read.value);
        assert_eq!(read("1234"), Ok(Revision(1234)));
        assert_eq!(read("-5m"), Ok(AgoNs(300 * SECOND_NS)));
        assert_eq!(read("1h30m"), Ok(AgoNs(5_400 * SECOND_NS)));
        assert_eq!(read("1970-01-01T00:00:01Z"), Ok(TimeAt(SECOND_NS)));
        assert_eq!(read("1970-01-02"), Ok(TimeAt(81_000 * SECOND_NS)));
        assert_eq!(read("1.5"), Ok(TimeAt(SECOND_NS * 3 / 2)));
        assert!(moment("1970-01-02", &zone()).is_ok_and(|read| read.note.is_some()));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let wrong =
            ["", "soon", "yesterday", "2026-13-01", "2026-01-32", "14:00", "2026-01-31T14:00 CET"];
        for text in wrong.iter().chain(&["2026-01-31T14:00[Nowhere/Town]", "1969-01-01T00:00:00Z"])
        {
            assert!(since(text, Timestamp(0), &zone()).is_err(), "{text:?}");
            assert!(moment(text, &zone()).is_err(), "{text:?}");
        }
        assert!(moment("99999999999999999999", &zone()).is_err());
    }
}
