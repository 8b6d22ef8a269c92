//! A running manager with its services, for stories about calls.

pub(super) mod nodes;

use crate::{
    admit::Request, api, authority::ManagerAuthority, connections, door, drive,
    history::testing::alice, hub::Hub, logs::Broker, metrics::MetricCounters, pulls::Pulls,
    reads::Reads, turn::Answer,
};
use hyper_util::rt::TokioIo;
use skep_log::{Config, Log, ModelDisk};
use skep_projections::fixture::service_spec;
use skep_proto::{Id, v1};
use std::{sync::Arc, sync::OnceLock, time::Duration};
use tokio::{net, sync::watch};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

/// How long a story waits for the cluster's authority to be recorded.
const RECORDED_LIMIT: Duration = Duration::from_secs(2);

/// A manager of one node without an agent.
pub(crate) struct LiveCluster {
    pub(crate) drive: drive::Drive,
    pub(crate) reads: Reads,
    dir: tempfile::TempDir,
    door: OnceLock<(door::Door, Arc<ManagerAuthority>)>,
    /// In the log's place: where the port is to be open.
    port: watch::Sender<Option<door::DoorAddress>>,
}

impl LiveCluster {
    pub(crate) async fn start() -> LiveCluster {
        let (dir, state) = (tempfile::TempDir::new().unwrap(), state());
        let log = Log::open(config(&dir), state.fold()).await.unwrap();
        LiveCluster::on(dir, log, state)
    }

    /// The same on a disk that can hang and refuse.
    pub(crate) async fn start_on(disk: &ModelDisk) -> LiveCluster {
        let (dir, state) = (tempfile::TempDir::new().unwrap(), state());
        let log = Log::open_on_model(config(&dir), state.fold(), disk).await.unwrap();
        LiveCluster::on(dir, log, state)
    }

    fn on(dir: tempfile::TempDir, log: Log, state: Arc<drive::DriveState>) -> LiveCluster {
        let (drive, _) = drive::Drive::start(Arc::new(log), state, Arc::new(drive::NoLeaderLink));
        let limiter = connections::ConnectionLimiter::new(
            "story",
            connections::ConnectionLimits { all: 8, process: 8 },
        );
        let reads = Reads::live(drive.clone(), Arc::default(), Id(1), limiter);
        LiveCluster { drive, reads, dir, door: OnceLock::new(), port: watch::Sender::new(None) }
    }

    pub(crate) async fn ask(&self, action: v1::command::Action) -> u64 {
        let command = v1::Command { action: Some(action), ..v1::Command::default() };
        let answer = self.drive.ask(alice(), Request::Command(command), 100).await;
        let Answer::Accepted { revision, .. } = answer else { panic!("{answer:?}") };
        revision.0
    }

    pub(crate) async fn create(&self, name: &str) -> u64 {
        self.ask(v1::command::Action::CreateService(Box::new(v1::CreateService {
            spec: Some(service_spec(name)),
        })))
        .await
    }

    pub(crate) async fn scale(&self, service: &str, replicas: u64) -> u64 {
        self.ask(v1::command::Action::ScaleService(v1::ScaleService {
            service: service.into(),
            replicas,
        }))
        .await
    }

    /// Serves, and connects to it as a person does.
    pub(super) async fn open(&self, greetings: api::dispatcher::GreetingLimits) -> Channel {
        let listener = net::UnixListener::bind(self.socket()).unwrap();
        let authority = Arc::new(ManagerAuthority::of(
            skep_trust::CertificateFolder::new(self.dir.path().join("certificates")),
            Id(1),
        ));
        let shown = watch::Sender::new(None);
        let watched = shown.subscribe();
        // In the background, since the disk of a story may hang already. Where it does not, nothing
        // of it is under way any more when the story goes on.
        let (keeping, drive) = (authority.clone(), self.drive.clone());
        tokio::spawn(async move {
            keeping.record(&drive).await.unwrap();
            shown.send_replace(Some(keeping.door(&drive.newest().view).unwrap().0));
            shown.closed().await;
        });
        let recorded = watched.clone();
        let recorded = async move { recorded.clone().wait_for(Option::is_some).await.map(drop) };
        tokio::time::timeout(RECORDED_LIMIT, recorded).await.ok();
        let watch = door::DoorWatch::default();
        let (door, opener, network) = door::Door::new(watch.clone());
        let port = self.port.subscribe();
        tokio::spawn(opener.keep(move || *port.borrow()));
        let hub = Hub::start(self.drive.clone(), Id(1));
        let (broker, pulls) = (Arc::new(Broker::default()), Arc::new(Pulls::default()));
        let enrolment =
            api::enrol::Enrolment::new(self.drive.clone(), authority.clone(), watch.clone(), Id(1));
        let services = api::serve::GrpcServices {
            control: api::control::ControlService::new(self.drive.clone(), self.reads.clone()),
            history: api::history::HistoryService::new(self.reads.clone()),
            logs: api::logs::LogsService::new(
                self.drive.clone(),
                hub.clone(),
                broker.clone(),
                crate::peers::ManagerPeers::new(skep_trust::CertificateFolder::new(
                    self.dir.path().join("none"),
                )),
            ),
            managers: api::managers::ManagersService::new(
                self.drive.clone(),
                authority.clone(),
                hub.clone(),
                broker.clone(),
            ),
            dispatcher: api::dispatcher::DispatcherService::new(hub, enrolment, broker, pulls)
                .with_limits(greetings),
            membership: api::membership::MembershipService::new(
                self.drive.clone(),
                authority.clone(),
                door.clone(),
                Id(1),
            ),
            local: tonic::service::Routes::default(),
            drive: self.drive.clone(),
            metrics: Arc::new(String::new),
        };
        let limiter = self.reads.limiter().unwrap().clone();
        let listeners = api::serve::DoorListeners {
            local: listener,
            network,
            door: watched,
            watch,
            local_limiter: limiter.clone(),
            network_limiter: limiter,
        };
        self.door.set((door, authority)).ok().expect("it is opened once");
        tokio::spawn(services.serve(listeners, CancellationToken::new()));
        self.connect().await
    }

    /// Opens the door to the network, on this machine alone.
    pub(super) async fn open_door(&self) -> std::net::SocketAddr {
        let (door, _) = self.door.get().expect("it serves");
        let address = door.choose(None, "127.0.0.1:0", "").await.unwrap();
        self.port.send_replace(Some(address));
        door.await_open(address).await.unwrap();
        address.listen
    }

    /// The authority's key.
    pub(super) fn authority(&self) -> &ManagerAuthority {
        &self.door.get().expect("it serves").1
    }

    fn socket(&self) -> std::path::PathBuf {
        self.dir.path().join("skep.sock")
    }

    /// One more connection to what was opened.
    pub(super) async fn connect(&self) -> Channel {
        let path = self.socket();
        let connect = tower::service_fn(move |_| {
            let path = path.clone();
            async move { net::UnixStream::connect(path).await.map(TokioIo::new) }
        });
        Endpoint::from_static("http://skep.invalid").connect_with_connector(connect).await.unwrap()
    }
}

fn config(dir: &tempfile::TempDir) -> Config {
    Config { min_free: 0.0, ..Config::new(dir.path().join("log"), Id(1)) }
}

fn state() -> Arc<drive::DriveState> {
    let identity = drive::ManagerIdentity {
        node: Id(1),
        code_version: "story".into(),
        genesis: skep_proto::v1::ClusterSpec::default(),
        safe_mode: false,
    };
    drive::DriveState::new(identity, Arc::new(MetricCounters::default()))
}
