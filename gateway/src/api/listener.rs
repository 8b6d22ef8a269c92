//! Accepting connections, up to the limits of [`crate::connections`]. Those that say nothing are
//! closed.
//!
//! A connection above the limit gets a message and is closed at once.

mod guarded;
#[cfg(test)]
mod tests;

use crate::{
    connections::{ConnectionLimiter, OpenConnection},
    local_stream::LocalStream,
    peer::SocketPeer,
};
use futures::{Stream, stream};
use guarded::Guarded;
use std::{convert::Infallible, io, net, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    time::sleep,
};

/// Pause after the system refused to take a connection for lack of descriptors or memory.
const ACCEPT_DELAY: Duration = Duration::from_millis(200);

impl ConnectionLimiter {
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

    /// The connections that come over the network. Those of one address count as of one process.
    pub(super) fn network(
        self,
        listener: TcpListener,
    ) -> impl Stream<Item = Result<Guarded<TcpStream, net::SocketAddr, OpenConnection>, Infallible>>
    {
        stream::unfold(
            (self, listener, Accepting::default()),
            |(limiter, listener, mut accepting)| async move {
                loop {
                    let accepted = accepting.judge(&limiter, listener.accept().await).await;
                    let Some((stream, peer)) = accepted else { continue };
                    let whose = number_of(peer.ip());
                    // Messages are short and their sender waits for the answer.
                    stream.set_nodelay(true).ok();
                    if let Ok(connection) = limiter.enter(whose) {
                        return Some((
                            Ok(Guarded::new(stream, peer, connection, limiter.silence())),
                            (limiter, listener, accepting),
                        ));
                    }
                }
            },
        )
    }
}

/// A number for the address, which no process has: it is negative. Addresses of one IPv6 network
/// may all be of one machine.
fn number_of(address: net::IpAddr) -> i32 {
    let bytes = match address {
        net::IpAddr::V4(v4) => u64::from(u32::from(v4)),
        net::IpAddr::V6(v6) => (u128::from(v6) >> 64) as u64,
    };
    let mixed = bytes.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
    -1 - i32::try_from(mixed).unwrap_or_default()
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
            Some(Guarded::new(stream, peer, connection, limiter.silence()))
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
                tracing::info!(socket = limiter.name(), "the system takes connections again");
                Some(connection)
            }
            // The other end has gone already; the next connection may be fine.
            (Err(error), _) if error.kind() == io::ErrorKind::ConnectionAborted => None,
            (Err(error), before) => {
                if before == Accepting::Works {
                    tracing::warn!(socket = limiter.name(), %error, "no connection can be taken; trying again");
                }
                *self = Accepting::Fails;
                sleep(ACCEPT_DELAY).await;
                None
            }
        }
    }
}

/// The bytes of HTTP/2 that refuse a connection: empty settings, and GOAWAY with ENHANCE_YOUR_CALM
/// and a message. A client that looks knows by the empty settings that a message follows.
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
