//! The standard output, which carries data and nothing else. Only this file may write to it: a test
//! checks that.
//!
//! It may be full, closed, or a pipe whose reader has gone. That is an error of the command.

use crate::cli::fail::CliResult;
use crate::{cli::stderr, untrusted};
use serde_json::Value;
use std::io::{self, IsTerminal, Write};

/// Whether text of others is written as it is, or with its control characters made visible.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TextForm {
    /// For a terminal, which would obey them.
    Visible,
    /// For a program or a file, or because somebody asked for it.
    Raw,
}

impl TextForm {
    /// What suits the reader of the standard output.
    pub(crate) fn of_stdout() -> TextForm {
        if stdout().is_terminal() { TextForm::Visible } else { TextForm::Raw }
    }

    /// What suits the reader of the standard error.
    pub(crate) fn of_stderr() -> TextForm {
        if stderr::is_terminal() { TextForm::Visible } else { TextForm::Raw }
    }

    /// A task's output in this form.
    pub(crate) fn bytes(self, text: &[u8]) -> Vec<u8> {
        match self {
            TextForm::Visible => untrusted::visible_bytes(text),
            TextForm::Raw => text.to_vec(),
        }
    }
}

/// The columns of the terminal that reads the data; none in a pipe, or if the terminal does not
/// tell.
pub(crate) fn terminal_columns() -> Option<usize> {
    let out = stdout();
    let size = if out.is_terminal() { terminal_size::terminal_size_of(out) } else { None };
    size.map(|(width, _)| usize::from(width.0)).filter(|columns| *columns > 0)
}

/// Writes one piece of data and ends its line.
pub(crate) fn say(text: &str) -> CliResult {
    let shown = match TextForm::of_stdout() {
        TextForm::Visible => untrusted::visible(text),
        TextForm::Raw => text.to_owned(),
    };
    write_raw(&[shown.as_bytes(), b"\n"])
}

/// Writes one JSON value, indented.
pub(crate) fn say_json(value: &Value) -> CliResult {
    say(&format!("{value:#}"))
}

/// Writes bytes to the standard output as they are.
pub(crate) fn write_raw(parts: &[&[u8]]) -> CliResult {
    let mut out = stdout().lock();
    for part in parts {
        out.write_all(part)?;
    }
    Ok(out.flush()?)
}

#[allow(clippy::disallowed_methods, reason = "the one place that writes data")]
fn stdout() -> io::Stdout {
    io::stdout()
}
