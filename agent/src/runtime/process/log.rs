//! A task's output on disk: `log.1` (older) and `log` (newer), read while it is written.
//!
//! A line is `NANOSECONDS o TEXT` (`e` for the standard error), so that a person can read it with what every
//! machine has. Readers hold a buffer's worth of bytes and nothing else: a tail is counted first and skipped
//! to then, since what a file holds is bounded and stands in the page cache. Following waits for inotify.

use super::{
    folder::Folder,
    watch::{Watch, Watches},
};
use crate::runtime::{LogLine, LogQuery, LogStream, RuntimeError};
use bytes::Bytes;
use futures::stream;
use skep_proto::{Timestamp, v1::LogSource};
use std::{
    fs::File,
    io::{self, Read, Write},
    os::unix::fs::MetadataExt,
};

/// Read at once.
const CHUNK_BYTES: usize = 64 << 10;

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

fn parse_line(line: &[u8]) -> Option<LogLine> {
    let mut parts = line.splitn(3, |byte| *byte == b' ');
    let at = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    let source = match parts.next()? {
        b"o" => LogSource::Stdout,
        b"e" => LogSource::Stderr,
        _ => return None,
    };
    Some(LogLine { at: Timestamp(at), source, text: Bytes::copy_from_slice(parts.next()?) })
}

/// The lines that a query wants, as a stream.
pub(crate) async fn open(
    folder: Folder,
    watches: &Watches,
    query: LogQuery,
) -> Result<LogStream, RuntimeError> {
    let watch = if query.follow { Some(watches.watch(folder.path()).map_err(unreadable)?) } else { None };
    let opened = tokio::task::spawn_blocking(move || Reading::open(folder, query, watch))
        .await
        .map_err(|error| RuntimeError::Failed(error.to_string()))?;
    let reading = opened.map_err(unreadable)?;
    Ok(Box::pin(stream::unfold(Some(reading), |reading| async move {
        let mut reading = reading?;
        match reading.next().await {
            Ok(Some(line)) => Some((Ok(line), Some(reading))),
            Ok(None) => None,
            Err(error) => Some((Err(unreadable(error)), None)),
        }
    })))
}

fn unreadable(error: io::Error) -> RuntimeError {
    RuntimeError::Failed(format!("the task's output cannot be read: {error}"))
}

struct Reading {
    folder: Folder,
    query: LogQuery,
    watch: Option<Watch>,
    older: Option<Lines>,
    newer: Option<Lines>,
    /// Wanted lines to be passed over, since only the last ones are asked for.
    skip: u64,
    /// The task had ended before the file was last looked at.
    over: bool,
}

impl Reading {
    fn open(folder: Folder, query: LogQuery, watch: Option<Watch>) -> io::Result<Reading> {
        let mut reading = Reading { folder, query, watch, older: None, newer: None, skip: 0, over: false };
        reading.open_files()?;
        if let Some(tail) = reading.query.tail {
            let mut count = 0u64;
            while let Some(line) = reading.next_written()? {
                count += u64::from(reading.wants(&line));
            }
            reading.skip = count.saturating_sub(tail);
            for lines in [&mut reading.older, &mut reading.newer].into_iter().flatten() {
                lines.rewind()?;
            }
        }
        Ok(reading)
    }

    /// The newer file first: if it is put aside in between, the older one is found to be the same and not
    /// read twice.
    fn open_files(&mut self) -> io::Result<()> {
        self.newer = Lines::open(&self.folder.log())?;
        self.older = Lines::open(&self.folder.log_aside())?;
        if let (Some(older), Some(newer)) = (&self.older, &self.newer)
            && older.inode == newer.inode
        {
            self.older = None;
        }
        Ok(())
    }

    async fn next(&mut self) -> io::Result<Option<LogLine>> {
        loop {
            let Some(line) = self.next_written()? else {
                if !self.more_will_come().await? {
                    return Ok(None);
                }
                continue;
            };
            let until = self.query.until;
            if until != Timestamp::NEVER && line.at >= until {
                return Ok(None);
            }
            if self.wants(&line) {
                if self.skip == 0 {
                    return Ok(Some(line));
                }
                self.skip -= 1;
            }
        }
    }

    fn wants(&self, line: &LogLine) -> bool {
        let LogQuery { since, until, stdout, stderr, .. } = self.query;
        let source = match line.source {
            LogSource::Stdout => stdout,
            LogSource::Stderr => stderr,
        };
        source && line.at >= since && (until == Timestamp::NEVER || line.at < until)
    }

    fn next_written(&mut self) -> io::Result<Option<LogLine>> {
        for lines in [&mut self.older, &mut self.newer].into_iter().flatten() {
            if let Some(line) = lines.next()? {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }

    /// At the end of what is written: waits for news. False when nothing can come any more.
    async fn more_will_come(&mut self) -> io::Result<bool> {
        if self.watch.is_none() {
            return Ok(false);
        }
        if self.go_to_new_file()? {
            return Ok(true);
        }
        if self.over {
            return Ok(false);
        }
        self.over = !self.folder.is_prepared() || self.folder.ended()?.is_some();
        match &mut self.watch {
            Some(watch) if !self.over => watch.changed().await?,
            Some(_) | None => {}
        }
        Ok(true)
    }

    /// Whether the file that was read has been put aside, and a new one is being read now.
    fn go_to_new_file(&mut self) -> io::Result<bool> {
        let now = std::fs::metadata(self.folder.log()).map(|meta| meta.ino()).ok();
        if now.is_none() || now == self.newer.as_ref().map(|lines| lines.inode) {
            return Ok(false);
        }
        let read = self.newer.take();
        self.open_files()?;
        match (read, &self.older) {
            // It was put aside in the usual way: what was written to it since the last look comes first.
            (Some(read), Some(older)) if older.inode == read.inode => self.older = Some(read),
            (Some(_) | None, Some(_) | None) => {}
        }
        Ok(true)
    }
}

/// The whole lines of one file.
struct Lines {
    file: File,
    inode: u64,
    buffer: Vec<u8>,
    /// Where the first unread byte of the buffer stands.
    start: usize,
}

impl Lines {
    fn open(path: &std::path::Path) -> io::Result<Option<Lines>> {
        match File::open(path) {
            Ok(file) => {
                let inode = file.metadata()?.ino();
                Ok(Some(Lines { file, inode, buffer: Vec::new(), start: 0 }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn rewind(&mut self) -> io::Result<()> {
        use std::io::Seek;
        self.buffer.clear();
        self.start = 0;
        self.file.rewind()
    }

    /// None at the end of what is written so far; half a line waits for its other half.
    fn next(&mut self) -> io::Result<Option<LogLine>> {
        let mut looked = self.start;
        loop {
            if let Some(end) = self.buffer[looked..].iter().position(|byte| *byte == b'\n') {
                let line = parse_line(&self.buffer[self.start..looked + end]);
                self.start = looked + end + 1;
                looked = self.start;
                match line {
                    Some(line) => return Ok(Some(line)),
                    // Torn by a full disk.
                    None => continue,
                }
            }
            looked = self.buffer.len() - self.start;
            self.buffer.drain(..self.start);
            self.start = 0;
            let before = self.buffer.len();
            self.buffer.resize(before + CHUNK_BYTES, 0);
            let read = self.file.read(&mut self.buffer[before..]);
            self.buffer.truncate(before + *read.as_ref().unwrap_or(&0));
            if read? == 0 {
                return Ok(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::process::notes::{Ending, Plan};
    use futures::StreamExt;

    fn folder() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path().join("t"));
        folder.make(&Plan::default()).unwrap();
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

    async fn read(folder: &Folder, query: LogQuery) -> Vec<u64> {
        let stream = open(folder.clone(), &Watches::default(), query).await.unwrap();
        stream.map(|line| line.unwrap().at.0).collect().await
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
            open(folder.clone(), &watches, LogQuery { follow: true, ..LogQuery::default() }).await.unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap().at.0, 1);
        assert_eq!(stream.next().await.unwrap().unwrap().at.0, 2);
        let mut file = File::options().append(true).open(folder.log()).unwrap();
        file.write_all(&lines(3..4)).unwrap();
        std::fs::rename(folder.log(), folder.log_aside()).unwrap();
        std::fs::write(folder.log(), lines(4..5)).unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap().at.0, 3);
        assert_eq!(stream.next().await.unwrap().unwrap().at.0, 4);
        let mut draft = folder.draft_ending().unwrap();
        folder.write_ended(&mut draft, &Ending::default()).unwrap();
        assert!(stream.next().await.is_none());
    }

    #[test]
    fn half_a_line_waits_and_a_torn_one_is_passed_over() {
        let (_dir, folder) = folder();
        std::fs::write(folder.log(), b"12 o half").unwrap();
        let mut reader = Lines::open(&folder.log()).unwrap().unwrap();
        assert_eq!(reader.next().unwrap(), None);
        let mut file = File::options().append(true).open(folder.log()).unwrap();
        file.write_all(b" more\ntorn by nothing\n13 e  x y\n").unwrap();
        assert_eq!(reader.next().unwrap().unwrap().text, "half more");
        let line = reader.next().unwrap().unwrap();
        assert_eq!((line.at.0, line.source, &line.text[..]), (13, LogSource::Stderr, &b" x y"[..]));
        assert_eq!(reader.next().unwrap(), None);
    }
}
