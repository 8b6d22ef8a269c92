//! A running manager with its services, for stories about calls.

use super::{
    control::ControlService, dispatcher, history::HistoryService, logs::LogsService,
    serve::GrpcServices,
};
use crate::{
    admit::Request, connections, drive, history::testing::alice, hub::Hub, logs::Broker,
    metrics::MetricCounters, pulls::Pulls, reads::Reads, turn::Answer,
};
use skep_log::{Config, Log, ModelDisk};
use skep_projections::fixture::service_spec;
use skep_proto::{Id, v1};
use std::sync::Arc;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

/// A manager of one node without an agent.
pub(crate) struct LiveCluster {
    pub(crate) drive: drive::Drive,
    pub(crate) reads: Reads,
    dir: tempfile::TempDir,
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
        let (drive, _) = drive::Drive::start(Arc::new(log), state);
        let limiter = connections::ConnectionLimiter::new(
            "story",
            connections::ConnectionLimits { all: 4, process: 4 },
        );
        let reads = Reads::live(drive.clone(), Arc::default(), Id(1), limiter);
        LiveCluster { drive, reads, dir }
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

    /// Serves, and connects to it.
    pub(super) async fn open(&self, greetings: dispatcher::GreetingLimits) -> Channel {
        let path = self.dir.path().join("skep.sock");
        let listener = UnixListener::bind(path).unwrap();
        let hub = Hub::start(self.drive.clone(), Id(1));
        let (broker, pulls) = (Arc::new(Broker::default()), Arc::new(Pulls::default()));
        let services = GrpcServices {
            control: ControlService::new(self.drive.clone(), self.reads.clone()),
            history: HistoryService::new(self.reads.clone()),
            logs: LogsService::new(self.drive.clone(), hub.clone(), broker.clone()),
            dispatcher: dispatcher::DispatcherService::new(hub, broker, pulls)
                .with_limits(greetings),
            metrics: Arc::new(String::new),
        };
        let limiter = self.reads.limiter().unwrap().clone();
        tokio::spawn(services.serve(limiter, listener, CancellationToken::new()));
        self.connect().await
    }

    /// One more connection to what was opened.
    pub(super) async fn connect(&self) -> Channel {
        let path = self.dir.path().join("skep.sock");
        let connect = tower::service_fn(move |_| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(hyper_util::rt::TokioIo::new) }
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
