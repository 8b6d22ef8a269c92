//! A door of the manager: takes connections, bounded in number, and closes those that say nothing.
//!
//! Whoever opens connections without end must not cost others theirs, nor the manager its file
//! descriptors. So a door has so many places, one process may hold half of them at most, and the
//! manager's own agent has places that nobody else can take. A connection for which there is no
//! place is told so and closed at once.

mod guarded;
mod places;
#[cfg(test)]
mod tests;

use crate::peer::PeerStream;
use futures::{Stream, stream};
use guarded::{Guarded, Patience};
use places::{Entry, Turning};
pub use places::{Limits, Places};
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
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// A door's places, shared with those who show how full it is.
#[derive(Clone)]
pub struct Door {
    name: &'static str,
    patience: Patience,
    places: Arc<Mutex<Places>>,
}

/// One place, given back when the connection ends.
pub(super) struct Place {
    door: Door,
    process: i32,
}

impl Drop for Place {
    fn drop(&mut self) {
        let turning = self.door.with(|places| places.leave(self.process, std::process::id()));
        self.door.tell(turning);
    }
}

impl Door {
    /// A door with these limits.
    pub fn new(name: &'static str, limits: Limits) -> Door {
        Door {
            name,
            patience: Patience::default(),
            places: Arc::new(Mutex::new(Places::new(limits))),
        }
    }

    /// How full it is, and how many were sent away.
    pub fn look(&self) -> (u32, u32, u64) {
        self.with(|places| (places.open(), places.limit(), places.refused()))
    }

    /// Whether connections are being sent away now.
    pub fn is_refusing(&self) -> bool {
        self.with(|places| places.is_refusing())
    }

    fn with<T>(&self, look: impl FnOnce(&mut Places) -> T) -> T {
        look(&mut self.places.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Once when connections begin to be refused, and once when that is over.
    fn tell(&self, turning: Option<Turning>) {
        let (open, limit, refused) = self.look();
        match turning {
            None => {}
            Some(Turning::Full) => tracing::warn!(
                door = self.name,
                open,
                limit,
                "too many connections: new ones are told so and closed"
            ),
            Some(Turning::Over) => {
                tracing::info!(door = self.name, open, refused, "connections are taken again");
            }
        }
    }

    fn enter(&self, process: i32) -> Result<Place, u32> {
        let (entry, turning) = self.with(|places| places.enter(process, std::process::id()));
        self.tell(turning);
        match entry {
            Entry::Taken => Ok(Place { door: self.clone(), process }),
            Entry::Refused => Err(self.look().1),
        }
    }

    /// The connections that come through a local socket.
    pub(super) fn local(
        self,
        listener: UnixListener,
    ) -> impl Stream<Item = Result<Guarded<PeerStream, Place>, Infallible>> {
        stream::unfold(
            (self, listener, Accepting::default()),
            |(door, listener, mut accepting)| async move {
                loop {
                    let accepted = accepting.judge(&door, listener.accept().await).await;
                    if let Some(guarded) =
                        accepted.and_then(|(stream, _)| guard_local(&door, stream))
                    {
                        return Some((Ok(guarded), (door, listener, accepting)));
                    }
                }
            },
        )
    }

    /// The connections that come over the network. Each counts as of a process of its own.
    pub(super) fn network(
        self,
        listener: TcpListener,
    ) -> impl Stream<Item = Result<Guarded<TcpStream, Place>, Infallible>> {
        stream::unfold(
            (self, listener, Accepting::default()),
            |(door, listener, mut accepting)| async move {
                loop {
                    let accepted = accepting.judge(&door, listener.accept().await).await;
                    let Some((stream, peer)) = accepted else { continue };
                    // Negative: no process has such a number.
                    let whose = i32::from(peer.port()) - i32::from(u16::MAX) - 1;
                    if let Ok(place) = door.enter(whose) {
                        return Some((
                            Ok(Guarded::new(stream, place, door.patience)),
                            (door, listener, accepting),
                        ));
                    }
                }
            },
        )
    }
}

fn guard_local(door: &Door, stream: UnixStream) -> Option<Guarded<PeerStream, Place>> {
    let process = stream.peer_cred().ok().and_then(|cred| cred.pid()).unwrap_or(0);
    match door.enter(process) {
        Ok(place) => {
            PeerStream::new(stream).ok().map(|stream| Guarded::new(stream, place, door.patience))
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
    /// The connection, if there is one. An error is told once and waited out, since the next try
    /// would fail alike.
    async fn judge<T>(&mut self, door: &Door, accepted: io::Result<T>) -> Option<T> {
        match (accepted, *self) {
            (Ok(connection), Accepting::Works) => Some(connection),
            (Ok(connection), Accepting::Fails) => {
                *self = Accepting::Works;
                tracing::info!(door = door.name, "the system takes connections again");
                Some(connection)
            }
            // The other end has gone already; that says nothing about the next one.
            (Err(error), _) if error.kind() == io::ErrorKind::ConnectionAborted => None,
            (Err(error), before) => {
                if before == Accepting::Works {
                    tracing::warn!(door = door.name, %error, "no connection can be taken; trying again");
                }
                *self = Accepting::Fails;
                sleep(ACCEPT_PAUSE).await;
                None
            }
        }
    }
}

/// What HTTP/2 says to one that is sent away: settings, and GOAWAY with ENHANCE_YOUR_CALM and a
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
