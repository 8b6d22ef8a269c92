//! Who is at the other end of the local socket, as the kernel vouches for them.
//!
//! Read once when the connection is made: user, the user who logged in (behind sudo or su), and
//! process. They become the author of every record the connection causes.

use skep_proto::v1::{Author, Person, author::Who};
use std::{fs, io};
use tokio::net::UnixStream;

/// The kernel's login uid for processes that no login started.
const LOGIN_UID_UNSET: u32 = u32::MAX;

/// A connection's other end.
#[derive(Clone, Debug, PartialEq)]
pub struct SocketPeer {
    /// The person.
    pub person: Person,
}

impl SocketPeer {
    /// As the author of records.
    pub fn author(&self) -> Author {
        Author { who: Some(Who::Person(self.person.clone())) }
    }

    /// Whether it is this very process: the manager's own agent.
    pub fn is_this_process(&self) -> bool {
        u32::try_from(self.person.pid).is_ok_and(|pid| pid == std::process::id())
    }

    /// Asks the kernel who connected.
    pub fn of(stream: &UnixStream) -> io::Result<SocketPeer> {
        let cred = stream.peer_cred()?;
        let pid = cred.pid().unwrap_or(0);
        let name =
            nix::unistd::User::from_uid(cred.uid().into()).ok().flatten().map(|user| user.name);
        let person = Person {
            uid: cred.uid(),
            login_uid: login_uid(pid),
            pid,
            name: name.unwrap_or_default(),
        };
        Ok(SocketPeer { person })
    }
}

fn login_uid(pid: i32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/loginuid")).ok()?;
    text.trim().parse().ok().filter(|uid| *uid != LOGIN_UID_UNSET)
}
