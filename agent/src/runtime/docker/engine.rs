//! The connection to an engine, and what its errors mean to a task.
//!
//! It is made when it is first needed and made again when it breaks: an engine that is away is an engine that
//! is waited for. Each call has a limit, since an engine that hangs must not hang the agent; calls that last
//! as long as a container does have none of their own and end with the connection.

use crate::runtime::RuntimeError;
use bollard::{API_DEFAULT_VERSION, Docker, errors::Error};
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Longest that one call may take.
pub(super) const CALL_LIMIT: Duration = Duration::from_secs(20);
/// For calls that answer when something has been done that may take any time: a pull, a stop with its grace.
const LONG_CALL_LIMIT: Duration = Duration::from_secs(365 * 24 * 3600);

/// One engine, by its address.
pub(super) struct Engine {
    host: String,
    client: Mutex<Option<Docker>>,
}

impl Engine {
    pub(super) fn new(host: &str) -> Engine {
        Engine { host: host.to_owned(), client: Mutex::default() }
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// A client for calls that answer at once.
    pub(super) async fn client(&self) -> Result<Docker, RuntimeError> {
        if let Some(client) = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Ok(client);
        }
        let client = self.connect().map_err(|error| self.say(&error))?;
        // Old engines refuse newer versions of the API than their own, new engines very old ones: so it is
        // asked once.
        let client = within(client.negotiate_version()).await.map_err(|error| self.say(&error))?;
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = Some(client.clone());
        Ok(client)
    }

    /// A client for calls that may last.
    pub(super) async fn patient_client(&self) -> Result<Docker, RuntimeError> {
        Ok(self.client().await?.with_timeout(LONG_CALL_LIMIT))
    }

    fn connect(&self) -> Result<Docker, Error> {
        let limit = CALL_LIMIT.as_secs();
        match self.host.split_once("://") {
            Some(("tcp" | "http", _)) => Docker::connect_with_http(&self.host, limit, API_DEFAULT_VERSION),
            Some(_) | None => Docker::connect_with_unix(&self.host, limit, API_DEFAULT_VERSION),
        }
    }

    /// The engine's error in the task's words. The caller says what 404 and 409 mean to it before asking
    /// here.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "an error that the engine did not say is the way to it, whatever the client library calls it"
    )]
    pub(super) fn say(&self, error: &Error) -> RuntimeError {
        match error {
            Error::DockerResponseServerError { status_code: 503, message } => {
                RuntimeError::Unreachable(format!("the engine at {} is busy: {message}", self.host))
            }
            Error::DockerResponseServerError { status_code, message } if *status_code < 500 => {
                RuntimeError::Rejected(message.clone())
            }
            Error::DockerResponseServerError { message, .. } => RuntimeError::Failed(message.clone()),
            Error::DockerStreamError { error } => RuntimeError::Failed(error.clone()),
            Error::RequestTimeoutError => RuntimeError::Unreachable(format!(
                "the engine at {} did not answer within {} s",
                self.host,
                CALL_LIMIT.as_secs()
            )),
            other => RuntimeError::Unreachable(format!(
                "cannot reach the engine at {}: {}",
                self.host,
                chain(other)
            )),
        }
    }
}

/// Whether the engine answered with this status.
pub(super) fn is_status(error: &Error, status: u16) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code, .. } if *status_code == status)
}

/// The call's result, or that it took too long. The client limits only the wait for the answer's beginning.
pub(super) async fn within<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(CALL_LIMIT, call).await.unwrap_or(Err(Error::RequestTimeoutError))
}

/// An error with what caused it: transport errors hide the reason there.
fn chain(error: &Error) -> String {
    let mut words = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let more = cause.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        source = cause.source();
    }
    words
}
