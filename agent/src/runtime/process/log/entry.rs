//! One line of a log file: how it is written, and how it is read back.

use crate::runtime::LogLine;
use bytes::Bytes;
use skep_proto::{Timestamp, v1::LogSource};
use std::io::Write;

/// Appends one line to a buffer.
pub(crate) fn write_line(into: &mut Vec<u8>, at: u64, source: LogSource, text: &[u8]) {
    let mark = match source {
        LogSource::Stdout => 'o',
        LogSource::Stderr => 'e',
    };
    // Writing to a vector cannot go wrong.
    let _ = write!(into, "{at} {mark} ");
    into.extend_from_slice(text);
    into.push(b'\n');
}

/// Appends the number of lines that came before the next one.
pub(crate) fn write_count(into: &mut Vec<u8>, at: u64, lines: u64) {
    let _ = writeln!(into, "{at} n {lines}");
}

/// What one line of a file says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum LogFileEntry {
    Line(LogLine),
    /// So many lines came before the next one.
    Count {
        at: Timestamp,
        lines: u64,
    },
}

/// None for a line that was torn by a full disk.
pub(super) fn parse(line: &[u8]) -> Option<LogFileEntry> {
    let mut parts = line.splitn(3, |byte| *byte == b' ');
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse().ok();
    let at = Timestamp(number(parts.next()?)?);
    let source = match parts.next()? {
        b"o" => LogSource::Stdout,
        b"e" => LogSource::Stderr,
        b"n" => return Some(LogFileEntry::Count { at, lines: number(parts.next()?)? }),
        _ => return None,
    };
    Some(LogFileEntry::Line(LogLine { at, source, text: Bytes::copy_from_slice(parts.next()?) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_and_a_count_are_read_back_as_they_were_written() {
        let mut bytes = Vec::new();
        write_line(&mut bytes, 5, LogSource::Stderr, b"two words");
        write_count(&mut bytes, 7, 3);
        let lines: Vec<_> = bytes.split(|byte| *byte == b'\n').map(parse).collect();
        let (at, text) = (Timestamp(5), Bytes::from_static(b"two words"));
        let line = LogFileEntry::Line(LogLine { at, source: LogSource::Stderr, text });
        let count = LogFileEntry::Count { at: Timestamp(7), lines: 3 };
        assert_eq!(lines, [Some(line), Some(count), None]);
    }
}
