//! The lines of fake containers, cut and followed as real ones are.

use super::{FakeEngine, LogQuery, LogStream, RuntimeError, container::FakeContainer};
use crate::runtime::{LogItem, LogLine};
use futures::{StreamExt, stream};
use skep_proto::{Id, Timestamp, v1::LogSource};

/// The lines that the query wants, and with `follow` those that come until the end.
pub(super) fn stream(
    engine: &FakeEngine,
    task: Id,
    query: LogQuery,
) -> Result<LogStream, RuntimeError> {
    let state = engine.lock();
    let container =
        state.containers.get(&task).filter(|c| !c.is_created()).ok_or(RuntimeError::Gone)?;
    let wanted: Vec<LogLine> =
        container.lines.iter().filter(|line| wants(&query, line)).cloned().collect();
    let skipped = query
        .tail
        .map_or(0, |tail| wanted.len().saturating_sub(usize::try_from(tail).unwrap_or(usize::MAX)));
    let past = stream::iter(wanted.into_iter().skip(skipped).map(|line| Ok(LogItem::Line(line))));
    if !query.follow {
        return Ok(past.boxed());
    }
    let (engine, seen) = (engine.clone(), container.lines.len());
    let coming = stream::unfold(seen, move |seen| {
        let (engine, query) = (engine.clone(), query.clone());
        async move {
            let look = |state: &super::FakeState| next(state.containers.get(&task), seen, &query);
            engine.find(look).await.map(|(line, seen)| (Ok(LogItem::Line(line)), seen))
        }
    });
    Ok(past.chain(coming).boxed())
}

/// The next line after `seen` of them; `Some(None)` when there never will be one, `None` when there
/// is none yet.
#[expect(clippy::option_option, reason = "waiting and the end are different answers")]
fn next(
    container: Option<&FakeContainer>,
    seen: usize,
    query: &LogQuery,
) -> Option<Option<(LogLine, usize)>> {
    let Some(container) = container else { return Some(None) };
    let fresh = container.lines.iter().enumerate().skip(seen).find(|(_, line)| wants(query, line));
    match fresh {
        Some((n, line)) => Some(Some((line.clone(), n + 1))),
        None => container.ended().map(|_| None),
    }
}

fn wants(query: &LogQuery, line: &LogLine) -> bool {
    let source = match line.source {
        LogSource::Stdout => query.stdout,
        LogSource::Stderr => query.stderr,
    };
    source && line.at >= query.since && (query.until == Timestamp::NEVER || line.at < query.until)
}
