//! The agent's shell: carries out what the core decides, and tells it what happened.
//!
//! One loop owns the core, and waits for inputs and nothing else. Everything else (the stream to a
//! manager, each step of a task, each reader of output, the look at the machine) is a task of its
//! own that sends inputs into one bounded inbox; a thread of its own writes the journal. Nothing is
//! decided here: decisions are in the core, where a simulator can try them.
//!
//! Ending an agent ends no task: what runs is found again by the next one.

mod clock;
mod config;
mod credentials;
mod describe;
mod dial;
mod handle;
mod pump;
mod renewal;
mod status;
mod steps;
mod wire;

pub use config::{AgentConfig, ManagerEndpoint};
pub use credentials::CredentialsError;
pub use handle::AgentHandle;
pub use status::{AgentStatus, ContactedAddress};

use crate::{
    core::{self, AgentHalt, AgentOutput, Core, WantedMembership, candidates::KnownAddress},
    journal::{
        AgentFiles, IdentityFile, Journal, JournalError, JournalWriter, ManagersFile, Stored,
    },
    runtime::process,
};
use credentials::NodeCredentials;
use nix::fcntl::{Flock, FlockArg};
use skep_proto::{Id, v1};
use std::{fs, io, os::unix::fs::DirBuilderExt, path};
use thiserror::Error;
use tokio::{sync, time};
use tokio_util::sync::CancellationToken;

/// Inputs that wait for the core; the sender of one more waits too.
const INBOX_INPUTS_MAX: usize = 1024;

/// Why an agent cannot begin, or ended by itself.
#[derive(Debug, Error)]
pub enum AgentError {
    /// The state folder.
    #[error("agent state folder {}: {source}", path.display())]
    Folder {
        /// Which.
        path: path::PathBuf,
        /// What the file system says.
        source: io::Error,
    },
    /// Two agents on one state folder.
    #[error(
        "agent state folder {} is in use by another process",
        path.display()
    )]
    Locked {
        /// Which.
        path: path::PathBuf,
    },
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The node was set up for another runtime.
    #[error(
        "this node was set up with the {} runtime and never changes it; the {} runtime was asked for",
        runtime_name(*.first),
        runtime_name(*.now)
    )]
    OtherRuntime {
        /// At its first start.
        first: v1::RuntimeKind,
        /// Now.
        now: v1::RuntimeKind,
    },
    /// The kernel gives no randomness.
    #[error("no randomness for this agent: {0}")]
    Randomness(getrandom::Error),
    /// A node that has not joined finds its manager over the network, and has no token.
    #[error("this node has not joined a cluster yet, and there is no join token")]
    NoToken,
    /// The cluster gave a certificate that is not this node's.
    #[error("{0}")]
    Certificate(String),
    /// The node's key or certificate.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The cluster ended it.
    #[error(transparent)]
    Halted(#[from] AgentHalt),
}

impl AgentError {
    /// What to do about it, where there is a next step.
    pub fn hint(&self) -> Option<String> {
        match self {
            AgentError::Locked { .. } => {
                Some("stop that process first, or choose another folder with --state-dir".into())
            }
            AgentError::OtherRuntime { first, .. } => Some(format!(
                "start it with --runtime {}, or with another --state-dir as a new node",
                runtime_name(*first)
            )),
            AgentError::Halted(halt) => Some(halt.hint().into()),
            AgentError::NoToken => Some(
                "`skep cluster token worker` (or `manager`) prints it on a manager; give it with --token-file or \
                 --token. To found a cluster here instead, remove the file `joined` from the state \
                 folder, if there is one"
                    .into(),
            ),
            AgentError::Credentials(_)
            | AgentError::Certificate(_)
            | AgentError::Folder { .. }
            | AgentError::Journal(_)
            | AgentError::Randomness(_) => None,
        }
    }
}

/// The name of a runtime on the command line.
fn runtime_name(kind: v1::RuntimeKind) -> &'static str {
    match kind {
        v1::RuntimeKind::Docker => "docker",
        v1::RuntimeKind::Process => "process",
        v1::RuntimeKind::Fake => "fake",
    }
}

/// The runtime that a state folder was set up with; none before its first start. Where the identity
/// is damaged, the folder that the process runtime alone makes tells.
pub fn runtime_of(state_dir: &path::Path) -> Result<Option<v1::RuntimeKind>, JournalError> {
    match IdentityFile::new(&folder_in(state_dir)).read() {
        Err(JournalError::Damaged { .. }) => {
            let is_process = state_dir.join(process::TASKS_FOLDER).is_dir();
            Ok(is_process.then_some(v1::RuntimeKind::Process))
        }
        other => Ok(other?.map(|stored| stored.runtime)),
    }
}

/// Where the agent's own files are: apart from what a manager in the same process keeps.
fn folder_in(state_dir: &path::Path) -> path::PathBuf {
    state_dir.join("agent")
}

/// An agent that can run.
pub struct NodeAgent {
    config: AgentConfig,
    stored: Stored,
    /// The managers that are written down, or about to be.
    known: Vec<KnownAddress>,
    credentials: NodeCredentials,
    journal: JournalWriter,
    core: Core,
    clock: clock::Clock,
    status: sync::watch::Sender<AgentStatus>,
    handle: AgentHandle,
    requests: sync::mpsc::Receiver<handle::AgentRequest>,
}

impl NodeAgent {
    /// Reads the state folder, or makes one with a new key. Connects to nothing.
    pub fn open(config: AgentConfig) -> Result<NodeAgent, AgentError> {
        let folder = folder_in(&config.state_dir);
        let lock = lock(&folder)?;
        let identity = IdentityFile::new(&folder);
        let now = config.runtime.kind();
        let credentials =
            NodeCredentials::open(&folder, config.key_lock.clone(), config.join_token.clone())?;
        let mut stored = match identity.read_or_put_aside()? {
            Some(stored) if stored.runtime != now => {
                return Err(AgentError::OtherRuntime { first: stored.runtime, now });
            }
            Some(stored) => stored,
            None => {
                let stored = Stored {
                    node_id: Id::NONE,
                    cluster_id: Id::NONE,
                    earlier_secret: None,
                    runtime: now,
                };
                identity.write(&stored)?;
                stored
            }
        };
        // Who ended between its certificate and its first session has its name from the former.
        if let Some((node_id, cluster_id)) = credentials.named()
            && stored.node_id.is_none()
        {
            (stored.node_id, stored.cluster_id) = (node_id, cluster_id);
            identity.write(&stored)?;
        }
        let secret = stored.earlier_secret.map(|secret| secret.to_vec().into());
        let joining = credentials.joining(secret.unwrap_or_default());
        let joining = joining.map_err(CredentialsError::from)?;
        let rejoining = config.is_founders_own.then(|| credentials.asking(bytes::Bytes::new()));
        let rejoining = rejoining.transpose().map_err(CredentialsError::from)?;
        let is_far = matches!(config.manager, ManagerEndpoint::Network(_));
        if is_far && joining.is_some() && config.join_token.is_none() {
            return Err(AgentError::NoToken);
        }
        let (journal, memory) = Journal::open(&folder)?;
        let who = core::link::NodeIdentity {
            node_id: stored.node_id,
            cluster_id: stored.cluster_id,
            joining,
            rejoining,
            process: getrandom::u64().map_err(AgentError::Randomness)?,
            spec: config.spec(),
            version: config.version.clone(),
        };
        let seed = getrandom::u64().map_err(AgentError::Randomness)?;
        let files = AgentFiles { identity, managers: ManagersFile::new(&folder) };
        let known = files.managers.read();
        let core = Core::new(who, memory.clone(), seed).following(config.first(), known.clone());
        let journal = JournalWriter::start(journal, memory, files, lock)
            .map_err(|source| AgentError::Folder { path: folder, source })?;
        let managers = endpoints(&config, &core);
        let begun = AgentStatus::begun(stored.node_id, stored.cluster_id, managers);
        let status = sync::watch::Sender::new(begun);
        let (handle, requests) = handle::handle(status.subscribe(), credentials.clone(), now);
        Ok(NodeAgent {
            config,
            stored,
            known,
            credentials,
            journal,
            core,
            clock: clock::Clock::new(),
            status,
            handle,
            requests,
        })
    }

    /// Asks it while it runs.
    pub fn handle(&self) -> AgentHandle {
        self.handle.clone()
    }

    /// Runs until `shutdown`, which leaves every task as it is, or until the cluster has no more
    /// use for this node.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), AgentError> {
        let (inbox, mut inputs) = sync::mpsc::channel(INBOX_INPUTS_MAX);
        let wire = wire::Wire::new(
            self.config.manager.clone(),
            self.credentials.clone(),
            inbox.clone(),
            self.status.clone(),
        );
        let _renewing = renewal::start(self.credentials.clone(), self.status.subscribe());
        let joined = self.journal.identity_written();
        let steps =
            steps::Steps::new(self.config.runtime.clone(), inbox.clone(), wire.outgoing(), joined);
        let pumps = pump::Pumps::new(
            self.config.runtime.clone(),
            wire.outgoing(),
            self.config.hostname.clone(),
        );
        let mut hands = SessionExecutors { wire, steps, pumps };
        let _listening = describe::listen(&self.config, inbox.clone());
        let _writing = describe::listen_to_journal(self.journal.problem(), inbox.clone());
        let _watching = describe::watch(&self.config, inbox, self.status.clone());
        loop {
            while let Some(output) = self.core.poll_output() {
                self.carry_out(output, &mut hands)?;
            }
            self.show();
            let deadline = self.core.poll_timeout();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                Some(input) = inputs.recv() => self.core.handle(input, self.clock.now()),
                Some(request) = self.requests.recv() => {
                    if let Some(input) = handle::input_of(request, &self.core) {
                        self.core.handle(input, self.clock.now());
                    }
                }
                () = until(deadline.map(|at| self.clock.instant(at))) => {}
            }
            let now = self.clock.now();
            if self.core.poll_timeout().is_some_and(|at| at <= now) {
                self.core.handle_timeout(now);
            }
        }
    }

    fn carry_out(
        &mut self,
        output: AgentOutput,
        hands: &mut SessionExecutors,
    ) -> Result<(), AgentError> {
        match output {
            AgentOutput::Certified(certified) => self.take(&certified)?,
            AgentOutput::Joined { node_id, cluster_id, warnings } => {
                self.stored.node_id = node_id;
                self.stored.cluster_id = cluster_id;
                self.journal.identify(&self.stored);
                status::list_managers(&self.status, endpoints(&self.config, &self.core));
                tracing::info!(node = %node_id, cluster = %cluster_id, "joined the cluster");
                for warning in warnings {
                    tracing::warn!("{warning}");
                }
            }
            AgentOutput::Warn(warnings) => {
                warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            }
            AgentOutput::Write(notes) => self.journal.note(notes),
            AgentOutput::Act(action) => hands.steps.take(action),
            AgentOutput::Dial { line, candidate } => {
                hands.pumps.clear();
                hands.wire.dial(line, self.config.endpoint(candidate));
            }
            AgentOutput::Managers { known, membership } => self.learn(known, membership),
            AgentOutput::Send(message) => hands.wire.send(*message),
            AgentOutput::HangUp { line, message } => {
                match self.core.is_over() {
                    true => status::say_over(&self.status, &message),
                    false => status::say_manager(&self.status, hands.wire.target(), &message),
                }
                tracing::debug!(line, "leaving the manager: {message}");
                hands.wire.hang_up();
                hands.pumps.clear();
            }
            AgentOutput::Logs(order) => hands.pumps.start(&order, |task| self.core.task_name(task)),
            AgentOutput::LogCancel { request } => hands.pumps.cancel(request),
            AgentOutput::Halt(halt) => return Err(halt.into()),
        }
        Ok(())
    }

    /// The certificate that the node has joined with.
    fn take(&mut self, certified: &v1::Certified) -> Result<(), AgentError> {
        let taken = self.credentials.take(certified);
        taken.map_err(|error| AgentError::Certificate(error.to_string()))?;
        for warning in &certified.warnings {
            tracing::warn!("{warning}");
        }
        if self.stored.earlier_secret.take().is_some() {
            self.journal.identify(&self.stored);
        }
        Ok(())
    }

    /// What the cluster says of its managers, and of this node's part.
    fn learn(&mut self, known: Vec<KnownAddress>, membership: WantedMembership) {
        if self.known != known {
            self.known.clone_from(&known);
            self.journal.keep_managers(known);
            status::list_managers(&self.status, endpoints(&self.config, &self.core));
        }
        self.status
            .send_if_modified(|status| status.membership.replace(membership) != Some(membership));
    }

    fn show(&self) {
        let was_attached = self.status.borrow().attached;
        match (self.core.attached_to(), was_attached) {
            (Some(to), false) => {
                status::say_attached(&self.status, &self.config.endpoint(to.clone()));
            }
            (None, true) => status::say_detached(&self.status),
            (Some(_), true) | (None, false) => {}
        }
        let named = (self.core.node(), self.core.cluster());
        self.status.send_if_modified(|status| {
            let changed = (status.node_id, status.cluster_id) != named;
            (status.node_id, status.cluster_id) = named;
            changed
        });
    }
}

/// Where the core may dial.
fn endpoints(config: &AgentConfig, core: &Core) -> Vec<ManagerEndpoint> {
    core.candidates().into_iter().map(|candidate| config.endpoint(candidate)).collect()
}

/// Everything that does something.
struct SessionExecutors {
    wire: wire::Wire,
    steps: steps::Steps,
    pumps: pump::Pumps,
}

async fn until(deadline: Option<time::Instant>) {
    match deadline {
        Some(deadline) => time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Makes the folder, and holds it for this process.
fn lock(folder: &path::Path) -> Result<Flock<fs::File>, AgentError> {
    let io = |source| AgentError::Folder { path: folder.to_owned(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
    let file = fs::File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(folder.join("lock"))
        .map_err(io)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| {
        if errno == nix::errno::Errno::EWOULDBLOCK {
            AgentError::Locked { path: folder.to_owned() }
        } else {
            io(errno.into())
        }
    })
}
