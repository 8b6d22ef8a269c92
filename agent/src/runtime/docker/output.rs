//! A container's output, read through the engine.
//!
//! The engine counts a tail before it looks at times and streams, and knows seconds only. Where
//! that makes a difference, its answer is read twice: once to count the wanted lines, once to pass
//! over all but the last. So memory stays at one line, whatever is asked for.

use super::engine::Engine;
use crate::runtime::{LOG_LINE_BYTES_MAX, LogItem, LogLine, LogQuery, LogStream, RuntimeError};
use bollard::{container::LogOutput, errors::Error, query_parameters::LogsOptions};
use bytes::Bytes;
use futures::{Stream, StreamExt, future, stream};
use skep_proto::{Timestamp, v1::LogSource};
use std::sync::Arc;

/// The wanted lines of a container that was started at some time.
pub(super) async fn open(
    engine: Arc<Engine>,
    container: String,
    query: LogQuery,
) -> Result<LogStream, RuntimeError> {
    let plain = query.since == Timestamp::NEVER
        && query.until == Timestamp::NEVER
        && query.stdout
        && query.stderr;
    let mut skip = 0;
    let mut tail = "all".to_owned();
    if let Some(wanted) = query.tail {
        if plain {
            tail = wanted.to_string();
        } else {
            let counted = LogQuery { follow: false, ..query.clone() };
            let mut lines = Box::pin(lines(&engine, &container, &counted, "all").await?);
            let mut count = 0u64;
            while let Some(line) = lines.next().await {
                line?;
                count += 1;
            }
            skip = count.saturating_sub(wanted);
        }
    }
    let mut lines = Box::pin(lines(&engine, &container, &query, &tail).await?);
    // The first answer tells whether there is a log at all, so that its error is the call's and not
    // the stream's.
    let first = if query.follow { None } else { Some(lines.next().await) };
    let skip = usize::try_from(skip).unwrap_or(usize::MAX);
    match first {
        None => Ok(Box::pin(lines.skip(skip))),
        Some(None) => Ok(Box::pin(stream::empty())),
        Some(Some(Err(error))) => Err(error),
        Some(Some(Ok(item))) => {
            Ok(Box::pin(stream::once(future::ready(Ok(item))).chain(lines).skip(skip)))
        }
    }
}

async fn lines(
    engine: &Arc<Engine>,
    container: &str,
    query: &LogQuery,
    tail: &str,
) -> Result<impl Stream<Item = Result<LogItem, RuntimeError>> + use<>, RuntimeError> {
    let client = engine.patient_client().await?;
    let seconds = |at: Timestamp| i32::try_from(at.0 / 1_000_000_000).unwrap_or(i32::MAX);
    let options = LogsOptions {
        follow: query.follow,
        stdout: query.stdout,
        stderr: query.stderr,
        since: seconds(query.since),
        // Its own second is included, and cut below to the nanosecond.
        until: if query.until == Timestamp::NEVER {
            0
        } else {
            seconds(query.until).saturating_add(1)
        },
        timestamps: true,
        tail: tail.to_owned(),
    };
    let found = client.logs(container, Some(options));
    let (since, until) = (query.since, query.until);
    let engine = Arc::clone(engine);
    Ok(found.filter_map(move |item| {
        let line = match item {
            Ok(output) => read_line(output)
                .filter(|line| line.at >= since)
                .filter(|line| until == Timestamp::NEVER || line.at < until)
                .map(|line| Ok(LogItem::Line(line))),
            Err(error) => Some(Err(unreadable(&engine, &error))),
        };
        future::ready(line)
    }))
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the engine says the client library's other errors"
)]
fn unreadable(engine: &Engine, error: &Error) -> RuntimeError {
    match error {
        Error::DockerResponseServerError { status_code: 404, .. } => RuntimeError::Gone,
        Error::DockerResponseServerError { message, .. }
            if message.contains("does not support reading") =>
        {
            RuntimeError::Rejected(message.clone())
        }
        other => engine.say(other),
    }
}

/// `TIME TEXT`; the engine itself cuts long lines far below what a line may have.
fn read_line(output: LogOutput) -> Option<LogLine> {
    let (source, message) = match output {
        LogOutput::StdErr { message } => (LogSource::Stderr, message),
        LogOutput::StdOut { message }
        | LogOutput::StdIn { message }
        | LogOutput::Console { message } => (LogSource::Stdout, message),
    };
    let space = message.iter().position(|byte| *byte == b' ')?;
    let at = Timestamp::parse(std::str::from_utf8(&message[..space]).ok()?)?;
    Some(LogLine { at, source, text: trim(message.slice(space + 1..)) })
}

fn trim(text: Bytes) -> Bytes {
    let mut end = text.len();
    if text.ends_with(b"\n") {
        end -= 1;
    }
    if text[..end].ends_with(b"\r") {
        end -= 1;
    }
    text.slice(..end.min(LOG_LINE_BYTES_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_a_line_with_its_time() {
        let message = Bytes::from_static(b"2026-11-21T14:00:00.000000001Z two words\r\n");
        let line = read_line(LogOutput::Console { message }).unwrap();
        assert_eq!((&line.text[..], line.source), (&b"two words"[..], LogSource::Stdout));
        assert_eq!(line.at, Timestamp::parse("2026-11-21T14:00:00.000000001Z").unwrap());
        let message = Bytes::from_static(b"2026-11-21T14:00:00Z \n");
        assert_eq!(read_line(LogOutput::StdErr { message }).unwrap().text, "");
    }
}
