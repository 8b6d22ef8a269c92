//! How many connections a socket may have, and how long they may say nothing.
//!
//! A client that opens connections without end must not cost others theirs, nor the manager its
//! file descriptors. So the number is limited, one process may hold half of it at most, and some
//! connections are reserved for the manager's own agent.

mod counts;

use counts::{Admission, LimitChange};
pub use counts::{ConnectionCounts, ConnectionLimits};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// A connection that has sent less than a greeting by this time is closed.
const GREETING_LIMIT: Duration = Duration::from_secs(10);
/// A connection from which nothing came for so long is closed.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);

/// The connections of the local socket: as many as descriptors allow.
pub fn of_local_socket() -> ConnectionLimiter {
    let limits = ConnectionLimits::for_descriptors(descriptors_max());
    ConnectionLimiter::new("control", limits)
}

/// Those of the port for other machines. The other half of the descriptors is the local socket's
/// and the log's.
pub(crate) fn of_network() -> ConnectionLimiter {
    let limits = ConnectionLimits::for_descriptors(descriptors_max() / 2);
    ConnectionLimiter::new("network", limits)
}

/// How many descriptors this process may have; little where the system does not say.
fn descriptors_max() -> u64 {
    nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)
        .map_or(256, |(soft, _)| soft)
}

/// How long a connection may say nothing.
#[derive(Clone, Copy)]
pub(crate) struct SilenceLimits {
    pub greeting: Duration,
    pub silence: Duration,
}

impl Default for SilenceLimits {
    fn default() -> SilenceLimits {
        SilenceLimits { greeting: GREETING_LIMIT, silence: SILENCE_LIMIT }
    }
}

/// The connections of one socket: how many are open and how many may be. Its clones share the
/// counts.
#[derive(Clone)]
pub struct ConnectionLimiter {
    name: &'static str,
    silence: SilenceLimits,
    connections: Arc<Mutex<ConnectionCounts>>,
}

/// One open connection; it is counted until this is dropped.
pub(crate) struct OpenConnection {
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
            silence: SilenceLimits::default(),
            connections: Arc::new(Mutex::new(ConnectionCounts::new(limits))),
        }
    }

    /// The same with other limits of silence.
    #[cfg(test)]
    pub(crate) fn with_silence(self, silence: SilenceLimits) -> ConnectionLimiter {
        ConnectionLimiter { silence, ..self }
    }

    /// The socket's name, for the log.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// How long its connections may say nothing.
    pub(crate) fn silence(&self) -> SilenceLimits {
        self.silence
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

    /// One more connection of this process, or the limit that it would exceed.
    pub(crate) fn enter(&self, process: i32) -> Result<OpenConnection, u32> {
        let (entry, turning) =
            self.with(|connections| connections.enter(process, std::process::id()));
        self.tell(turning);
        match entry {
            Admission::Taken => Ok(OpenConnection { limiter: self.clone(), process }),
            Admission::Refused => Err(self.look().1),
        }
    }
}
