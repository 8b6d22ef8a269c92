//! A program's output, line by line into files of bounded size.
//!
//! Bytes that are no whole line yet wait in memory, up to one line's longest; a longer line is cut
//! and goes on in the next. When the log has reached its cap it becomes `log.1`, whose old content
//! is gone: a task that shouts for a year takes no more disk than twice the cap. A disk that is
//! full loses lines, never the program. Lines are counted, so that readers learn how many they
//! do not get.

use crate::{runtime, wall::now_ns};
use nix::{errno::Errno, fcntl};
use runtime::process::{folder::Folder, log};
use skep_proto::v1::LogSource;
use std::os::{
    fd::{self, AsFd},
    unix::fs::OpenOptionsExt,
};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path, process,
};

/// Read at once from one stream; a program that writes faster waits, as it would for any pipe.
const READ_BYTES: usize = 64 << 10;

/// Both streams and the file they go to.
pub(super) struct ProgramOutput {
    streams: Vec<OutputPipe>,
    sink: Sink,
    buffer: Vec<u8>,
}

struct OutputPipe {
    end: fd::OwnedFd,
    source: LogSource,
    /// The beginning of a line whose end has not come yet.
    rest: Vec<u8>,
}

impl ProgramOutput {
    pub(super) fn open(
        folder: &Folder,
        bytes_max: u64,
        stdout: process::ChildStdout,
        stderr: process::ChildStderr,
    ) -> io::Result<ProgramOutput> {
        let streams = vec![
            OutputPipe { end: stdout.into(), source: LogSource::Stdout, rest: Vec::new() },
            OutputPipe { end: stderr.into(), source: LogSource::Stderr, rest: Vec::new() },
        ];
        for stream in &streams {
            fcntl::fcntl(stream.end.as_fd(), fcntl::FcntlArg::F_SETFL(fcntl::OFlag::O_NONBLOCK))?;
        }
        let sink = Sink {
            path: folder.log(),
            aside: folder.log_aside(),
            bytes_max,
            file: None,
            size: 0,
            lines: 0,
            uncounted: true,
        };
        Ok(ProgramOutput { streams, sink, buffer: vec![0; READ_BYTES] })
    }

    /// The pipes that something may still come from.
    pub(super) fn open_ends(&self) -> impl Iterator<Item = fd::BorrowedFd<'_>> {
        self.streams.iter().map(|stream| stream.end.as_fd())
    }

    /// Takes what is there: one read from each stream.
    pub(super) fn take(&mut self) -> bool {
        let mut lines = LineBatch::default();
        let mut any = false;
        let at = now_ns();
        let buffer = &mut self.buffer;
        self.streams.retain_mut(|stream| match nix::unistd::read(stream.end.as_fd(), buffer) {
            Ok(0) => {
                stream.finish(at, &mut lines);
                false
            }
            Ok(count) => {
                any = true;
                stream.split(at, &buffer[..count], &mut lines);
                true
            }
            Err(Errno::EAGAIN | Errno::EINTR) => true,
            Err(_) => false,
        });
        self.sink.write(at, &lines);
        any
    }

    /// Takes all that is left. A stranger who holds the pipe open is not waited for.
    pub(super) fn finish(&mut self) {
        while self.take() {}
        let mut lines = LineBatch::default();
        let at = now_ns();
        for stream in &mut self.streams {
            stream.finish(at, &mut lines);
        }
        self.sink.write(at, &lines);
    }
}

impl OutputPipe {
    fn split(&mut self, at: u64, mut bytes: &[u8], lines: &mut LineBatch) {
        while !bytes.is_empty() {
            let room = runtime::LOG_LINE_BYTES_MAX - self.rest.len();
            let seen = &bytes[..bytes.len().min(room + 1)];
            match seen.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    self.rest.extend_from_slice(&bytes[..end]);
                    bytes = &bytes[end + 1..];
                }
                None if bytes.len() > room => {
                    self.rest.extend_from_slice(&bytes[..room]);
                    bytes = &bytes[room..];
                }
                None => {
                    self.rest.extend_from_slice(bytes);
                    return;
                }
            }
            lines.push(at, self.source, &self.rest);
            self.rest.clear();
        }
    }

    fn finish(&mut self, at: u64, lines: &mut LineBatch) {
        if !self.rest.is_empty() {
            lines.push(at, self.source, &self.rest);
            self.rest.clear();
        }
    }
}

struct Sink {
    path: path::PathBuf,
    aside: path::PathBuf,
    bytes_max: u64,
    file: Option<File>,
    size: u64,
    /// Lines of the task so far, whether they could be written or not.
    lines: u64,
    /// The next line must be preceded by how many came before it: it begins a file, or a write
    /// failed.
    uncounted: bool,
}

impl Sink {
    fn write(&mut self, at: u64, lines: &LineBatch) {
        if lines.count == 0 {
            return;
        }
        if self.size >= self.bytes_max {
            self.file = None;
            let _ = fs::rename(&self.path, &self.aside);
        }
        if self.file.is_none() {
            self.file =
                OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path).ok();
            self.size = self
                .file
                .as_ref()
                .and_then(|file| file.metadata().ok())
                .map_or(0, |meta| meta.len());
            self.uncounted = true;
        }
        if let Some(file) = &mut self.file {
            let mut head = Vec::new();
            if self.uncounted {
                log::write_count(&mut head, at, self.lines);
            }
            match file.write_all(&head).and_then(|()| file.write_all(&lines.bytes)) {
                Ok(()) => {
                    self.size += (head.len() + lines.bytes.len()) as u64;
                    self.uncounted = false;
                }
                // Perhaps half a line was written: the reader passes over it, if a new line begins
                // behind it.
                Err(_) => {
                    let _ = file.write_all(b"\n");
                    self.uncounted = true;
                }
            }
        }
        self.lines += lines.count;
    }
}

/// Lines as they are written.
#[derive(Default)]
struct LineBatch {
    bytes: Vec<u8>,
    count: u64,
}

impl LineBatch {
    fn push(&mut self, at: u64, source: LogSource, text: &[u8]) {
        log::write_line(&mut self.bytes, at, source, text);
        self.count += 1;
    }
}
