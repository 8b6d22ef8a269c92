//! Accepting connections, bounded in number. Those that say nothing are closed.
//!
//! A client that opens connections without end must not cost others theirs, nor the manager its
//! file descriptors. So the number is limited, one process may hold half of it at most, and some
//! connections are reserved for the manager's own agent. A connection above the limit gets a
//! message and is closed at once.

mod connections;
mod guarded;
#[cfg(test)]
mod tests;

use crate::{local_stream::LocalStream, peer::SocketPeer};
use connections::{Admission, LimitChange};
pub use connections::{ConnectionCounts, ConnectionLimits};
use futures::{Stream, stream};
use guarded::{Guarded, SilenceLimits};
use std::{
    convert::Infallible,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    time::sleep,
};

/// Pause after the system refused to take a connection for want of descriptors or memory.
const ACCEPT_DELAY: Duration = Duration::from_millis(200);

/// The connections of one socket: how many are open and how many may be. Its clones share the
/// counts.
#[derive(Clone)]
pub struct ConnectionLimiter {
    name: &'static str,
    patience: SilenceLimits,
    connections: Arc<Mutex<ConnectionCounts>>,
}

/// One open connection; it is counted until this is dropped.
pub(super) struct OpenConnection {
    limiter: ConnectionLimiter,
    process: i32,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let turning =
            self.limiter.with(|connections| connections.leave(self.process, std::process::id()));
        self.limiter.tell(turning);
    }
}

impl ConnectionLimiter {
    /// No connection is open yet.
    pub fn new(name: &'static str, limits: ConnectionLimits) -> ConnectionLimiter {
        ConnectionLimiter {
            name,
            patience: SilenceLimits::default(),
            connections: Arc::new(Mutex::new(ConnectionCounts::new(limits))),
        }
    }

    /// How many are open, how many may be, and how many were refused.
    pub fn look(&self) -> (u32, u32, u64) {
        self.with(|connections| (connections.open(), connections.limit(), connections.refused()))
    }

    /// Whether connections are refused now.
    pub fn is_refusing(&self) -> bool {
        self.with(|connections| connections.is_refusing())
    }

    fn with<T>(&self, look: impl FnOnce(&mut ConnectionCounts) -> T) -> T {
        look(&mut self.connections.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Once when connections begin to be refused, and once when that is over.
    fn tell(&self, turning: Option<LimitChange>) {
        let (open, limit, refused) = self.look();
        match turning {
            None => {}
            Some(LimitChange::Full) => tracing::warn!(
                socket = self.name,
                open,
                limit,
                "too many connections: new ones are told so and closed"
            ),
            Some(LimitChange::Over) => {
                tracing::info!(socket = self.name, open, refused, "connections are taken again");
            }
        }
    }

    fn enter(&self, process: i32) -> Result<OpenConnection, u32> {
        let (entry, turning) =
            self.with(|connections| connections.enter(process, std::process::id()));
        self.tell(turning);
        match entry {
            Admission::Taken => Ok(OpenConnection { limiter: self.clone(), process }),
            Admission::Refused => Err(self.look().1),
        }
    }

    /// The connections that come through a local socket.
    pub(super) fn local(
        self,
        listener: UnixListener,
    ) -> impl Stream<Item = Result<Guarded<LocalStream, SocketPeer, OpenConnection>, Infallible>>
    {
        stream::unfold(
            (self, listener, Accepting::default()),
            |(limiter, listener, mut accepting)| async move {
                loop {
                    let accepted = accepting.judge(&limiter, listener.accept().await).await;
                    if let Some(guarded) =
                        accepted.and_then(|(stream, _)| guard_local(&limiter, stream))
                    {
                        return Some((Ok(guarded), (limiter, listener, accepting)));
                    }
                }
            },
        )
    }

    /// The connections that come over the network. Each counts as of a process of its own.
    pub(super) fn network(
        self,
        listener: TcpListener,
    ) -> impl Stream<Item = Result<Guarded<TcpStream, (), OpenConnection>, Infallible>> {
        stream::unfold(
            (self, listener, Accepting::default()),
            |(limiter, listener, mut accepting)| async move {
                loop {
                    let accepted = accepting.judge(&limiter, listener.accept().await).await;
                    let Some((stream, peer)) = accepted else { continue };
                    // Negative: no process has such a number.
                    let whose = i32::from(peer.port()) - i32::from(u16::MAX) - 1;
                    if let Ok(connection) = limiter.enter(whose) {
                        return Some((
                            Ok(Guarded::new(stream, (), connection, limiter.patience)),
                            (limiter, listener, accepting),
                        ));
                    }
                }
            },
        )
    }
}

fn guard_local(
    limiter: &ConnectionLimiter,
    stream: UnixStream,
) -> Option<Guarded<LocalStream, SocketPeer, OpenConnection>> {
    let process = stream.peer_cred().ok().and_then(|cred| cred.pid()).unwrap_or(0);
    match limiter.enter(process) {
        Ok(connection) => {
            let peer = SocketPeer::of(&stream).ok()?;
            let stream = LocalStream::new(stream).ok()?;
            Some(Guarded::new(stream, peer, connection, limiter.patience))
        }
        Err(limit) => {
            let message = format!("the manager has too many connections; its limit is {limit}");
            // It may not read; then it learns from the end alone.
            stream.try_write(&farewell(&message)).ok();
            None
        }
    }
}

/// Whether the system takes connections.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Accepting {
    #[default]
    Works,
    Fails,
}

impl Accepting {
    /// The connection, if there is one. An error is logged once and waited out, since the next
    /// attempt would fail in the same way.
    async fn judge<T>(
        &mut self,
        limiter: &ConnectionLimiter,
        accepted: io::Result<T>,
    ) -> Option<T> {
        match (accepted, *self) {
            (Ok(connection), Accepting::Works) => Some(connection),
            (Ok(connection), Accepting::Fails) => {
                *self = Accepting::Works;
                tracing::info!(socket = limiter.name, "the system takes connections again");
                Some(connection)
            }
            // The other end has gone already; the next connection may be fine.
            (Err(error), _) if error.kind() == io::ErrorKind::ConnectionAborted => None,
            (Err(error), before) => {
                if before == Accepting::Works {
                    tracing::warn!(socket = limiter.name, %error, "no connection can be taken; trying again");
                }
                *self = Accepting::Fails;
                sleep(ACCEPT_DELAY).await;
                None
            }
        }
    }
}

/// The bytes of HTTP/2 that refuse a connection: settings, and GOAWAY with ENHANCE_YOUR_CALM and a
/// message.
fn farewell(message: &str) -> Vec<u8> {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const ENHANCE_YOUR_CALM: u32 = 0xb;
    let length = u32::try_from(8 + message.len()).unwrap_or(8).to_be_bytes();
    let mut frames = SETTINGS.to_vec();
    frames.extend_from_slice(&[length[1], length[2], length[3], 7, 0, 0, 0, 0, 0]);
    frames.extend_from_slice(&0_u32.to_be_bytes());
    frames.extend_from_slice(&ENHANCE_YOUR_CALM.to_be_bytes());
    frames.extend_from_slice(message.as_bytes());
    frames
}
