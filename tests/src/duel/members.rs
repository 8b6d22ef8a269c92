//! More managers for a daemon that runs: they join as a person would have them join.

use super::server::Server;
use anyhow::{Context, Result, bail};
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// Between two looks whether they vote, and how many there are.
const VOTE_LOOK: (Duration, usize) = (Duration::from_millis(100), 300);

/// Runs commands against a daemon.
struct SkepCli {
    program: PathBuf,
    host: String,
}

impl SkepCli {
    fn says(&self, arguments: &[&str]) -> Result<String> {
        let done =
            Command::new(&self.program).args(arguments).env("SKEP_HOST", &self.host).output()?;
        if !done.status.success() {
            bail!("skep {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        }
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }
}

/// Starts managers until there are so many, the one behind this socket among them, and waits until
/// all of them vote.
pub(super) fn join(
    program: &Path,
    dir: &Path,
    socket: &Path,
    members: usize,
) -> Result<Vec<Server>> {
    let (program, host) = (program.to_owned(), format!("unix://{}", socket.display()));
    let person = SkepCli { program, host };
    let opened = person.says(&["cluster", "init", "--listen-addr", "127.0.0.1:0"])?;
    let address = opened.split_once("--join ").and_then(|(_, rest)| rest.split_once(' '));
    let (address, _) = address.context("`cluster init` names no address")?;
    let token = person.says(&["cluster", "token", "-q", "manager"])?;
    let mut servers = Vec::new();
    for member in 2..=members {
        let place = |what: &str| dir.join(format!("skep{member}{what}")).display().to_string();
        let arguments = [
            ["daemon", "--runtime", "process"].map(str::to_owned).to_vec(),
            vec!["--state-dir".to_owned(), place("")],
            vec!["--listen-control".to_owned(), format!("unix://{}", place(".sock"))],
            vec!["--hostname".to_owned(), format!("bench{member}")],
            ["--join", address, "--token", token.trim()].map(str::to_owned).to_vec(),
            ["--listen-addr", "127.0.0.1:0"].map(str::to_owned).to_vec(),
        ];
        let log = place(".log");
        servers.push(Server::start(&person.program, &arguments.concat(), Path::new(&log))?);
    }
    let status = ["node", "ls", "--format", "{{.ManagerStatus}}"];
    for _ in 0..VOTE_LOOK.1 {
        let told = person.says(&status).unwrap_or_default();
        let votes = told.lines().filter(|word| matches!(*word, "Leader" | "Reachable")).count();
        if votes == members {
            return Ok(servers);
        }
        std::thread::sleep(VOTE_LOOK.0);
    }
    bail!("the managers do not all vote; see {}", dir.display())
}
