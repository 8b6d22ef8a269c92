//! The standard output: data and nothing else, and no panic when its reader leaves early.

use crate::cli::fail::Outcome;
use serde_json::Value;
use std::io::Write;

/// Writes one piece of data and ends its line.
pub fn say(text: &str) -> Outcome {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// Writes one JSON value, indented.
pub fn say_json(value: &Value) -> Outcome {
    say(&format!("{value:#}"))
}

/// Writes bytes as they are: what a task has said.
pub fn write_raw(parts: &[&[u8]]) -> Outcome {
    let mut out = std::io::stdout().lock();
    for part in parts {
        out.write_all(part)?;
    }
    Ok(out.flush()?)
}
