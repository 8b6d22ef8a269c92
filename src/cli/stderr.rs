//! The standard error, which carries everything that is said to people. Only this file and the
//! daemon's log may write to it: a test checks that.
//!
//! It may be full, closed, or a pipe whose reader has gone. What nobody can read then is dropped,
//! because it must not change how the command ends.

use crate::untrusted;
use skep_proto::os_error;
use std::io::{self, IsTerminal, Write};

/// Writes bytes to the standard error as they are: what a task wrote to its own.
pub(crate) fn write_raw_stderr(parts: &[&[u8]]) {
    // Written at once, so that lines of several processes do not mix.
    drop(stderr().lock().write_all(&parts.concat()));
}

/// Says something to people, and ends its line. Control characters in it are always made visible,
/// and messages of the operating system lose their numbers.
pub(crate) fn talk(text: &str) {
    write_raw_stderr(&[untrusted::visible(&os_error::plain(text)).as_bytes(), b"\n"]);
}

/// Asks for something that is typed on the same line.
pub(crate) fn prompt(text: &str) {
    write_raw_stderr(&[text.as_bytes()]);
}

/// Whether progress can be drawn: the standard error is a terminal that can move its cursor.
pub(crate) fn can_draw() -> bool {
    stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Whether a person reads it.
pub(super) fn is_terminal() -> bool {
    stderr().is_terminal()
}

#[allow(clippy::disallowed_methods, reason = "the one place that talks")]
fn stderr() -> io::Stderr {
    io::stderr()
}
