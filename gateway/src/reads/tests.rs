//! Stories about a running manager: what changes is seen by those who follow.

use super::*;
use crate::api::{history::HistoryService, testing::LiveCluster};
use futures::{Stream, StreamExt};
use skep_proto::v1::{
    self, LogRequest, RemoveService, WatchServiceReply, WatchServiceRequest, command::Action,
    history_server::History as _, moment,
};

/// Follows a service.
async fn watch(
    running: &LiveCluster,
    service: &str,
) -> impl Stream<Item = Result<WatchServiceReply, Status>> + use<> {
    let request = WatchServiceRequest { service: service.into(), after_revision: 0 };
    running.reads.watch_service(request).await.unwrap()
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
    let running = LiveCluster::start().await;
    running.create("web").await;
    running.create("db").await;
    let mut watched = Box::pin(watch(&running, "web").await);
    let first = until(&mut watched, 1).await;
    assert_eq!(first.tasks.len(), 1);
    running.scale("db", 4).await;
    running.scale("web", 3).await;
    let grown = until(&mut watched, 3).await;
    assert_eq!(
        grown.tasks.iter().map(|task| task.name.as_str()).collect::<Vec<_>>(),
        ["web.1", "web.2", "web.3"]
    );
    running.ask(Action::RemoveService(RemoveService { service: "web".into() })).await;
    let rest: Vec<_> = watched.map(Result::unwrap).collect().await;
    assert!(rest.last().unwrap().removed, "it ends with the service");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_of_the_log_hears_what_comes_and_only_what_it_asked_for() {
    let running = LiveCluster::start().await;
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
    let running = LiveCluster::start().await;
    let created = running.create("web").await;
    let now = running.reads.list_services(ListRequest::default()).await.unwrap().into_inner();
    assert_eq!(now.services.len(), 1);
    assert!(now.revision >= created);
    let before = Some(Moment { moment: Some(moment::Moment::Revision(created - 1)) });
    let then = running
        .reads
        .list_services(ListRequest { moment: before, ..ListRequest::default() })
        .await
        .unwrap()
        .into_inner();
    assert_eq!((then.services.len(), then.revision), (0, created - 1));
    let status = running.reads.status().await.unwrap();
    assert_eq!((status.leader, status.services, status.accepting.as_str()), (true, 1, "accepting"));
    assert_eq!(status.digest.len(), 16);
    let watch = crate::door::DoorWatch::default();
    assert!(
        crate::api::metrics::render(&running.drive, running.reads.limiter().unwrap(), &watch)
            .contains("skep_service_tasks_desired{service=\"web\"} 1")
    );
}

#[test]
fn no_error_of_a_call_has_a_number_of_the_system_in_it() {
    let told = |status: &Status| {
        let refused = v1::Refused::decode(status.details()).unwrap_or_default();
        (status.message().to_owned(), refused.message)
    };
    let of_the_system = "/log: Input/output error (os error 5)";
    let expected = "/log: input/output error";
    let read = history::PastError::Unfoldable(of_the_system.into());
    assert_eq!(told(&past_status(&read)), (expected.to_owned(), expected.to_owned()));
    let refused = status(&Refusal::not_found(of_the_system));
    assert_eq!(told(&refused), (expected.to_owned(), expected.to_owned()));
    let failed = failure(Code::Unavailable, &std::io::Error::from_raw_os_error(24));
    assert_eq!(failed.message(), "too many open files");
}
