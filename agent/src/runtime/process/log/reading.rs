//! One reader of a task's output: which lines it wants, and what it missed.

use super::entry::{LogFileEntry, parse};
use crate::runtime::{
    LogItem, LogLine, LogQuery,
    process::{folder, watch::FolderWatch},
};
use skep_proto::{Timestamp, v1::LogSource};
use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read, Seek},
    os::unix::fs::MetadataExt,
    path::Path,
};

/// Read at once.
const LOG_READ_BYTES_MAX: usize = 64 << 10;

pub(super) struct LogFileReader {
    folder: folder::Folder,
    query: LogQuery,
    watch: Option<FolderWatch>,
    /// Oldest first; the last one may still be written.
    files: VecDeque<LogFileLines>,
    /// Lines that came before the next one in the task's life, as far as they were read.
    count: u64,
    /// A line was read, wanted or not: what is missing lies between two lines, and not before all
    /// of them.
    any: bool,
    /// Wanted lines to be passed over, since only the last ones are asked for.
    skip: u64,
    /// As many lines as the tail asks for are here: none is missing before them.
    tail_is_whole: bool,
    /// The task had ended before the file was last looked at.
    over: bool,
}

impl LogFileReader {
    pub(super) fn open(
        folder: folder::Folder,
        query: LogQuery,
        watch: Option<FolderWatch>,
    ) -> io::Result<LogFileReader> {
        let mut reading = LogFileReader {
            folder,
            query,
            watch,
            files: VecDeque::new(),
            count: 0,
            any: false,
            skip: 0,
            tail_is_whole: false,
            over: false,
        };
        reading.files = reading.open_files()?;
        if let Some(tail) = reading.query.tail {
            let mut found = 0u64;
            let mut files = std::mem::take(&mut reading.files);
            for lines in &mut files {
                while let Some(entry) = lines.next()? {
                    found += u64::from(
                        matches!(&entry, LogFileEntry::Line(line) if reading.wants(line)),
                    );
                }
                lines.rewind()?;
            }
            reading.files = files;
            reading.skip = found.saturating_sub(tail);
            reading.tail_is_whole = found >= tail;
        }
        Ok(reading)
    }

    /// The newer file is opened first: if it is put aside in between, the older one is found to be
    /// the same and not read twice.
    fn open_files(&self) -> io::Result<VecDeque<LogFileLines>> {
        let newer = LogFileLines::open(&self.folder.log())?;
        let older = LogFileLines::open(&self.folder.log_aside())?;
        let inode = newer.as_ref().map(|lines| lines.inode);
        Ok(older.filter(|older| Some(older.inode) != inode).into_iter().chain(newer).collect())
    }

    pub(super) async fn next(&mut self) -> io::Result<Option<LogItem>> {
        loop {
            let Some(entry) = self.next_written()? else {
                if !self.more_will_come().await? {
                    return Ok(None);
                }
                continue;
            };
            match entry {
                LogFileEntry::Count { at, lines } => {
                    let missing = lines.saturating_sub(self.count);
                    self.count = self.count.max(lines);
                    if missing > 0
                        && let Some(lost) = self.lost(at, missing)
                    {
                        return Ok(Some(lost));
                    }
                }
                LogFileEntry::Line(line) => {
                    self.count += 1;
                    self.any = true;
                    let until = self.query.until;
                    if until != Timestamp::NEVER && line.at >= until {
                        return Ok(None);
                    }
                    if self.wants(&line) {
                        if self.skip == 0 {
                            self.tail_is_whole = false;
                            return Ok(Some(LogItem::Line(line)));
                        }
                        self.skip -= 1;
                    }
                }
            }
        }
    }

    /// What to say of lines that are missing before `at`; nothing where they were not asked for.
    fn lost(&self, at: Timestamp, missing: u64) -> Option<LogItem> {
        if self.skip > 0 || self.tail_is_whole || at < self.query.since {
            return None;
        }
        let all_were_wanted = self.any || self.query.since == Timestamp::NEVER;
        Some(LogItem::Lost(all_were_wanted.then_some(missing)))
    }

    fn wants(&self, line: &LogLine) -> bool {
        let LogQuery { since, until, stdout, stderr, .. } = self.query;
        let source = match line.source {
            LogSource::Stdout => stdout,
            LogSource::Stderr => stderr,
        };
        source && line.at >= since && (until == Timestamp::NEVER || line.at < until)
    }

    fn next_written(&mut self) -> io::Result<Option<LogFileEntry>> {
        while let Some(lines) = self.files.front_mut() {
            if let Some(entry) = lines.next()? {
                return Ok(Some(entry));
            }
            if self.files.len() == 1 {
                break;
            }
            // Nobody writes to it any more.
            self.files.pop_front();
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
        self.over =
            !self.folder.exists() || matches!(self.folder.ended()?, folder::NoteFile::Read(_));
        match &mut self.watch {
            Some(watch) if !self.over => watch.changed().await?,
            Some(_) | None => {}
        }
        Ok(true)
    }

    /// Whether the file that was read has been put aside, and newer ones follow it now. What was
    /// written to it since the last look comes first.
    fn go_to_new_file(&mut self) -> io::Result<bool> {
        let now = std::fs::metadata(self.folder.log()).map(|meta| meta.ino()).ok();
        let read = self.files.back().map(|lines| lines.inode);
        if now.is_none() || now == read {
            return Ok(false);
        }
        let newer = self.open_files()?;
        self.files.extend(newer.into_iter().filter(|lines| Some(lines.inode) != read));
        Ok(true)
    }
}

/// The whole lines of one file.
struct LogFileLines {
    file: File,
    inode: u64,
    buffer: Vec<u8>,
    /// Index of the first unread byte of the buffer.
    start: usize,
}

impl LogFileLines {
    fn open(path: &Path) -> io::Result<Option<LogFileLines>> {
        match File::open(path) {
            Ok(file) => {
                let inode = file.metadata()?.ino();
                Ok(Some(LogFileLines { file, inode, buffer: Vec::new(), start: 0 }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn rewind(&mut self) -> io::Result<()> {
        self.buffer.clear();
        self.start = 0;
        self.file.rewind()
    }

    /// None at the end of what is written so far; half a line waits for its other half.
    fn next(&mut self) -> io::Result<Option<LogFileEntry>> {
        let mut looked = self.start;
        loop {
            if let Some(end) = self.buffer[looked..].iter().position(|byte| *byte == b'\n') {
                let entry = parse(&self.buffer[self.start..looked + end]);
                self.start = looked + end + 1;
                looked = self.start;
                match entry {
                    Some(entry) => return Ok(Some(entry)),
                    // Torn by a full disk.
                    None => continue,
                }
            }
            looked = self.buffer.len() - self.start;
            self.buffer.drain(..self.start);
            self.start = 0;
            let before = self.buffer.len();
            self.buffer.resize(before + LOG_READ_BYTES_MAX, 0);
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
    use crate::runtime::process::notes::ProcessPlan;
    use std::io::Write;

    #[test]
    fn half_a_line_waits_and_a_torn_one_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let folder = folder::Folder::new(dir.path().join("t"));
        folder.make(&ProcessPlan::default()).unwrap();
        std::fs::write(folder.log(), b"12 o half").unwrap();
        let mut reader = LogFileLines::open(&folder.log()).unwrap().unwrap();
        assert_eq!(reader.next().unwrap(), None);
        let mut file = File::options().append(true).open(folder.log()).unwrap();
        file.write_all(b" more\ntorn by nothing\n13 e  x y\n14 n 7\n").unwrap();
        let line = |at, source, text: &'static str| {
            Some(LogFileEntry::Line(LogLine { at: Timestamp(at), source, text: text.into() }))
        };
        assert_eq!(reader.next().unwrap(), line(12, LogSource::Stdout, "half more"));
        assert_eq!(reader.next().unwrap(), line(13, LogSource::Stderr, " x y"));
        assert_eq!(
            reader.next().unwrap(),
            Some(LogFileEntry::Count { at: Timestamp(14), lines: 7 })
        );
        assert_eq!(reader.next().unwrap(), None);
    }
}
