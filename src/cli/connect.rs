//! One way to a manager, whether it runs or not.
//!
//! A manager that runs is behind a unix socket; one that is stopped is served from its folder by
//! this very process, read-only, through the same services. So no command knows which it is talking
//! to.

mod attempts;
mod edits;
mod probe;
mod sockets;
mod stale;
mod submit;

pub(super) use edits::EditTries;
pub(super) use submit::{Failures, Submitter, once_each};

use super::{args, fail, now, show, unlock_key};
use hyper_util::rt::TokioIo;
use skep_gateway::local_stream::LocalStream;
use skep_proto::v1::{
    GreetRequest, ListRequest, Moment, StatusRequest, control_client, history_client, local_client,
    logs_client, membership_client, moment,
};
use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

/// Largest answer taken: a list of a hundred thousand tasks is below it. A larger one is an error,
/// not a crash.
const ANSWER_BYTES_MAX: usize = 512 << 20;
/// Longest silence on a connection before the manager is asked for a sign of life.
const MANAGER_SILENCE_PERIOD: Duration = Duration::from_secs(5);
/// Longest wait for that sign; at it the connection is given up: a read ends with "went away", a
/// command is sent again on another one. The manager's thread that serves a lone command may hang
/// in its disk, and the connection with it.
const SIGN_OF_LIFE_LIMIT: Duration = Duration::from_secs(10);

/// A manager that answers. Its clones ask the same one.
#[derive(Clone)]
pub(super) struct ManagerClient {
    sockets: sockets::ManagerSockets,
}

impl ManagerClient {
    /// Reaches for the manager; the error says what is wrong with the way there.
    pub(super) async fn connect(target: &args::ManagerAddress) -> fail::CliResult<ManagerClient> {
        let sockets = match target {
            args::ManagerAddress::Sockets(named) => sockets::ManagerSockets::first(named).await?,
            args::ManagerAddress::Folder(folder) => {
                sockets::ManagerSockets::none(by_folder(folder).await?)
            }
        };
        Ok(ManagerClient { sockets })
    }

    /// The one that was asked does not answer any more: from now on another one of those that were
    /// named is asked, if one answers. Says which.
    pub(super) async fn ask_another(&self) -> Option<String> {
        self.sockets.ask_another().await
    }

    /// How many more may be asked.
    pub(super) fn others(&self) -> usize {
        self.sockets.others()
    }

    /// The manager that a read asks, and the moment that it asks about.
    pub(super) async fn for_read(
        top: &args::GlobalArgs,
        own: &args::ReadArgs,
    ) -> fail::CliResult<(ManagerClient, Option<Moment>)> {
        let (target, moment) = top.read(own)?;
        let manager = ManagerClient::connect(&target).await?;
        if let Some(moment) = &moment {
            manager.refuse_future(moment).await?;
        }
        Ok((manager, moment))
    }

    /// Refuses a time that has not come yet. The log's clock may be ahead of this machine's, then
    /// its time counts.
    pub(super) async fn refuse_future(&self, moment: &Moment) -> fail::CliResult {
        let Some(moment::Moment::TimeAt(at)) = moment.moment else { return Ok(()) };
        if at <= now().0 {
            return Ok(());
        }
        let newest = self.control().status(StatusRequest {}).await?.into_inner().at;
        if at <= newest {
            return Ok(());
        }
        Err(fail::CliError::refused(format!("{} is in the future", show::local_time(at))).hint(
            format!(
                "the newest record is of {}; name a time up to then, or none",
                show::local_time(newest)
            ),
        ))
    }

    /// Queries and commands.
    pub(super) fn control(&self) -> control_client::ControlClient<stale::WarningChannel> {
        control_client::ControlClient::new(self.sockets.channel())
            .max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// What happened.
    pub(super) fn history(&self) -> history_client::HistoryClient<stale::WarningChannel> {
        history_client::HistoryClient::new(self.sockets.channel())
            .max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// What tasks say.
    pub(super) fn logs(&self) -> logs_client::LogsClient<stale::WarningChannel> {
        logs_client::LogsClient::new(self.sockets.channel())
            .max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// How other machines join.
    pub(super) fn membership(&self) -> membership_client::MembershipClient<stale::WarningChannel> {
        membership_client::MembershipClient::new(self.sockets.channel())
    }

    /// What the daemon of the machine itself answers, whether it is a manager or not.
    pub(super) fn local(&self) -> local_client::LocalClient<stale::WarningChannel> {
        local_client::LocalClient::new(self.sockets.channel())
    }

    /// The newest revision at a moment.
    pub(super) async fn revision_at(&self, moment: Moment) -> fail::CliResult<u64> {
        if let Some(moment::Moment::Revision(revision)) = moment.moment {
            return Ok(revision);
        }
        // Every list says which revision it shows; nodes are the fewest of what is listed.
        let asked = ListRequest { moment: Some(moment), ..ListRequest::default() };
        Ok(self.control().list_nodes(asked).await?.into_inner().revision)
    }

    /// A numberer of commands: one for all that a run of the program submits.
    pub(super) async fn submitter(&self, reason: Option<&str>) -> fail::CliResult<Submitter> {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let mut others = self.others();
        loop {
            let asked = GreetRequest { client_version: version.clone() };
            let failure = match self.control().greet(asked).await {
                Ok(reply) => return Ok(Submitter::new(self.clone(), reply.get_ref(), reason)),
                Err(status) => fail::CliError::from(status),
            };
            let may_move_on = failure.is_unreachable() && others > 0;
            if !may_move_on || self.ask_another().await.is_none() {
                return Err(failure);
            }
            others -= 1;
        }
    }
}

async fn by_folder(folder: &args::StoppedFolder) -> fail::CliResult<Channel> {
    let dir = &folder.dir;
    let key = folder.unlock_key_file.as_deref().map(unlock_key::in_file).transpose()?;
    if let Some(process) = crate::daemon::holder_of(dir) {
        show::talk(&format!(
            "note: process {process} uses {}: this is what it has written so far; ask it with --host",
            dir.display()
        ));
    }
    skep_gateway::offline::channel(dir, key).await.map_err(|error| {
        fail::CliError::refused(format!("the history in {} cannot be read: {error}", dir.display()))
            .hint(error.hint().unwrap_or(
                "--state-dir takes the state folder of a manager that is stopped; ask a running one with --host",
            ))
            .caused_by(error)
    })
}

async fn by_socket(path: &Path) -> fail::CliResult<Channel> {
    if let Some(what) = crate::daemon::in_place_of_socket(path) {
        let message = format!("unix://{} is {what}, not a socket", path.display());
        return Err(fail::CliError::usage(message)
            .hint("name the manager's socket with --host or SKEP_HOST"));
    }
    let stream = LocalStream::connect(path).await.map_err(|error| no_way(path, error))?;
    let greeted = probe::probe(stream).await.map_err(|failure| failure.told(path))?;
    let first = Arc::new(Mutex::new(Some(greeted)));
    let socket: PathBuf = path.to_owned();
    // The address is never looked at: the connector knows only the socket.
    Endpoint::from_static("http://skep.invalid")
        .http2_keep_alive_interval(MANAGER_SILENCE_PERIOD)
        .keep_alive_timeout(SIGN_OF_LIFE_LIMIT)
        .connect_with_connector(service_fn(move |_: Uri| {
            let (first, socket) = (first.clone(), socket.clone());
            async move {
                // The transport connects again when a connection breaks.
                let greeted = first.lock().map_or(None, |mut first| first.take());
                match greeted {
                    Some(greeted) => Ok(TokioIo::new(greeted)),
                    None => probe::probe(LocalStream::connect(socket).await?)
                        .await
                        .map(TokioIo::new)
                        .map_err(|_| io::Error::from(io::ErrorKind::ConnectionReset)),
                }
            }
        }))
        .await
        .map_err(|error| {
            fail::CliError::unreachable(format!(
                "the manager at unix://{} went away",
                path.display()
            ))
            .hint("try again in a moment")
            .caused_by(error)
        })
}

fn no_way(path: &Path, error: io::Error) -> fail::CliError {
    let shown = path.display();
    #[allow(clippy::wildcard_enum_match_arm, reason = "the standard library adds kinds of errors")]
    let failure = match error.kind() {
        io::ErrorKind::NotFound => {
            fail::CliError::unreachable(format!("no daemon at unix://{shown}: there is no such socket"))
                .hint(format!(
                    "start one with {}, name the socket of one that runs with --host or SKEP_HOST, or read a \
                     stopped one with --state-dir",
                    start_of(path)
                ))
        }
        io::ErrorKind::ConnectionRefused => {
            fail::CliError::unreachable(format!(
                "no daemon at unix://{shown}: the socket is there, and nobody listens on it any more"
            ))
            .hint(format!(
                "start it again with {}, or read it while it is stopped with --state-dir",
                start_of(path)
            ))
        }
        io::ErrorKind::PermissionDenied => {
            let group = group_of(path).unwrap_or_else(|| "skep".to_owned());
            fail::CliError::unreachable(format!(
                "permission denied at unix://{shown}: you are not in the group {group}"
            ))
            .hint(format!("join it with `usermod -aG {group} USER` and log in again, or use sudo"))
        }
        _ => fail::CliError::unreachable(format!("no daemon at unix://{shown}: {}", skep_proto::os_error::message(&error)))
            .hint("name the manager's socket with --host or SKEP_HOST"),
    };
    failure.caused_by(error)
}

/// What starts a daemon that listens on this socket.
fn start_of(socket: &Path) -> String {
    match socket == Path::new(args::DEFAULT_SOCKET) {
        true => "`systemctl start skep` or `skep daemon`".to_owned(),
        false => {
            format!("`skep daemon --state-dir DIR --listen-control unix://{}`", socket.display())
        }
    }
}

/// The name of the group that may use the socket, or of the nearest folder that shuts us out.
fn group_of(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let gid = path.ancestors().find_map(|folder| std::fs::metadata(folder).ok())?.gid();
    let group = nix::unistd::Group::from_gid(nix::unistd::Gid::from_raw(gid)).ok()??;
    // The socket's folder is root's; the group that helps is still the one that the socket is made
    // for.
    (group.name != "root").then_some(group.name)
}
