//! Who is at the other end of a connection.
//!
//! Of the local socket the kernel says it, once when the connection is made: user, the user who
//! logged in (behind sudo or su), and process. They become the author of every record the
//! connection causes. Of an agent its certificate says it.

use skep_proto::v1::{Author, Person, author::Who};
use skep_trust::NodeCertificate;
use std::{fs, io, net::SocketAddr};
use tokio::net::UnixStream;

/// The kernel's login uid for processes that no login started.
const LOGIN_UID_UNSET: u32 = u32::MAX;

/// Where a connection comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum PeerOrigin {
    /// The local socket.
    Local(SocketPeer),
    /// The network.
    Network(SocketAddr),
}

/// The other end of a connection.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionPeer {
    /// Where it comes from.
    pub origin: PeerOrigin,
    /// Whether it speaks in the clear, which is possible on the local socket alone.
    pub channel: PeerChannel,
}

/// How a connection is protected.
#[derive(Clone, Debug, PartialEq)]
pub enum PeerChannel {
    /// Not at all: the kernel is believed.
    Clear,
    /// TLS, with the certificate that the other end has shown, if it has one. It is one of the
    /// cluster's; whether it is still valid and of a node that counts is not said by that.
    Tls(Option<Box<NodeCertificate>>),
}

impl ConnectionPeer {
    /// The certificate that it has shown.
    pub fn certificate(&self) -> Option<&NodeCertificate> {
        match &self.channel {
            PeerChannel::Tls(certificate) => certificate.as_deref(),
            PeerChannel::Clear => None,
        }
    }

    /// The person on the local socket.
    pub fn person(&self) -> Option<&SocketPeer> {
        match (&self.origin, &self.channel) {
            (PeerOrigin::Local(peer), PeerChannel::Clear) => Some(peer),
            (PeerOrigin::Local(_) | PeerOrigin::Network(_), _) => None,
        }
    }
}

/// The other end of a connection to the local socket.
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
