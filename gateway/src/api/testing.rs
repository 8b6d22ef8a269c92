//! A running manager and its doors, for stories about what comes through them.

use super::{
    control::ControlService,
    dispatcher::{DispatcherService, GreetingLimits},
    door::{ConnectionLimiter, ConnectionLimits},
    history::HistoryService,
    logs::LogsService,
    reads::Reads,
    serve::Doors,
};
use crate::{
    admit::Request,
    drive::{Drive, DriveState, ManagerIdentity},
    history::testing::alice,
    hub::Hub,
    logs::Broker,
    metrics::MetricCounters,
    pulls::Pulls,
    turn::Answer,
};
use hyper_util::rt::TokioIo;
use skep_log::{Config, Log};
use skep_projections::fixture::service_spec;
use skep_proto::{
    Id,
    v1::{Command, CreateService, ScaleService, command::Action},
};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

/// A manager of one node without an agent.
pub(crate) struct LiveCluster {
    pub(crate) drive: Drive,
    pub(crate) reads: Reads,
    dir: TempDir,
}

impl LiveCluster {
    pub(crate) async fn start() -> LiveCluster {
        let dir = TempDir::new().unwrap();
        let config = Config { min_free: 0.0, ..Config::new(dir.path().join("log"), Id(1)) };
        let identity = ManagerIdentity {
            node: Id(1),
            code_version: "story".into(),
            genesis: skep_proto::v1::ClusterSpec::default(),
            safe_mode: false,
        };
        let state = DriveState::new(identity, Arc::new(MetricCounters::default()));
        let log = Arc::new(Log::open(config, state.fold()).await.unwrap());
        let (drive, _) = Drive::start(log, state);
        let door = ConnectionLimiter::new("story", ConnectionLimits { all: 4, process: 4 });
        let reads = Reads::live(drive.clone(), Arc::default(), Id(1), door);
        LiveCluster { drive, reads, dir }
    }

    pub(crate) async fn ask(&self, action: Action) -> u64 {
        let command = Command { action: Some(action), ..Command::default() };
        let answer = self.drive.ask(alice(), Request::Command(command), 100).await;
        let Answer::Accepted { revision, .. } = answer else { panic!("{answer:?}") };
        revision.0
    }

    pub(crate) async fn create(&self, name: &str) -> u64 {
        self.ask(Action::CreateService(Box::new(CreateService { spec: Some(service_spec(name)) })))
            .await
    }

    pub(crate) async fn scale(&self, service: &str, replicas: u64) -> u64 {
        self.ask(Action::ScaleService(ScaleService { service: service.into(), replicas })).await
    }

    /// Opens the doors, and connects to them.
    pub(super) async fn open(&self, greetings: GreetingLimits) -> Channel {
        let path = self.dir.path().join("skep.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let hub = Hub::start(self.drive.clone(), Id(1));
        let (broker, pulls) = (Arc::new(Broker::default()), Arc::new(Pulls::default()));
        let doors = Doors {
            control: ControlService::new(self.drive.clone(), self.reads.clone()),
            history: HistoryService::new(self.reads.clone()),
            logs: LogsService::new(self.drive.clone(), hub.clone(), broker.clone()),
            dispatcher: DispatcherService::new(hub, broker, pulls).with_limits(greetings),
            metrics: Arc::new(String::new),
        };
        let door = self.reads.door().unwrap().clone();
        tokio::spawn(doors.serve(door, listener, CancellationToken::new()));
        let connect = tower::service_fn(move |_| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        Endpoint::from_static("http://skep.invalid").connect_with_connector(connect).await.unwrap()
    }
}
