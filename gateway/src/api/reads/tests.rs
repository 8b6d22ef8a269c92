//! Stories about a running manager: what changes is seen by those who follow.

use super::*;
use crate::api::door::Limits;
use crate::{
    admit::Request,
    api::history::HistoryService,
    drive::{DriveState, ManagerIdentity},
    history::testing::alice,
    metrics::Counters,
    turn::Answer,
};
use futures::{Stream, StreamExt};
use skep_log::{Config, Log};
use skep_projections::fixture::service_spec;
use skep_proto::v1::{
    Command, CreateService, LogRequest, RemoveService, ScaleService, WatchServiceReply,
    WatchServiceRequest, command::Action, history_server::History as _, moment,
};
use tempfile::TempDir;

struct Running {
    drive: Drive,
    reads: Reads,
    _dir: TempDir,
}

impl Running {
    async fn start() -> Running {
        let dir = TempDir::new().unwrap();
        let config = Config { min_free: 0.0, ..Config::new(dir.path().join("log"), Id(1)) };
        let identity = ManagerIdentity {
            node: Id(1),
            code_version: "story".into(),
            genesis: skep_proto::v1::ClusterSpec::default(),
            safe_mode: false,
        };
        let state = DriveState::new(identity, Arc::new(Counters::default()));
        let log = Arc::new(Log::open(config, state.fold()).await.unwrap());
        let (drive, _) = Drive::start(log, state);
        let door = Door::new("story", Limits { all: 4, process: 4 });
        let reads = Reads::live(drive.clone(), Arc::default(), Id(1), door);
        Running { drive, reads, _dir: dir }
    }

    async fn ask(&self, action: Action) -> u64 {
        let command = Command { action: Some(action), ..Command::default() };
        let answer = self.drive.ask(alice(), Request::Command(command), 100).await;
        let Answer::Accepted { revision, .. } = answer else { panic!("{answer:?}") };
        revision.0
    }

    async fn create(&self, name: &str) -> u64 {
        self.ask(Action::CreateService(Box::new(CreateService { spec: Some(service_spec(name)) })))
            .await
    }

    async fn scale(&self, service: &str, replicas: u64) -> u64 {
        self.ask(Action::ScaleService(ScaleService { service: service.into(), replicas })).await
    }

    async fn watch(
        &self,
        service: &str,
    ) -> impl Stream<Item = Result<WatchServiceReply, Status>> + use<> {
        let request = WatchServiceRequest { service: service.into(), after_revision: 0 };
        self.reads.watch_service(request).await.unwrap()
    }
}

/// The next reply in which so many tasks are desired.
async fn until(
    watch: &mut (impl Stream<Item = Result<WatchServiceReply, Status>> + Unpin),
    desired: u64,
) -> WatchServiceReply {
    loop {
        let reply = watch.next().await.unwrap().unwrap();
        if reply.service.as_ref().unwrap().status.unwrap().desired_tasks == desired {
            return reply;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_service_is_seen_at_once_and_as_it_changes_until_it_is_removed() {
    let running = Running::start().await;
    running.create("web").await;
    running.create("db").await;
    let mut watch = Box::pin(running.watch("web").await);
    let first = until(&mut watch, 1).await;
    assert_eq!(first.tasks.len(), 1);
    running.scale("db", 4).await;
    running.scale("web", 3).await;
    let grown = until(&mut watch, 3).await;
    assert_eq!(
        grown.tasks.iter().map(|task| task.name.as_str()).collect::<Vec<_>>(),
        ["web.1", "web.2", "web.3"]
    );
    running.ask(Action::RemoveService(RemoveService { service: "web".into() })).await;
    let rest: Vec<_> = watch.map(Result::unwrap).collect().await;
    assert!(rest.last().unwrap().removed, "it ends with the service");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_of_the_log_hears_what_comes_and_only_what_it_asked_for() {
    let running = Running::start().await;
    running.create("web").await;
    let service = HistoryService::new(running.reads.clone());
    let request = LogRequest { follow: true, objects: vec!["web".into()], ..LogRequest::default() };
    let mut log = service.log(tonic::Request::new(request)).await.unwrap().into_inner();
    assert_eq!(log.next().await.unwrap().unwrap().summary, "service web created: 1 × app");
    running.create("db").await;
    running.scale("web", 2).await;
    let mut told = Vec::new();
    while told.last() != Some(&"service web scaled to 2".to_owned()) {
        told.push(log.next().await.unwrap().unwrap().summary);
    }
    assert!(!told.iter().any(|line| line.contains("db")), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_sees_what_was_answered_before_it_and_a_past_one_does_not() {
    let running = Running::start().await;
    let created = running.create("web").await;
    let now = running.reads.list_services(ListRequest::default()).await.unwrap();
    assert_eq!(now.services.len(), 1);
    assert!(now.revision >= created);
    let before = Some(Moment { moment: Some(moment::Moment::Revision(created - 1)) });
    let then = running
        .reads
        .list_services(ListRequest { moment: before, ..ListRequest::default() })
        .await
        .unwrap();
    assert_eq!((then.services.len(), then.revision), (0, created - 1));
    let status = running.reads.status().await.unwrap();
    assert_eq!((status.leader, status.services, status.accepting.as_str()), (true, 1, "accepting"));
    assert_eq!(status.digest.len(), 16);
    assert!(
        crate::metrics::render(&running.drive, running.reads.door().unwrap())
            .contains("skep_service_tasks_desired{service=\"web\"} 1")
    );
}
