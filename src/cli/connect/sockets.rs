//! The managers that a command may ask: the first that answers, and another one when that goes
//! away.
//!
//! All managers of a cluster answer alike, so it does not matter which one is asked. Clones share
//! what is asked now: when a command has moved on, so have the reads that follow it.

use super::stale::WarningChannel;
use crate::cli::{
    fail::{CliError, CliResult},
    show,
};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use tonic::transport::Channel;

/// Sockets that were named, and the connection to one of them.
#[derive(Clone)]
pub(super) struct ManagerSockets {
    /// Empty where a folder is read.
    named: Arc<[PathBuf]>,
    asked: Arc<Mutex<AskedSocket>>,
}

/// The one that is asked.
struct AskedSocket {
    index: usize,
    channel: WarningChannel,
}

impl ManagerSockets {
    /// No socket, only this connection.
    pub(super) fn none(channel: Channel) -> ManagerSockets {
        ManagerSockets::at(Arc::default(), 0, channel)
    }

    /// Connects to the first that answers. Who does not is told, so that nobody wonders which one
    /// it was.
    pub(super) async fn first(named: &[PathBuf]) -> CliResult<ManagerSockets> {
        let mut failures: Vec<CliError> = Vec::new();
        for (index, socket) in named.iter().enumerate() {
            match super::by_socket(socket).await {
                Ok(channel) => {
                    let asking = format!("asking {}", url(socket));
                    let notes = failures.iter().map(CliError::message);
                    notes.for_each(|failure| show::talk(&format!("note: {failure}; {asking}")));
                    return Ok(ManagerSockets::at(named.into(), index, channel));
                }
                Err(failure) if failure.is_unreachable() => failures.push(failure),
                Err(failure) => return Err(failure),
            }
        }
        Err(none_answers(failures))
    }

    fn at(named: Arc<[PathBuf]>, index: usize, channel: Channel) -> ManagerSockets {
        let asked = AskedSocket { index, channel: WarningChannel::new(channel) };
        ManagerSockets { named, asked: Arc::new(Mutex::new(asked)) }
    }

    /// The connection to the one that is asked now.
    pub(super) fn channel(&self) -> WarningChannel {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).channel.clone()
    }

    /// How many others there are.
    pub(super) fn others(&self) -> usize {
        self.named.len().saturating_sub(1)
    }

    /// Moves on to the next one that answers, and says which that is; none where no other does.
    pub(super) async fn ask_another(&self) -> Option<String> {
        let index = self.asked.lock().unwrap_or_else(PoisonError::into_inner).index;
        for step in 1..=self.others() {
            let index = (index + step) % self.named.len();
            if let Ok(channel) = super::by_socket(&self.named[index]).await {
                let channel = WarningChannel::new(channel);
                *self.asked.lock().unwrap_or_else(PoisonError::into_inner) =
                    AskedSocket { index, channel };
                return Some(url(&self.named[index]));
            }
        }
        None
    }
}

fn url(socket: &Path) -> String {
    format!("unix://{}", socket.display())
}

/// What to say of sockets none of which has a manager that answers.
fn none_answers(mut failures: Vec<CliError>) -> CliError {
    let last = failures.pop().unwrap_or_else(|| CliError::usage("no socket is named"));
    if failures.is_empty() {
        return last;
    }
    failures.push(last);
    let said: Vec<&str> = failures.iter().map(CliError::message).collect();
    CliError::unreachable(format!("none of {} sockets answers: {}", said.len(), said.join("; ")))
        .hint("start one of these daemons, or name the socket of one that runs with --host or SKEP_HOST")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_one_socket_its_own_failure_is_told_and_of_several_all() {
        let failure = |message: &str| CliError::unreachable(message).hint("start it");
        let one = none_answers(vec![failure("no daemon at a")]);
        assert_eq!(one, failure("no daemon at a"));
        let two = none_answers(vec![failure("no daemon at a"), failure("no daemon at b")]);
        assert_eq!(two.message(), "none of 2 sockets answers: no daemon at a; no daemon at b");
        assert!(two.is_unreachable());
    }
}
