//! A manager: its log, its turn, its sessions and its services, started and stopped together.

mod doorkeeper;

use crate::{
    admit::Request, api, authority, connections, door, drive, hub::Hub, logs::Broker, members,
    metrics::MetricCounters, peers, reads::Reads, turn::Answer,
};
use skep_log::{AcceptLoss, Log, LogOrigin, OpenError, RecoverError, Recovered};
use skep_proto::{Id, Lineage, author, v1};
use skep_trust::ValueCipher;
use std::{fs, io, path, sync::Arc, time::Duration};
use thiserror::Error;
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

/// How a manager is started.
pub struct ManagerConfig {
    /// Where its log lies; the caller holds the folder's lock.
    pub state_dir: path::PathBuf,
    /// The socket that people and agents come through.
    pub control: UnixListener,
    /// What the daemon answers on that socket whatever its machine is.
    pub local: Routes,
    /// `/metrics` on TCP, where the operator asked for it.
    pub metrics: Option<TcpListener>,
    /// The settings of a cluster that it founds.
    pub genesis: v1::ClusterSpec,
    /// The heartbeat period, where the operator gives one; the cluster keeps it.
    pub heartbeat_period_ns: Option<u64>,
    /// Serve reads, accept nothing.
    pub safe_mode: bool,
    /// Its keys: those of the authority, of its log, and of its own node, which its agent keeps.
    pub keys: authority::DiskKeys,
    /// How it joins other managers; none where it founds a cluster, or has founded it.
    pub joined: Option<ManagerPromotion>,
}

/// What a manager knows of the cluster that it joins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ManagerPromotion {
    /// Its number in raft, which the log has given.
    pub raft_id: u64,
    /// Of the cluster's history.
    pub lineage: Lineage,
    /// The cluster.
    pub cluster: Id,
    /// Where other managers are, `HOST:PORT` each.
    pub managers: Vec<String>,
    /// Where it listens until the log says it.
    pub port: door::DoorAddress,
}

/// Why a manager does not run.
#[derive(Debug, Error)]
pub enum ManagerError {
    /// The log does not open.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// The file that holds the manager's id.
    #[error("{path}: {source}")]
    Identity {
        /// Which file.
        path: path::PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file that holds the manager's id holds something else.
    #[error("{0}: not a node id")]
    NotAnId(path::PathBuf),
}

impl ManagerError {
    /// What to do about it, where that does not follow from the message.
    pub fn hint(&self) -> Option<String> {
        match self {
            ManagerError::Log(error) => error.hint(),
            ManagerError::NotAnId(_) => {
                Some("restore the file from a backup: the log belongs to one manager".into())
            }
            ManagerError::Identity { .. } => None,
        }
    }
}

/// Connections to `/metrics`, from one process or several: a few scrapers. One more gets a message
/// and is closed.
const METRICS_CONNECTIONS_MAX: u32 = 64;

/// Between two tries to tell the other managers where this one listens.
const ANNOUNCE_PERIOD: Duration = Duration::from_millis(500);

/// Runs a manager until `stop`, or until its log halts. Says where the log has it listen for other
/// machines: one that becomes a manager again listens there.
pub async fn run(
    config: ManagerConfig,
    stop: CancellationToken,
) -> Result<Option<door::DoorAddress>, ManagerError> {
    let node = identity(&config.state_dir)?;
    let identity = drive::ManagerIdentity {
        node,
        code_version: env!("CARGO_PKG_VERSION").into(),
        genesis: v1::ClusterSpec {
            heartbeat_period_ns: config.heartbeat_period_ns.or(config.genesis.heartbeat_period_ns),
            ..config.genesis.clone()
        },
        safe_mode: config.safe_mode,
    };
    let state = drive::DriveState::new(identity, Arc::new(MetricCounters::default()));
    let others = peers::ManagerPeers::new(config.keys.node.clone());
    others.find_in(&state);
    let log = skep_log::Config::new(config.state_dir.join("log"), node);
    let origin = config.joined.as_ref().map_or(LogOrigin::Founds, |joined| LogOrigin::Joins {
        raft_id: joined.raft_id,
        lineage: joined.lineage,
    });
    let (peers, cipher) = (Some(Arc::new(others.clone()) as _), Some(config.keys.cipher.clone()));
    let log = skep_log::Config { origin, peers, cipher, ..log };
    let log = Arc::new(Log::open(log, state.fold()).await?);
    let link = Arc::new(peers::LeaderClient::new(others.clone(), log.leadership()));
    let (drive, turns) = drive::Drive::start(log.clone(), state, link);
    let keeping = tokio::spawn(members::keep(drive.clone(), node, others.clone()));
    let keeping = tokio_util::task::AbortOnDropHandle::new(keeping);
    tokio::spawn(stop_deciding(drive.clone(), stop.clone()));
    if let Some(period_ns) = config.heartbeat_period_ns {
        tokio::spawn(keep_heartbeat_period(drive.clone(), node, period_ns));
    }
    serve(config, node, (&drive, others), &stop).await;
    drop(keeping);
    drive.stop();
    stop.cancel();
    // The thread ends by itself; it is joined so that nothing is proposed to a log that is closing.
    drop(tokio::task::spawn_blocking(move || turns.join()).await);
    let port = door::DoorAddress::of(node, &drive.newest().view);
    Log::clone(&log).close().await;
    Ok(port)
}

/// Serves people, agents and other machines until `stop`.
async fn serve(
    config: ManagerConfig,
    node: Id,
    (drive, others): (&drive::Drive, peers::ManagerPeers),
    stop: &CancellationToken,
) {
    let vouching = authority_of(&config, node);
    let sealing = tokio::spawn(keep_sealed(&config, vouching.clone(), drive.clone(), stop.clone()));
    if let Some(joined) = &config.joined {
        let application = application(&config, joined);
        tokio::spawn(announce(application, drive.clone(), (node, joined.port), stop.clone()));
    }
    let watch = door::DoorWatch::default();
    let (door, opener, network) = door::Door::new(watch.clone());
    let keeper = doorkeeper::Doorkeeper {
        authority: vouching.clone(),
        manager: node,
        drive: drive.clone(),
        opener,
        watch: watch.clone(),
        joined_at: config.joined.as_ref().map(|joined| joined.port),
    };
    let shown = keeper.start(stop.clone());
    let hub = Hub::start(drive.clone(), node);
    let limiter = connections::of_local_socket();
    let (broker, pulls) = (Arc::new(Broker::default()), Arc::new(crate::pulls::Pulls::default()));
    let reads = Reads::live(drive.clone(), pulls.clone(), node, limiter.clone())
        .with_door_watch(watch.clone());
    let page: Arc<dyn Fn() -> String + Send + Sync> = {
        let (drive, limiter, watch) = (drive.clone(), limiter.clone(), watch.clone());
        Arc::new(move || api::metrics::render(&drive, &limiter, &watch))
    };
    let services = api::serve::GrpcServices {
        control: api::control::ControlService::new(drive.clone(), reads.clone()),
        history: api::history::HistoryService::new(reads),
        logs: api::logs::LogsService::new(drive.clone(), hub.clone(), broker.clone(), others),
        managers: api::managers::ManagersService::new(
            drive.clone(),
            vouching.clone(),
            hub.clone(),
            broker.clone(),
        ),
        dispatcher: api::dispatcher::DispatcherService::new(
            hub.clone(),
            api::enrol::Enrolment::new(drive.clone(), vouching.clone(), watch.clone(), node),
            broker,
            pulls,
        ),
        membership: api::membership::MembershipService::new(drive.clone(), vouching, door, node),
        local: config.local,
        drive: drive.clone(),
        metrics: page.clone(),
    };
    if let Some(listener) = config.metrics {
        show_metrics(listener, page, stop.clone());
    }
    // Agents are told before their connections close, so that they know it from a manager that
    // died.
    tokio::spawn({
        let stop = stop.clone();
        async move {
            stop.cancelled().await;
            hub.stop().await;
        }
    });
    let listeners = api::serve::DoorListeners {
        local: config.control,
        network,
        door: shown,
        watch,
        local_limiter: limiter,
        network_limiter: connections::of_network(),
    };
    services.serve(listeners, stop.clone()).await;
    // Half of the key files must not be written after somebody else has begun to write them.
    stop.cancel();
    sealing.await.ok();
}

/// Keeps the key files sealed as the cluster wants it.
fn keep_sealed(
    config: &ManagerConfig,
    authority: Arc<authority::ManagerAuthority>,
    drive: drive::Drive,
    stop: CancellationToken,
) -> impl Future<Output = ()> + use<> {
    // Looked at before the authority's key, and a lock with it, can come from another manager.
    let sealed = config.keys.lock.writes();
    authority::keep_sealed((config.keys.clone(), sealed), authority, drive, stop)
}

/// The authority, wherever its key comes from.
fn authority_of(config: &ManagerConfig, node: Id) -> Arc<authority::ManagerAuthority> {
    let authority = authority::ManagerAuthority::of(config.keys.authority.clone(), node);
    Arc::new(match &config.joined {
        None => authority,
        Some(joined) => authority.of_joined(authority::JoinedAuthority {
            cluster: joined.cluster,
            application: application(config, joined),
        }),
    })
}

fn application(config: &ManagerConfig, joined: &ManagerPromotion) -> peers::ManagerApplication {
    let (certificates, managers) = (config.keys.node.clone(), joined.managers.clone());
    peers::ManagerApplication { certificates, managers }
}

/// Tells the other managers where this one listens, until the log says it. Then they take it in.
async fn announce(
    application: peers::ManagerApplication,
    drive: drive::Drive,
    (node, port): (Id, door::DoorAddress),
    stop: CancellationToken,
) {
    let mut told = String::new();
    while door::DoorAddress::of(node, &drive.newest().view).is_none() && !stop.is_cancelled() {
        if let Err(error) = application.announce(node, port).await {
            let error = error.to_string();
            if error != told {
                tracing::warn!(%error, "the other managers do not know yet where this one listens");
                told = error;
            }
        }
        tokio::time::sleep(ANNOUNCE_PERIOD).await;
    }
}

fn show_metrics(
    listener: TcpListener,
    page: Arc<dyn Fn() -> String + Send + Sync>,
    stop: CancellationToken,
) {
    let limits = connections::ConnectionLimits {
        all: METRICS_CONNECTIONS_MAX,
        process: METRICS_CONNECTIONS_MAX,
    };
    let limiter = connections::ConnectionLimiter::new("metrics", limits);
    tokio::spawn(api::serve::serve_metrics(limiter, listener, page, stop));
}

/// A manager that is to stop answers all who wait before its connections are closed.
async fn stop_deciding(drive: drive::Drive, stop: CancellationToken) {
    stop.cancelled().await;
    drive.stop();
}

/// A cluster that exists already takes on the heartbeat period of the newest start.
async fn keep_heartbeat_period(drive: drive::Drive, node: Id, period_ns: u64) {
    let mut published = drive.published();
    let Ok(view) =
        published.wait_for(|p| !p.view.cluster().id.is_none()).await.map(|p| p.view.clone())
    else {
        return;
    };
    let spec =
        v1::ClusterSpec { heartbeat_period_ns: Some(period_ns), ..(*view.cluster().spec).clone() };
    let action = v1::command::Action::UpdateCluster(Box::new(v1::UpdateCluster {
        version: view.cluster().version.0,
        spec: Some(spec),
    }));
    let reason = "the manager was started with this heartbeat period".into();
    let command = v1::Command { action: Some(action), reason, ..v1::Command::default() };
    if let Answer::Refused(refusal) =
        drive.ask(author::manager(node), Request::Command(command), 64).await
    {
        tracing::warn!(error = %refusal.message, "the heartbeat period stays as it was");
    }
}

/// `skep recover`: cuts a damaged log where it stops being readable; the next start begins a new
/// incarnation.
/// `cipher` opens what is sealed.
pub fn recover(
    state_dir: &path::Path,
    loss: AcceptLoss,
    cipher: Option<Arc<ValueCipher>>,
) -> Result<Recovered, RecoverError> {
    skep_log::recover(&state_dir.join("log"), loss, cipher)
}

/// The manager's own node id, made at the first start.
fn identity(state_dir: &path::Path) -> Result<Id, ManagerError> {
    let path = state_dir.join("manager-id");
    let failed = |source| ManagerError::Identity { path: path.clone(), source };
    match fs::read_to_string(&path) {
        Ok(text) => Id::parse(text.trim()).ok_or_else(|| ManagerError::NotAnId(path.clone())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut bytes = [0; 16];
            getrandom::fill(&mut bytes).map_err(|error| failed(io::Error::other(error)))?;
            let id = Id(u128::from_be_bytes(bytes));
            let unfinished = path.with_extension("new");
            fs::write(&unfinished, format!("{id}\n")).map_err(failed)?;
            fs::File::open(&unfinished).and_then(|file| file.sync_all()).map_err(failed)?;
            fs::rename(&unfinished, &path).map_err(failed)?;
            Ok(id)
        }
        Err(error) => Err(failed(error)),
    }
}
