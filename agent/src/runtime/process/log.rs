//! A task's output on disk: `log.1` (older) and `log` (newer), read while it is written.
//!
//! A line is `NANOSECONDS o TEXT` (`e` for the standard error), so that a person can read it with
//! what every machine has. `NANOSECONDS n COUNT` says how many lines came before the next one in
//! the task's life: it begins each file and follows each write that failed. So a reader that finds
//! a higher count than it has read knows how many lines were pushed out, and where. Readers hold a
//! buffer's worth of bytes and nothing else: a tail is counted first and skipped to then, since
//! what a file holds is bounded and in the page cache. Following waits for inotify.

mod entry;
mod reading;

pub(crate) use entry::{write_count, write_line};

use super::{folder::Folder, watch::Watches};
use crate::runtime::{LogQuery, LogStream, RuntimeError};
use futures::stream;
use reading::LogFileReader;
use std::io;

/// The lines that a query wants, as a stream.
pub(crate) async fn open(
    folder: Folder,
    watches: &Watches,
    query: LogQuery,
) -> Result<LogStream, RuntimeError> {
    let watch =
        if query.follow { Some(watches.watch(folder.path()).map_err(unreadable)?) } else { None };
    let opened = tokio::task::spawn_blocking(move || LogFileReader::open(folder, query, watch))
        .await
        .map_err(|error| RuntimeError::Failed(error.to_string()))?;
    let reading = opened.map_err(unreadable)?;
    Ok(Box::pin(stream::unfold(Some(reading), |reading| async move {
        let mut reading = reading?;
        match reading.next().await {
            Ok(Some(item)) => Some((Ok(item), Some(reading))),
            Ok(None) => None,
            Err(error) => Some((Err(unreadable(error)), None)),
        }
    })))
}

fn unreadable(error: io::Error) -> RuntimeError {
    RuntimeError::Failed(format!("the task's output cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{
        LogItem,
        process::notes::{ProcessEnding, ProcessPlan},
    };
    use futures::StreamExt;
    use skep_proto::{Timestamp, v1::LogSource};
    use std::{fs::File, io::Write};

    fn folder() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path().join("t"));
        folder.make(&ProcessPlan::default()).unwrap();
        (dir, folder)
    }

    fn lines(range: std::ops::Range<u64>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for at in range {
            let source = if at % 2 == 0 { LogSource::Stdout } else { LogSource::Stderr };
            write_line(&mut bytes, at, source, format!("line {at}").as_bytes());
        }
        bytes
    }

    fn counted(before: u64, range: std::ops::Range<u64>) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_count(&mut bytes, range.start, before);
        bytes.extend(lines(range));
        bytes
    }

    fn told(item: LogItem) -> String {
        match item {
            LogItem::Line(line) => line.at.0.to_string(),
            LogItem::Lost(Some(lines)) => format!("lost {lines}"),
            LogItem::Lost(None) => "lost some".into(),
        }
    }

    async fn items(folder: &Folder, query: LogQuery) -> String {
        let stream = open(folder.clone(), &Watches::default(), query).await.unwrap();
        let items: Vec<String> = stream.map(|item| told(item.unwrap())).collect().await;
        items.join(" ")
    }

    async fn read(folder: &Folder, query: LogQuery) -> Vec<u64> {
        let items = items(folder, query).await;
        items.split_whitespace().map(|word| word.parse().unwrap()).collect()
    }

    async fn next(stream: &mut LogStream) -> String {
        told(stream.next().await.unwrap().unwrap())
    }

    #[tokio::test]
    async fn what_was_pushed_out_is_told_with_its_number_and_at_its_place() {
        let (_dir, folder) = folder();
        std::fs::write(folder.log_aside(), counted(10, 100..103)).unwrap();
        std::fs::write(folder.log(), counted(20, 200..202)).unwrap();
        let all = LogQuery::default();
        assert_eq!(items(&folder, all.clone()).await, "lost 10 100 101 102 lost 7 200 201");
        // What was asked for is all there.
        for (query, found) in [
            (LogQuery { tail: Some(2), ..all.clone() }, "200 201"),
            (LogQuery { tail: Some(3), ..all.clone() }, "102 lost 7 200 201"),
            (LogQuery { tail: Some(5), ..all.clone() }, "100 101 102 lost 7 200 201"),
            (LogQuery { tail: Some(6), ..all.clone() }, "lost 10 100 101 102 lost 7 200 201"),
            (LogQuery { tail: Some(0), ..all.clone() }, ""),
            (LogQuery { since: Timestamp(101), ..all.clone() }, "101 102 lost 7 200 201"),
            (LogQuery { since: Timestamp(201), ..all.clone() }, "201"),
            (LogQuery { until: Timestamp(102), ..all.clone() }, "lost 10 100 101"),
            // It is not known how many of the ten were written since then.
            (
                LogQuery { since: Timestamp(50), ..all.clone() },
                "lost some 100 101 102 lost 7 200 201",
            ),
        ] {
            assert_eq!(items(&folder, query.clone()).await, found, "{query:?}");
        }
    }

    #[tokio::test]
    async fn a_follower_that_was_too_slow_is_told_what_it_missed() {
        let (_dir, folder) = folder();
        std::fs::write(folder.log(), counted(0, 100..102)).unwrap();
        let watches = Watches::default();
        let query = LogQuery { follow: true, ..LogQuery::default() };
        let mut stream = open(folder.clone(), &watches, query).await.unwrap();
        assert_eq!(next(&mut stream).await, "100");
        assert_eq!(next(&mut stream).await, "101");
        // It writes on, and its file is put aside twice: what lay between is gone.
        let mut file = File::options().append(true).open(folder.log()).unwrap();
        file.write_all(&lines(102..103)).unwrap();
        std::fs::rename(folder.log(), folder.log_aside()).unwrap();
        std::fs::write(folder.log_aside().with_extension("2"), counted(8, 108..110)).unwrap();
        std::fs::rename(folder.log_aside().with_extension("2"), folder.log_aside()).unwrap();
        std::fs::write(folder.log(), counted(10, 110..111)).unwrap();
        for item in ["102", "lost 5", "108", "109", "110"] {
            assert_eq!(next(&mut stream).await, item);
        }
        folder.end(&ProcessEnding::default()).unwrap();
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn tail_since_until_and_sources_go_together() {
        let (_dir, folder) = folder();
        std::fs::write(folder.log_aside(), lines(1..5000)).unwrap();
        std::fs::write(folder.log(), lines(5000..5011)).unwrap();
        let all = LogQuery::default();
        assert_eq!(read(&folder, all.clone()).await, (1..5011).collect::<Vec<_>>());
        let tail = LogQuery { tail: Some(12), ..all.clone() };
        assert_eq!(read(&folder, tail).await, (4999..5011).collect::<Vec<_>>());
        let odd = LogQuery { tail: Some(2), stdout: false, ..all.clone() };
        assert_eq!(read(&folder, odd).await, [5007, 5009]);
        let some = LogQuery { since: Timestamp(4999), until: Timestamp(5002), ..all.clone() };
        assert_eq!(read(&folder, some).await, [4999, 5000, 5001]);
        assert_eq!(read(&folder, LogQuery { tail: Some(0), ..all }).await, [0u64; 0]);
    }

    #[tokio::test]
    async fn a_follower_reads_over_a_rotation_and_stops_at_the_end() {
        let (_dir, folder) = folder();
        std::fs::write(folder.log(), lines(1..3)).unwrap();
        let watches = Watches::default();
        let mut stream =
            open(folder.clone(), &watches, LogQuery { follow: true, ..LogQuery::default() })
                .await
                .unwrap();
        assert_eq!(next(&mut stream).await, "1");
        assert_eq!(next(&mut stream).await, "2");
        let mut file = File::options().append(true).open(folder.log()).unwrap();
        file.write_all(&lines(3..4)).unwrap();
        std::fs::rename(folder.log(), folder.log_aside()).unwrap();
        std::fs::write(folder.log(), lines(4..5)).unwrap();
        assert_eq!(next(&mut stream).await, "3");
        assert_eq!(next(&mut stream).await, "4");
        folder.end(&ProcessEnding::default()).unwrap();
        assert!(stream.next().await.is_none());
    }
}
