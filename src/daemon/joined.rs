//! Which cluster a machine has joined as a worker: written down at its first start, so that a later
//! start without a word of it does not found a cluster of its own.

use super::{advice::Advice, settings::JoinSettings, state::StateDir};
use anyhow::{Context, Result};
use skep_agent::ManagerEndpoint;
use skep_trust::JoinToken;
use std::{fs, io};

/// Holds `HOST:PORT` of a manager.
const JOINED_FILE: &str = "joined";
/// What the folder of a node holds once it has joined.
const NODES_FILE: &str = "agent/certificates/swarm-node.crt";
/// What a manager's folder holds from its first start on.
const MANAGERS_FILE: &str = "manager-id";

/// The manager that this machine follows, if it is a worker: the one asked for, or that of an
/// earlier start.
pub(super) fn manager_of(
    state: &StateDir,
    join: Option<&JoinSettings>,
) -> Result<Option<(ManagerEndpoint, Option<JoinToken>)>> {
    let path = state.path().join(JOINED_FILE);
    let Some(join) = join else {
        return match fs::read_to_string(&path) {
            Ok(address) => {
                let address = address.trim().to_owned();
                tracing::info!(manager = %address, "this machine is a worker; it joined here");
                Ok(Some((ManagerEndpoint::Network(address), None)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => founds(state).map(|()| None),
            Err(error) => Err(error).with_context(|| path.display().to_string()),
        };
    };
    if state.path().join(MANAGERS_FILE).exists() {
        let message = format!(
            "state folder {} is a manager's: a machine joins another cluster from an empty folder",
            state.path().display()
        );
        let hint = "choose another --state-dir, or move that folder away; leave --join out to start the manager";
        return Err(Advice::new(message, hint).into());
    }
    write(&path, &join.manager).with_context(|| path.display().to_string())?;
    Ok(Some((ManagerEndpoint::Network(join.manager.clone()), join.token.clone())))
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

fn write(path: &std::path::Path, address: &str) -> io::Result<()> {
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
            let follows = Some((ManagerEndpoint::Network(address.into()), None));
            assert_eq!(manager_of(&state, Some(&asked(address))).expect("it joins"), follows);
            assert_eq!(manager_of(&state, None).expect("it has joined"), follows);
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
