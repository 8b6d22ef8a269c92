//! Which cluster a machine has joined as a worker: written down at its first start, so that a later
//! start without a word of it does not found a cluster of its own.

use super::{advice::Advice, settings::JoinSettings, state::StateDir};
use anyhow::{Context, Result};
use skep_agent::AgentStatus;
use skep_trust::JoinToken;
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use tokio::sync::watch;

/// Holds `HOST:PORT` of a manager.
const JOINED_FILE: &str = "joined";
/// What the folder of a node holds once it has joined.
const NODES_FILE: &str = "agent/certificates/swarm-node.crt";
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
    /// Waits for a session with the manager.
    pub(super) async fn write_when_attached(self, mut status: watch::Receiver<AgentStatus>) {
        if status.wait_for(|status| status.attached).await.is_err() {
            return;
        }
        if let Err(error) = write(&self.path, &self.address) {
            let path = self.path.display();
            tracing::warn!("{path}: {error}: the next start needs --join again");
        }
    }
}

/// The manager that this machine follows, if it is a worker: the one asked for, or that of an
/// earlier start.
pub(super) fn manager_of(
    state: &StateDir,
    join: Option<&JoinSettings>,
) -> Result<Option<JoinedCluster>> {
    let path = state.path().join(JOINED_FILE);
    let Some(join) = join else {
        let Some(address) = read(&path)? else { return founds(state).map(|()| None) };
        tracing::info!(manager = %address, "this machine is a worker; it joined here");
        return Ok(Some(JoinedCluster { address, token: None, moved: None }));
    };
    if state.path().join(MANAGERS_FILE).exists() {
        let message = format!(
            "state folder {} is a manager's: a machine joins another cluster from an empty folder",
            state.path().display()
        );
        let hint = "choose another --state-dir, or move that folder away; leave --join out to start the manager";
        return Err(Advice::new(message, hint).into());
    }
    let (address, token) = (join.manager.clone(), join.token.clone());
    // One that has not joined yet goes on with that at a later start; a member may have been given
    // a wrong address.
    if !state.path().join(NODES_FILE).exists() {
        write(&path, &address).with_context(|| path.display().to_string())?;
        return Ok(Some(JoinedCluster { address, token, moved: None }));
    }
    let is_known = read(&path).ok().flatten().as_ref() == Some(&address);
    let moved = (!is_known).then(|| MovedAddress { path, address: address.clone() });
    Ok(Some(JoinedCluster { address, token, moved }))
}

/// The address that an earlier start wrote down.
fn read(path: &Path) -> Result<Option<String>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    let address = text.trim();
    if address
        .rsplit_once(':')
        .is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err())
    {
        let message = format!("{} does not hold HOST:PORT of a manager", path.display());
        let hint = "start it with `skep daemon --join HOST:PORT`, which writes it anew";
        return Err(Advice::new(message, hint).into());
    }
    Ok(Some(address.to_owned()))
}

/// Refuses to found a cluster in the folder of a node of another one.
fn founds(state: &StateDir) -> Result<()> {
    let is_node = state.path().join(NODES_FILE).exists();
    if is_node && !state.path().join(MANAGERS_FILE).exists() {
        let message =
            format!("state folder {} is of a worker that has joined", state.path().display());
        let hint = "start it with `skep daemon --join HOST:PORT` of its manager, or as before with \
                    `skep agent`; a cluster is founded in an empty folder";
        return Err(Advice::new(message, hint).into());
    }
    Ok(())
}

fn write(path: &Path, address: &str) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    fs::write(&unfinished, format!("{address}\n"))?;
    fs::File::open(&unfinished)?.sync_all()?;
    fs::rename(&unfinished, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(manager: &str) -> JoinSettings {
        JoinSettings { manager: manager.into(), token: None }
    }

    #[test]
    fn a_worker_stays_one_at_a_start_without_a_word_of_it() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let state = StateDir::hold(&dir.path().join("state")).expect("it is held");
        assert_eq!(manager_of(&state, None).expect("nothing is there"), None);
        for address in ["m1:2377", "m2:2377"] {
            let follows = Some(JoinedCluster { address: address.into(), token: None, moved: None });
            assert_eq!(manager_of(&state, Some(&asked(address))).expect("it joins"), follows);
            assert_eq!(manager_of(&state, None).expect("it has joined"), follows);
        }
    }

    #[tokio::test]
    async fn a_members_other_manager_is_written_down_when_it_has_answered() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let state = StateDir::hold(&dir.path().join("state")).expect("it is held");
        manager_of(&state, Some(&asked("m1:2377"))).expect("it joins");
        let certificate = state.path().join(NODES_FILE);
        fs::create_dir_all(certificate.parent().expect("a folder")).expect("room for it");
        fs::write(&certificate, "x").expect("room for it");
        let address = || manager_of(&state, None).expect("it has joined").map(|it| it.address);
        let moved = manager_of(&state, Some(&asked("m2:2377"))).expect("it follows");
        let moved = moved.and_then(|joined| joined.moved).expect("it is not written down yet");
        assert_eq!(address().as_deref(), Some("m1:2377"));
        let status = watch::Sender::new(AgentStatus::default());
        let writing = tokio::spawn(moved.write_when_attached(status.subscribe()));
        tokio::task::yield_now().await;
        assert_eq!(address().as_deref(), Some("m1:2377"));
        status.send_modify(|status| status.attached = true);
        writing.await.expect("it ends");
        assert_eq!(address().as_deref(), Some("m2:2377"));
    }

    #[test]
    fn a_file_that_names_no_manager_is_told() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let state = StateDir::hold(&dir.path().join("state")).expect("it is held");
        for text in ["", "m1", ":2377", "m1:port"] {
            fs::write(state.path().join(JOINED_FILE), text).expect("room for it");
            let error = manager_of(&state, None).expect_err("it is no address").to_string();
            assert!(error.ends_with("joined does not hold HOST:PORT of a manager"), "{error}");
        }
    }

    #[test]
    fn nobody_founds_a_cluster_in_the_folder_of_a_worker() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let state = StateDir::hold(&dir.path().join("state")).expect("it is held");
        let certificate = state.path().join(NODES_FILE);
        fs::create_dir_all(certificate.parent().expect("a folder")).expect("room for it");
        fs::write(&certificate, "x").expect("room for it");
        let error = manager_of(&state, None).expect_err("it is a worker's");
        assert!(error.to_string().contains("is of a worker that has joined"), "{error}");
        fs::write(state.path().join(MANAGERS_FILE), "x").expect("room for it");
        assert_eq!(manager_of(&state, None).expect("it is a manager's own agent's"), None);
    }

    #[test]
    fn a_managers_folder_joins_nobody_else() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let state = StateDir::hold(&dir.path().join("state")).expect("it is held");
        fs::write(state.path().join(MANAGERS_FILE), "x").expect("room for it");
        let error = manager_of(&state, Some(&asked("m1:2377"))).expect_err("it is a manager's");
        assert!(error.to_string().contains("is a manager's"), "{error}");
        assert_eq!(manager_of(&state, None).expect("it is a manager's"), None);
    }
}
