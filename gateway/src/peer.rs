//! Who is at the other end of the local socket, as the kernel vouches for them.
//!
//! Read once when the connection is made: user, the user who logged in (behind sudo or su), and
//! process. They become the author of every record the connection causes.

use skep_proto::v1::{Author, Person, author::Who};
use std::{
    fs,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{self, AsyncRead, AsyncWrite, ReadBuf},
    net::UnixStream,
};
use tonic::transport::server::Connected;

/// What the kernel writes where nobody logged in.
const LOGIN_UID_UNSET: u32 = u32::MAX;

/// A connection's other end.
#[derive(Clone, Debug, PartialEq)]
pub struct Peer {
    /// The person.
    pub person: Person,
}

impl Peer {
    /// As the author of records.
    pub fn author(&self) -> Author {
        Author { who: Some(Who::Person(self.person.clone())) }
    }

    /// Whether it is this very process: the manager's own agent.
    pub fn is_this_process(&self) -> bool {
        u32::try_from(self.person.pid).is_ok_and(|pid| pid == std::process::id())
    }
}

/// A local connection that remembers its peer.
pub struct PeerStream {
    stream: UnixStream,
    peer: Peer,
}

impl PeerStream {
    /// Asks the kernel who connected.
    pub fn new(stream: UnixStream) -> io::Result<PeerStream> {
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
        Ok(PeerStream { stream, peer: Peer { person } })
    }
}

fn login_uid(pid: i32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/loginuid")).ok()?;
    text.trim().parse().ok().filter(|uid| *uid != LOGIN_UID_UNSET)
}

impl Connected for PeerStream {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
