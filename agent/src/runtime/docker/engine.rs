//! The connection to an engine, and what its errors mean to a task.
//!
//! It is made when it is first needed, and again after the engine was away: the API's version is
//! negotiated again then, since another version of the engine may answer. Each call has a limit,
//! since an engine that hangs must not hang the agent; a call that may last, as a pull does, ends
//! with the connection.

use super::{judgement::LiveRestore, start_health::CallReply};
use crate::runtime::RuntimeError;
use bollard::{
    API_DEFAULT_VERSION, ClientVersion, Docker, errors::Error,
    query_parameters::InspectNetworkOptions,
};
use skep_proto::{Timestamp, os_error};
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Longest that one call may take.
pub(super) const CALL_LIMIT: Duration = Duration::from_secs(20);
/// Longest that an engine may take to answer a ping, or to tell its version; then it counts as
/// away.
pub(super) const PROBE_LIMIT: Duration = Duration::from_secs(4);
/// For calls that answer when something has been done that may take any time: a pull, a stop with
/// its grace.
pub(super) const LONG_CALL_LIMIT: Duration = Duration::from_secs(365 * 24 * 3600);

/// One engine, by its address.
pub(super) struct Engine {
    host: String,
    connections: Mutex<Connections>,
}

/// The connection that counts, and the one before it: an engine whose containerd hangs tells
/// neither version nor facts, and both are mostly as they were.
#[derive(Default)]
struct Connections {
    now: Option<Connection>,
    before: Option<Connection>,
}

#[derive(Clone)]
struct Connection {
    client: Docker,
    about: EngineFacts,
    version: CallReply,
}

/// What an engine says about itself when it is connected to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct EngineFacts {
    /// Its containers outlive it.
    pub(super) live_restore: LiveRestore,
    /// Its own choice for containers that ask for no log driver; empty where it is not known.
    pub(super) log_driver: String,
    /// When it made its bridge, in nanoseconds since the Unix epoch: at its start.
    pub(super) bridge_since: Option<u64>,
}

impl Engine {
    pub(super) fn new(host: &str) -> Engine {
        Engine { host: host.to_owned(), connections: Mutex::default() }
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// A client for calls that answer at once.
    pub(super) async fn client(&self) -> Result<Docker, RuntimeError> {
        if let Some(connection) = self.connection() {
            return Ok(connection.client);
        }
        let client = self.connect(API_DEFAULT_VERSION).map_err(|error| self.say(&error))?;
        // Old engines refuse newer versions of the API than their own, new engines very old ones:
        // so it is asked once for each connection.
        let negotiated = tokio::time::timeout(PROBE_LIMIT, client.clone().negotiate_version());
        let connection = match negotiated.await {
            Ok(client) => {
                let client = client.map_err(|error| self.say(&error))?;
                let about = self.ask_facts(&client).await?;
                Connection { client, about, version: CallReply::InTime }
            }
            Err(_) => self.as_before(&client).await?,
        };
        let client = connection.client.clone();
        self.connections().now = Some(connection);
        Ok(client)
    }

    /// An engine that does not tell its version. One that answers a ping all the same only lacks
    /// its containerd: what was known of it is taken to hold.
    async fn as_before(&self, client: &Docker) -> Result<Connection, RuntimeError> {
        let seconds = PROBE_LIMIT.as_secs();
        let host = &self.host;
        match tokio::time::timeout(PROBE_LIMIT, client.ping()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(self.say(&error)),
            Err(_) => return Err(RuntimeError::Unreachable(self.silence(PROBE_LIMIT))),
        }
        let before = self.connections().before.clone().ok_or_else(|| {
            RuntimeError::Unreachable(format!(
                "the engine at {host} answers pings and did not tell its version within {seconds} s: \
                 containerd, which starts its containers, may not answer it"
            ))
        })?;
        let version = before.client.client_version();
        let client = self.connect(&version).map_err(|error| self.say(&error))?;
        Ok(Connection { client, version: CallReply::Missing, ..before })
    }

    async fn ask_facts(&self, client: &Docker) -> Result<EngineFacts, RuntimeError> {
        let info = within(client.info()).await.map_err(|error| self.say(&error))?;
        let bridge =
            within(client.inspect_network("bridge", None::<InspectNetworkOptions>)).await.ok();
        Ok(EngineFacts {
            live_restore: match info.live_restore_enabled {
                Some(true) => LiveRestore::On,
                Some(false) | None => LiveRestore::Off,
            },
            log_driver: info.logging_driver.unwrap_or_default(),
            bridge_since: bridge
                .and_then(|bridge| bridge.created)
                .and_then(|at| Timestamp::parse(&at))
                .map(|at| at.0),
        })
    }

    /// The next call connects again.
    pub(super) fn forget(&self) {
        let mut connections = self.connections();
        if let Some(connection) = connections.now.take() {
            connections.before = Some(connection);
        }
    }

    /// What the engine said about itself when it was connected to last.
    pub(super) fn about(&self) -> EngineFacts {
        self.connection().map(|connection| connection.about).unwrap_or_default()
    }

    /// Whether the engine told its version when it was connected to last.
    pub(super) fn told_version(&self) -> CallReply {
        self.connection().map_or(CallReply::Missing, |connection| connection.version)
    }

    fn connection(&self) -> Option<Connection> {
        self.connections().now.clone()
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// That it did not answer within this time, for people.
    pub(super) fn silence(&self, limit: Duration) -> String {
        format!("the engine at {} did not answer within {} s", self.host, limit.as_secs())
    }

    /// A client for calls that may last.
    pub(super) async fn patient_client(&self) -> Result<Docker, RuntimeError> {
        Ok(self.client().await?.with_timeout(LONG_CALL_LIMIT))
    }

    fn connect(&self, version: &ClientVersion) -> Result<Docker, Error> {
        let limit = CALL_LIMIT.as_secs();
        match self.host.split_once("://") {
            Some(("tcp" | "http", _)) => Docker::connect_with_http(&self.host, limit, version),
            Some(_) | None => Docker::connect_with_unix(&self.host, limit, version),
        }
    }

    /// The engine's error as an error of the task. The caller says what 404 and 409 mean to it
    /// before asking here.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "an error that the engine did not say is the way to it, whatever the client library calls it"
    )]
    pub(super) fn say(&self, error: &Error) -> RuntimeError {
        match error {
            Error::DockerResponseServerError { status_code: 503, message } => {
                RuntimeError::Unreachable(format!("the engine at {} is busy: {message}", self.host))
            }
            // The engine was replaced by one of another version since it was connected to.
            Error::DockerResponseServerError { status_code: 400, message }
                if message.contains("client version") =>
            {
                self.forget();
                RuntimeError::Unreachable(format!("the engine at {}: {message}", self.host))
            }
            Error::DockerResponseServerError { status_code, message } if *status_code < 500 => {
                RuntimeError::Rejected(message.clone())
            }
            Error::DockerResponseServerError { message, .. } => {
                RuntimeError::Failed(message.clone())
            }
            Error::DockerStreamError { error } => RuntimeError::Failed(error.clone()),
            Error::RequestTimeoutError => RuntimeError::Unreachable(self.silence(CALL_LIMIT)),
            Error::JsonDataError { message, .. } => RuntimeError::Failed(format!(
                "the answer of the engine at {} is malformed: {message}",
                self.host
            )),
            other => RuntimeError::Unreachable(format!(
                "cannot reach the engine at {}: {}",
                self.host,
                root_of(other)
            )),
        }
    }
}

/// Whether the engine answered with this status.
pub(super) fn is_status(error: &Error, status: u16) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code, .. } if *status_code == status)
}

/// Whether the engine answered the call in time; none where the call never reached it.
pub(super) fn reply_to<T>(called: &Result<T, Error>) -> Option<CallReply> {
    match called {
        Ok(_) | Err(Error::DockerResponseServerError { .. }) => Some(CallReply::InTime),
        Err(Error::RequestTimeoutError) => Some(CallReply::Missing),
        // Whatever the client library calls it, it is on the way to the engine.
        Err(_) => None,
    }
}

/// The call's result, or that it took too long. The client limits only the wait for the answer's
/// beginning.
pub(super) async fn within<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(CALL_LIMIT, call).await.unwrap_or(Err(Error::RequestTimeoutError))
}

/// The innermost reason, which is what the kernel said: the layers above it say only which library
/// heard it.
fn root_of(error: &Error) -> String {
    let mut root: &dyn std::error::Error = error;
    while let Some(source) = root.source() {
        root = source;
    }
    os_error::message(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_engine_that_is_not_there_is_told_in_the_kernels_words_and_no_librarys() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("engine.sock");
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        let host = format!("unix://{}", socket.display());
        let error = Engine::new(&host).client().await.expect_err("nobody listens");
        let expected = format!("cannot reach the engine at {host}: connection refused");
        assert_eq!(error, RuntimeError::Unreachable(expected));
    }
}
