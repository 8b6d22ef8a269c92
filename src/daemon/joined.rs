//! Which cluster a machine has joined as a worker: written down at its first start, so that a later
//! start without a word of it does not found a cluster of its own.

use super::{advice::Advice, durable, settings::JoinSettings, state::StateDir};
use anyhow::{Context, Result};
use skep_agent::{AgentStatus, ManagerEndpoint};
use skep_trust::JoinToken;
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use tokio::sync::watch;

/// Holds `HOST:PORT` of a manager.
const JOINED_FILE: &str = "joined";
/// Holds the addresses that somebody gave for the time when the machine is a manager.
pub(super) const PORT_FILE: &str = "manager-port";
/// What the folder of a node holds once it has joined.
const NODES_FILE: &str = "agent/certificates/swarm-node.crt";
/// What an agent keeps.
const AGENTS_FOLDER: &str = "agent";
/// What a manager's folder holds from its first start on.
const MANAGERS_FILE: &str = "manager-id";

/// The manager that this machine follows.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct JoinedCluster {
    /// `HOST:PORT`.
    pub(super) address: String,
    /// Shown at the first contact.
    pub(super) token: Option<JoinToken>,
    /// What is to be written down once that manager has answered; none where it is already.
    pub(super) moved: Option<MovedAddress>,
}

/// Another address than the one written down, which may lead nowhere.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct MovedAddress {
    path: PathBuf,
    address: String,
}

impl MovedAddress {
    /// Waits for a session with the manager of that address: the agent may find its cluster at
    /// another manager that it knows, which says nothing about this one.
    pub(super) async fn write_when_attached(self, mut status: watch::Receiver<AgentStatus>) {
        let endpoint = ManagerEndpoint::Network(self.address.clone());
        let is_there = |status: &AgentStatus| {
            status.managers.iter().any(|manager| manager.attached && manager.endpoint == endpoint)
        };
        if status.wait_for(is_there).await.is_err() {
            return;
        }
        if let Err(error) = write(&self.path, &self.address) {
            let path = self.path.display();
            tracing::warn!("{path}: {error}: the next start needs --join again");
        }
    }
}

/// The manager that the machine is to join: written down where no cluster has let it in yet, so
/// that a later start does not found one. A member may have been given a wrong address, so for it
/// that is done when the manager has answered.
pub(super) fn join(state: &StateDir, join: &JoinSettings) -> Result<JoinedCluster> {
    let path = state.path().join(JOINED_FILE);
    let (address, token) = (join.manager.clone(), join.token.clone());
    if !has_certificate(state) {
        write(&path, &address).with_context(|| path.display().to_string())?;
        return Ok(JoinedCluster { address, token, moved: None });
    }
    let is_known = read(&path).ok().as_ref() == Some(&address);
    let moved = (!is_known).then(|| MovedAddress { path, address: address.clone() });
    Ok(JoinedCluster { address, token, moved })
}

/// The manager that an earlier start or request wrote down.
pub(super) fn follow(state: &StateDir) -> Result<JoinedCluster> {
    let address = read(&state.path().join(JOINED_FILE))?;
    Ok(JoinedCluster { address, token: None, moved: None })
}

/// Whether one is written down.
pub(super) fn follows(state: &StateDir) -> bool {
    state.path().join(JOINED_FILE).exists()
}

/// Whether a cluster has let this machine in.
pub(super) fn has_certificate(state: &StateDir) -> bool {
    state.path().join(NODES_FILE).exists()
}

/// Why a manager's folder joins no other cluster.
pub(super) fn managers_folder(state: &StateDir) -> Advice {
    let message = format!(
        "state folder {} is a manager's: a machine joins another cluster from an empty folder",
        state.path().display()
    );
    let hint = "choose another --state-dir, or have the machine leave its cluster with `skep cluster leave`; \
                leave --join out to start the manager";
    Advice::new(message, hint)
}

/// Why no cluster is founded in the folder of a node of another one.
pub(super) fn workers_folder(state: &StateDir) -> Advice {
    let message = format!("state folder {} is of a worker that has joined", state.path().display());
    let hint = "start it with `skep daemon --join HOST:PORT` of its manager, or as before with `skep \
                agent`; a cluster is founded in an empty folder";
    Advice::new(message, hint)
}

/// The address that an earlier start wrote down.
fn read(path: &Path) -> Result<String> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let address = text.trim();
    if !is_address(address) {
        let message = format!("{} does not hold HOST:PORT of a manager", path.display());
        let hint = "start it with `skep daemon --join HOST:PORT`, which writes it anew";
        return Err(Advice::new(message, hint).into());
    }
    Ok(address.to_owned())
}

/// Writes down which manager a machine follows that has joined already.
pub(super) fn write_down(state: &StateDir, address: &str) -> Result<()> {
    let path = state.path().join(JOINED_FILE);
    write(&path, address).with_context(|| path.display().to_string())
}

fn write(path: &Path, address: &str) -> io::Result<()> {
    durable::replace(path, &format!("{address}\n"))
}

/// Whether the folder is a manager's.
pub(super) fn is_manager(state: &StateDir) -> bool {
    state.path().join(MANAGERS_FILE).exists()
}

/// Whether this can be `HOST:PORT`.
pub(super) fn is_address(text: &str) -> bool {
    text.rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// Undoes what was written down for a cluster that did not let the machine in.
pub(super) fn forget(state: &StateDir) -> Result<()> {
    let remove = |path: &Path, removed: io::Result<()>| match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| path.display().to_string())
        }
        Ok(()) | Err(_) => Ok(()),
    };
    let (joined, agent) = (state.path().join(JOINED_FILE), state.path().join(AGENTS_FOLDER));
    let port = state.path().join(PORT_FILE);
    remove(&port, fs::remove_file(&port))?;
    remove(&joined, fs::remove_file(&joined))?;
    remove(&agent, fs::remove_dir_all(&agent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_agent::ContactedAddress;
    use skep_proto::Timestamp;

    fn asked(manager: &str) -> JoinSettings {
        JoinSettings {
            manager: manager.into(),
            token: None,
            listen_address: String::new(),
            advertise_address: String::new(),
        }
    }

    fn certify(state: &StateDir) {
        let certificate = state.path().join(NODES_FILE);
        fs::create_dir_all(certificate.parent().expect("a folder")).expect("room for it");
        fs::write(&certificate, "x").expect("room for it");
    }

    #[test]
    fn a_worker_stays_one_at_a_start_without_a_word_of_it() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let state = StateDir::hold(&dir.path().join("state")).expect("it is held");
        assert!(!follows(&state));
        for address in ["m1:2377", "m2:2377"] {
            let expected = JoinedCluster { address: address.into(), token: None, moved: None };
            assert_eq!(join(&state, &asked(address)).expect("it joins"), expected);
            assert!(follows(&state));
            assert_eq!(follow(&state).expect("it has joined"), expected);
        }
        forget(&state).expect("it is removed");
        forget(&state).expect("nothing is there");
        assert!(!follows(&state));
    }

    #[tokio::test]
    async fn a_members_other_manager_is_written_down_when_it_has_answered() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let state = StateDir::hold(&dir.path().join("state")).expect("it is held");
        join(&state, &asked("m1:2377")).expect("it joins");
        certify(&state);
        let address = || follow(&state).expect("it has joined").address;
        let moved = join(&state, &asked("m2:2377")).expect("it follows").moved;
        let moved = moved.expect("it is not written down yet");
        assert_eq!(address(), "m1:2377");
        let status = watch::Sender::new(AgentStatus::default());
        let writing = tokio::spawn(moved.write_when_attached(status.subscribe()));
        let attach = |to: &str| {
            let manager = ContactedAddress {
                endpoint: ManagerEndpoint::Network(to.into()),
                attached: true,
                since_at: Timestamp(1),
                problem: String::new(),
            };
            status.send_modify(|status| (status.attached, status.managers) = (true, vec![manager]));
        };
        attach("m3:2377");
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert_eq!(address(), "m1:2377", "another one that it knows");
        attach("m2:2377");
        writing.await.expect("it ends");
        assert_eq!(address(), "m2:2377");
    }

    #[test]
    fn a_file_that_names_no_manager_is_told() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let state = StateDir::hold(&dir.path().join("state")).expect("it is held");
        for text in ["", "m1", ":2377", "m1:port"] {
            fs::write(state.path().join(JOINED_FILE), text).expect("room for it");
            let error = follow(&state).expect_err("it is no address").to_string();
            assert!(error.ends_with("joined does not hold HOST:PORT of a manager"), "{error}");
        }
    }
}
