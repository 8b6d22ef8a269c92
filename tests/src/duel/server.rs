//! A server that we started: its process, its CPU time, and its end.

use anyhow::{Context, Result};
use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Clock ticks of `/proc` in a second.
const TICKS: f64 = 100.0;

/// A child process that ends with this value.
pub struct Server(Child);

impl Server {
    /// Starts a program with its arguments; what it says goes to a file.
    pub fn start(program: &Path, arguments: &[String], log: &Path) -> Result<Server> {
        let out = fs::File::create(log)?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| program.display().to_string())?;
        Ok(Server(child))
    }

    /// User and system time so far.
    pub fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        // Fields are counted after the name, which may hold blanks.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
        let ticks =
            |field: usize| fields.get(field).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
        Ok(Duration::from_secs_f64((ticks(11) + ticks(12)) / TICKS))
    }
}

/// The members of one cluster.
pub struct Servers(pub Vec<Server>);

impl Servers {
    /// User and system time of all of them so far.
    pub fn cpu(&self) -> Result<Duration> {
        self.0.iter().map(Server::cpu).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
