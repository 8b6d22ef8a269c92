//! The two streams that the program writes to. Nothing else may write to them: a lint holds to it.
//!
//! The standard output carries data and nothing else. The standard error carries everything that is
//! said to people. Both may be full, closed, or a pipe whose reader has gone. For data that is an
//! error of the command; talk that nobody can hear is dropped, because it must not change how the
//! command ends.

use super::untrusted;
use crate::cli::fail::Outcome;
use serde_json::Value;
use std::io::{self, IsTerminal, Write};

/// Whether text of others is written as it is, or with its control characters made visible.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// For a terminal, which would obey them.
    Visible,
    /// For a program or a file, or because somebody asked for it.
    Raw,
}

impl Form {
    /// What suits the reader of the standard output.
    pub fn of_stdout() -> Form {
        if stdout().is_terminal() { Form::Visible } else { Form::Raw }
    }

    /// What suits the reader of the standard error.
    pub fn of_stderr() -> Form {
        if stderr().is_terminal() { Form::Visible } else { Form::Raw }
    }

    /// A task's output in this form.
    pub fn bytes(self, text: &[u8]) -> Vec<u8> {
        match self {
            Form::Visible => untrusted::visible_bytes(text),
            Form::Raw => text.to_vec(),
        }
    }
}

/// Writes one piece of data and ends its line.
pub fn say(text: &str) -> Outcome {
    let shown = match Form::of_stdout() {
        Form::Visible => untrusted::visible(text),
        Form::Raw => text.to_owned(),
    };
    write_raw(&[shown.as_bytes(), b"\n"])
}

/// Writes one JSON value, indented.
pub fn say_json(value: &Value) -> Outcome {
    say(&format!("{value:#}"))
}

/// Writes bytes to the standard output as they are.
pub fn write_raw(parts: &[&[u8]]) -> Outcome {
    let mut out = stdout().lock();
    for part in parts {
        out.write_all(part)?;
    }
    Ok(out.flush()?)
}

/// Writes bytes to the standard error as they are: what a task wrote to its own.
pub fn write_raw_stderr(parts: &[&[u8]]) {
    // Written at once, so that lines of several processes do not mix.
    drop(stderr().lock().write_all(&parts.concat()));
}

/// Says something to people, and ends its line. Control characters in it are always made visible.
pub fn talk(text: &str) {
    write_raw_stderr(&[untrusted::visible(text).as_bytes(), b"\n"]);
}

/// Whether progress can be drawn: the standard error is a terminal that can move its cursor.
pub fn can_draw() -> bool {
    stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

#[allow(clippy::disallowed_methods, reason = "the one place that writes data")]
fn stdout() -> io::Stdout {
    io::stdout()
}

#[allow(clippy::disallowed_methods, reason = "the one place that talks")]
fn stderr() -> io::Stderr {
    io::stderr()
}
