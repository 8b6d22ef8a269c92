//! Runs the program and writes down all that it said.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

/// The program, with a clean environment: no colour, no socket of this machine's own.
pub(crate) fn skep(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skep"));
    command
        .args(args)
        .env_remove("SKEP_HOST")
        .env("NO_COLOR", "1")
        .env("TZ", "UTC")
        .env("COLUMNS", "100")
        .stdin(Stdio::null());
    command
}

/// What it said and how it ended, as one text.
pub(crate) fn told(output: &Output) -> String {
    let part = |name: &str, bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        if text.is_empty() { String::new() } else { format!("--- {name}\n{}\n", text.trim_end()) }
    };
    let code = output.status.code().map_or_else(|| "by a signal".into(), |code| code.to_string());
    format!("exit {code}\n{}{}", part("stdout", &output.stdout), part("stderr", &output.stderr))
}

/// Runs it without a manager.
pub(crate) fn alone(args: &[&str]) -> String {
    told(&skep(args).output().expect("the program was built for this test"))
}

/// Runs it against a manager's socket.
pub(crate) fn against(socket: &Path, args: &[&str]) -> String {
    let host = format!("unix://{}", socket.display());
    let output =
        skep(args).env("SKEP_HOST", &host).output().expect("the program was built for this test");
    told(&output).replace(&host, "unix://SOCK")
}
