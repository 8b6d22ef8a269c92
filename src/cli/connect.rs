//! One way to a manager, whether it runs or not.
//!
//! A manager that runs is behind a unix socket; one that is stopped is served from its folder by this very process,
//! read-only, through the same services. So no command knows which it is talking to.

use super::{
    args::Target,
    fail::{Failure, Outcome},
    show,
};
use hyper_util::rt::TokioIo;
use skep_proto::v1::{
    Accepted, Command, CommandId, GreetRequest, ListRequest, Moment, command::Action, command_reply,
    control_client::ControlClient, history_client::HistoryClient, logs_client::LogsClient, moment,
};
use std::{io, path::Path, path::PathBuf, time::Duration};
use tokio::net::UnixStream;
use tonic::{
    Code, Request,
    transport::{Channel, Endpoint, Uri},
};
use tower::service_fn;

/// Largest answer taken: a list of a hundred thousand tasks is below it. A larger one is an error, not a crash.
const ANSWER_BYTES_MAX: usize = 512 << 20;
/// How often a command is asked again, with the same id, when nobody can say whether it was done.
const SUBMIT_ATTEMPTS_MAX: u32 = 5;
/// Pause before it is asked again.
const SUBMIT_PAUSE: Duration = Duration::from_millis(500);

/// A manager that answers.
#[derive(Clone)]
pub struct Manager {
    channel: Channel,
}

impl Manager {
    /// Reaches for the manager; the error says what is wrong with the way there.
    pub async fn connect(target: &Target) -> Outcome<Manager> {
        let channel = match target {
            Target::Socket(path) => by_socket(path).await?,
            Target::Folder(dir) => by_folder(dir).await?,
        };
        Ok(Manager { channel })
    }

    /// Queries and commands.
    pub fn control(&self) -> ControlClient<Channel> {
        ControlClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// What happened.
    pub fn history(&self) -> HistoryClient<Channel> {
        HistoryClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// What tasks say.
    pub fn logs(&self) -> LogsClient<Channel> {
        LogsClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// The newest revision at a moment.
    pub async fn revision_at(&self, moment: Moment) -> Outcome<u64> {
        if let Some(moment::Moment::Revision(revision)) = moment.moment {
            return Ok(revision);
        }
        // Every list says which revision it shows; nodes are the fewest of what is listed.
        let asked = ListRequest { moment: Some(moment), ..ListRequest::default() };
        Ok(self.control().list_nodes(asked).await?.into_inner().revision)
    }

    /// A numberer of commands: one for all that a run of the program submits.
    pub async fn submitter(&self, reason: Option<&str>) -> Outcome<Submitter> {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let reply = self.control().greet(GreetRequest { client_version: version }).await?.into_inner();
        Ok(Submitter {
            manager: self.clone(),
            stamp: reply.stamp,
            number: 0,
            reason: reason.unwrap_or_default().to_owned(),
        })
    }
}

/// Submits commands, each with an id of its own, so that asking again is safe.
pub struct Submitter {
    manager: Manager,
    stamp: u64,
    number: u64,
    reason: String,
}

impl Submitter {
    /// One command for each name, which is told when it is done. A refusal does not keep the others from being asked;
    /// all are told, and the last one counts.
    pub async fn each(&mut self, names: &[String], mut action: impl FnMut(usize) -> Action) -> Outcome {
        let mut failed: Option<Failure> = None;
        for (place, name) in names.iter().enumerate() {
            match self.submit(action(place)).await {
                Ok(_) => show::say(name)?,
                Err(failure) if failure.is_unreachable() => return Err(failure),
                Err(failure) => {
                    if let Some(earlier) = failed.replace(failure) {
                        earlier.tell();
                    }
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Asks until it is known whether the command was done. A refusal is a failure with the manager's own words.
    pub async fn submit(&mut self, action: Action) -> Outcome<Accepted> {
        self.number += 1;
        let command = Command {
            id: Some(CommandId { stamp: self.stamp, number: self.number }),
            reason: self.reason.clone(),
            trace: None,
            action: Some(action),
        };
        let mut attempt = 1;
        let reply = loop {
            match self.manager.control().submit(Request::new(command.clone())).await {
                Ok(reply) => break reply.into_inner(),
                Err(status) if worth_asking_again(status.code()) && attempt < SUBMIT_ATTEMPTS_MAX => {
                    attempt += 1;
                    tokio::time::sleep(SUBMIT_PAUSE).await;
                }
                Err(status) => return Err(status.into()),
            }
        };
        match reply.outcome {
            Some(command_reply::Outcome::Accepted(accepted)) => {
                accepted.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
                Ok(accepted)
            }
            Some(command_reply::Outcome::Refused(refused)) => {
                Err(Failure::refused(refused.message).hint(refused.hint))
            }
            None => {
                Err(Failure::refused("the manager's answer is empty")
                    .hint("it may be newer than this program"))
            }
        }
    }
}

fn worth_asking_again(code: Code) -> bool {
    matches!(code, Code::Unavailable | Code::Aborted | Code::Unknown)
}

async fn by_folder(dir: &Path) -> Outcome<Channel> {
    skep_gateway::offline::channel(dir).await.map_err(|error| {
        Failure::refused(format!("the history in {} cannot be read: {error}", dir.display())).hint(
            "--state-dir takes the state folder of a manager that is stopped; ask a running one with --host",
        )
    })
}

async fn by_socket(path: &Path) -> Outcome<Channel> {
    // Tried by hand first: the transport would wrap the reason beyond recognition.
    UnixStream::connect(path).await.map_err(|error| no_way(path, &error))?;
    let socket: PathBuf = path.to_owned();
    // The address is never looked at: the connector knows only the socket.
    Endpoint::from_static("http://skep.invalid")
        .connect_with_connector(service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        }))
        .await
        .map_err(|error| Failure::unreachable(format!("no manager answers at {}: {error}", path.display())))
}

fn no_way(path: &Path, error: &io::Error) -> Failure {
    let shown = path.display();
    let kind = error.kind();
    if kind == io::ErrorKind::NotFound {
        return Failure::unreachable(format!("no manager at unix://{shown}: there is no such socket")).hint(
            "start one with `skep daemon`, name its socket with --host or SKEP_HOST, or read a stopped one with --state-dir",
        );
    }
    if kind == io::ErrorKind::ConnectionRefused {
        return Failure::unreachable(format!("no manager at unix://{shown}: nobody listens on the socket"))
            .hint("start it with `skep daemon`, or read it while it is stopped with --state-dir");
    }
    if kind == io::ErrorKind::PermissionDenied {
        let group = group_of(path).unwrap_or_else(|| "skep".to_owned());
        return Failure::unreachable(format!(
            "permission denied at unix://{shown}: you are not in the group {group}"
        ))
        .hint(format!("join it with `usermod -aG {group} USER` and log in again, or use sudo"));
    }
    Failure::unreachable(format!("no manager at unix://{shown}: {error}"))
}

/// The name of the group that may use the socket, or of the nearest folder that shuts us out.
fn group_of(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let gid = path.ancestors().find_map(|place| std::fs::metadata(place).ok())?.gid();
    let group = nix::unistd::Group::from_gid(nix::unistd::Gid::from_raw(gid)).ok()??;
    // The socket's folder is root's; the group that helps is still the one that the socket is made for.
    (group.name != "root").then_some(group.name)
}
