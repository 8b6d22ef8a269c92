//! What a machine has written down that became a manager of a cluster which it did not found, and
//! what becomes of that when it is a manager no more.
//!
//! The number in raft and the log belong together: a log is never continued under another number,
//! nor a number with another log. So the number is written down before anything of a manager is
//! there, and what is left of an earlier life as a manager is moved aside first.

use super::{durable, joined, state::StateDir};
use anyhow::{Context, Result};
use skep_gateway::{
    door::{AddressError, DoorAddress},
    manager::ManagerPromotion,
};
use skep_proto::{Id, Lineage, Timestamp};
use std::{
    fs, io,
    net::{IpAddr, TcpListener, ToSocketAddrs, UdpSocket},
    path::{Path, PathBuf},
};

/// Number, lineage, cluster, addresses.
const PROMOTED_FILE: &str = "manager-joined";
/// What a manager's folder holds from its first start on.
const ID_FILE: &str = "manager-id";
/// What a manager has beside its agent.
const MANAGERS: [&str; 2] = ["log", "certificates"];
/// What the names of folders with a former manager's state begin with.
const DEMOTED: &str = "demoted-";

/// Where a machine listens once it is a manager, as somebody asked; empty where nobody did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct PortWish {
    pub(super) listen: String,
    pub(super) advertise: String,
}

impl PortWish {
    /// What an earlier request wrote down.
    pub(super) fn read(state: &StateDir) -> PortWish {
        let text = fs::read_to_string(state.path().join(joined::PORT_FILE)).unwrap_or_default();
        let mut lines = text.lines().map(str::to_owned);
        PortWish {
            listen: lines.next().unwrap_or_default(),
            advertise: lines.next().unwrap_or_default(),
        }
    }

    /// The addresses that a manager has had.
    pub(super) fn of(port: DoorAddress) -> PortWish {
        PortWish { listen: port.listen.to_string(), advertise: port.advertise.to_string() }
    }

    /// Writes it down, for the time when the machine is a manager.
    pub(super) fn write(&self, state: &StateDir) -> Result<()> {
        let path = state.path().join(joined::PORT_FILE);
        let text = format!("{}\n{}\n", self.listen, self.advertise);
        durable::replace(&path, &text).with_context(|| path.display().to_string())
    }

    /// Refuses what no machine can listen on or be reached at.
    pub(super) fn check(&self) -> Result<(), AddressError> {
        DoorAddress::choose_reached_at([127, 0, 0, 1].into(), &self.listen, &self.advertise)
            .map(drop)
    }

    /// The addresses for a machine that reaches its managers at this one. Refuses what can't be
    /// listened on now.
    pub(super) fn choose(&self, manager: &str) -> Result<DoorAddress> {
        let address = match own_address_toward(manager) {
            Some(own) => DoorAddress::choose_reached_at(own, &self.listen, &self.advertise)?,
            None => DoorAddress::choose(None, &self.listen, &self.advertise)?,
        };
        let listener = TcpListener::bind(address.listen);
        let listener = listener.with_context(|| format!("can't listen on {}", address.listen))?;
        Ok(address.with_port(listener.local_addr()?.port()))
    }
}

/// The address of this machine from which packets to another one leave. Nothing is sent.
fn own_address_toward(target: &str) -> Option<IpAddr> {
    let target = target.to_socket_addrs().ok()?.next()?;
    let any: IpAddr = if target.is_ipv4() { [0; 4].into() } else { [0u16; 8].into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(target).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|own| !own.is_unspecified())
}

/// Writes down that the machine is a manager from now on. What is left of an earlier life as one is
/// moved aside.
pub(super) fn promote(state: &StateDir, node: Id, manager: &ManagerPromotion) -> Result<()> {
    tidy(state)?;
    let path = state.path().join(PROMOTED_FILE);
    durable::replace(&path, &written(manager)).with_context(|| path.display().to_string())?;
    let path = state.path().join(ID_FILE);
    durable::replace(&path, &format!("{node}\n")).with_context(|| path.display().to_string())
}

/// Writes down that the machine is a worker from now on, which follows this manager.
pub(super) fn demote(state: &StateDir, manager: &str) -> Result<()> {
    joined::write_down(state, manager)?;
    let path = state.path().join(ID_FILE);
    match fs::remove_file(&path).and_then(|()| durable::sync_folder_of(&path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| path.display().to_string())
        }
        Ok(()) | Err(_) => tidy(state),
    }
}

/// Moves aside what a manager has left in the folder of a machine that is none. The authority's key
/// is for managers alone, so it is removed.
pub(super) fn tidy(state: &StateDir) -> Result<()> {
    let path = state.path();
    if path.join(ID_FILE).exists() {
        return Ok(());
    }
    let [log, certificates] = MANAGERS.map(|name| path.join(name));
    let tidied = || -> io::Result<()> {
        removed(fs::remove_dir_all(&certificates))?;
        removed(fs::remove_file(path.join(PROMOTED_FILE)))?;
        if log.exists() {
            let folder = free_folder(path);
            fs::create_dir(&folder)?;
            fs::rename(&log, folder.join("log"))?;
            durable::sync_folder_of(&folder.join("log"))?;
            tracing::info!(folder = %folder.display(), "the history of this machine's time as a manager lies here");
        }
        durable::sync_folder_of(&log)
    };
    tidied().with_context(|| path.display().to_string())
}

fn removed(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|error| {
        let is_gone = error.kind() == io::ErrorKind::NotFound;
        if is_gone { Ok(()) } else { Err(error) }
    })
}

fn free_folder(state: &Path) -> PathBuf {
    let Timestamp(now) = skep_gateway::clock::wall();
    let seconds = now / 1_000_000_000;
    let numbered = |number: u64| state.join(format!("{DEMOTED}{}", seconds + number));
    (0..).map(numbered).find(|path| !path.exists()).unwrap_or_else(|| numbered(0))
}

/// What was written down; none where this manager has founded its cluster.
pub(super) fn read(state: &StateDir) -> Result<Option<ManagerPromotion>> {
    let path = state.path().join(PROMOTED_FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    let read = parse(&text).with_context(|| {
        format!("{}: it does not say as which manager this machine has joined", path.display())
    });
    read.map(Some)
}

fn written(manager: &ManagerPromotion) -> String {
    let ManagerPromotion { raft_id, lineage, cluster, managers, port } = manager;
    let managers = managers.join(" ");
    format!(
        "number {raft_id}\nlineage {}\ncluster {cluster}\nlisten {}\nadvertise {}\nmanagers {managers}\n",
        lineage.0, port.listen, port.advertise
    )
}

fn parse(text: &str) -> Option<ManagerPromotion> {
    let field = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(' '));
        lines.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    Some(ManagerPromotion {
        raft_id: field("number")?.parse().ok()?,
        lineage: Lineage(field("lineage")?.parse().ok()?),
        cluster: Id::parse(field("cluster")?)?,
        managers: field("managers").unwrap_or_default().split(' ').map(str::to_owned).collect(),
        port: DoorAddress {
            listen: field("listen")?.parse().ok()?,
            advertise: field("advertise")?.parse().ok()?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager() -> ManagerPromotion {
        ManagerPromotion {
            raft_id: 4,
            lineage: Lineage(7),
            cluster: Id(9),
            managers: vec!["10.0.0.1:2377".into(), "10.0.0.2:2377".into()],
            port: DoorAddress {
                listen: ([0, 0, 0, 0], 2377).into(),
                advertise: ([10, 0, 0, 4], 2377).into(),
            },
        }
    }

    fn state() -> (tempfile::TempDir, StateDir) {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let state = StateDir::hold(&dir.path().join("state")).expect("it is held");
        (dir, state)
    }

    fn names(state: &StateDir) -> Vec<String> {
        let entries = fs::read_dir(state.path()).expect("a folder").flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_a_manager_joined_as_is_read_as_it_was_written() {
        let (_dir, state) = state();
        assert_eq!(read(&state).expect("nothing is there"), None);
        promote(&state, Id(5), &manager()).expect("there is room");
        assert_eq!(read(&state).expect("it was written"), Some(manager()));
        assert!(joined::is_manager(&state));
        fs::write(state.path().join(PROMOTED_FILE), "number x\n").expect("room for it");
        let error = read(&state).expect_err("it is no number").to_string();
        assert!(error.ends_with("as which manager this machine has joined"), "{error}");
    }

    #[test]
    fn a_manager_that_is_none_any_more_keeps_its_history_and_no_key() {
        let (_dir, state) = state();
        promote(&state, Id(5), &manager()).expect("there is room");
        for folder in MANAGERS {
            fs::create_dir(state.path().join(folder)).expect("room for it");
            fs::write(state.path().join(folder).join("file"), "x").expect("room for it");
        }
        demote(&state, "10.0.0.1:2377").expect("there is room");
        let names = names(&state);
        let [former, joined, lock] = &names[..] else { panic!("{names:?}") };
        assert!(former.starts_with(DEMOTED) && joined == "joined" && lock == "lock", "{names:?}");
        assert!(state.path().join(former).join("log/file").exists());
        assert!(joined::follows(&state) && !joined::is_manager(&state));
        demote(&state, "10.0.0.1:2377").expect("it is so already");
    }

    #[test]
    fn a_new_life_as_a_manager_begins_without_the_log_of_the_one_before() {
        let (_dir, state) = state();
        fs::create_dir(state.path().join("log")).expect("room for it");
        promote(&state, Id(5), &manager()).expect("there is room");
        assert!(!state.path().join("log").exists());
        fs::create_dir(state.path().join("log")).expect("room for it");
        tidy(&state).expect("nothing is to be done");
        assert!(state.path().join("log").exists(), "it is a manager's");
    }

    #[test]
    fn the_addresses_are_those_asked_for_or_the_one_toward_the_managers() {
        let (_dir, state) = state();
        assert_eq!(PortWish::read(&state), PortWish::default());
        let wish = PortWish { listen: "0.0.0.0:0".into(), advertise: String::new() };
        wish.write(&state).expect("there is room");
        assert_eq!(PortWish::read(&state), wish);
        let chosen = wish.choose("127.0.0.1:2377").expect("it is an address");
        assert_eq!(chosen.advertise.ip().to_string(), "127.0.0.1", "the one toward the manager");
        assert_ne!(chosen.listen.port(), 0);
        assert_eq!(chosen.advertise.port(), chosen.listen.port());
        let held = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let listen = held.local_addr().expect("it has one").to_string();
        let taken = PortWish { listen: listen.clone(), advertise: String::new() };
        let error = taken.choose("127.0.0.1:2377").expect_err("somebody listens there");
        assert_eq!(error.to_string(), format!("can't listen on {listen}"));
        for wrong in ["nowhere", "10.0.0.1:x"] {
            let wish = PortWish { listen: wrong.into(), advertise: String::new() };
            wish.check().expect_err("it is no address");
        }
    }
}
