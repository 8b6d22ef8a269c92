//! Stories about a stopped manager, through its services.

use super::*;
use crate::history::testing::write;
use skep_projections::fixture::World;
use skep_proto::v1::{
    DiffRequest, EntriesRequest, LogRequest, Moment, Refused, WhyRequest,
    control_client::ControlClient, history_client::HistoryClient, moment,
};

const STORY: &str =
    "node n1 | service web replicas=2 | wait 10s | task web.1 on n1 running | scale web 5";

/// The folder of a manager that told this story and was stopped.
async fn stopped_manager() -> tempfile::TempDir {
    let written = write(&World::of(STORY)).await;
    written.log.close().await;
    written.dir
}

fn at(revision: u64) -> Option<Moment> {
    Some(Moment { moment: Some(moment::Moment::Revision(revision)) })
}

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_reads_of_now_and_of_then() {
    let dir = stopped_manager().await;
    let mut control = ControlClient::new(channel(dir.path(), None).await.unwrap());
    let now = control.list_services(v1::ListRequest::default()).await.unwrap().into_inner();
    assert_eq!(now.services[0].status.unwrap().desired_tasks, 5);
    let then = v1::ListRequest { moment: at(now.revision - 1), ..v1::ListRequest::default() };
    let then = control.list_services(then).await.unwrap().into_inner();
    assert_eq!(then.services[0].status.unwrap().desired_tasks, 2);
    assert_eq!(then.revision, now.revision - 1);
    let tasks = control.list_tasks(v1::ListRequest::default()).await.unwrap().into_inner();
    assert_eq!(tasks.tasks[0].name, "web.1");
    let status = control.status(v1::StatusRequest {}).await.unwrap().into_inner();
    assert_eq!(
        (status.accepting.as_str(), status.revision, status.leader),
        (reads::STOPPED, now.revision, false)
    );
    assert!(status.log_bytes > 0);
    assert_eq!(status.tasks_running, 1);
    let request = v1::WatchServiceRequest { service: "web".into(), after_revision: 0 };
    let mut watch = control.watch_service(request).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().tasks.len(), 1);
    assert!(watch.message().await.unwrap().is_none(), "nothing will change");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_questions_about_the_past() {
    let dir = stopped_manager().await;
    let mut history = HistoryClient::new(channel(dir.path(), None).await.unwrap());
    let request = LogRequest { tail: 1, ..LogRequest::default() };
    let mut log = history.log(request).await.unwrap().into_inner();
    let last = log.message().await.unwrap().unwrap();
    assert_eq!(
        (last.kind.as_str(), last.summary.as_str()),
        ("service_scaled", "service web scaled to 5")
    );
    assert!(log.message().await.unwrap().is_none());
    // To follow is no error; there is just nothing to come.
    let mut log = history
        .log(LogRequest { follow: true, all: true, ..LogRequest::default() })
        .await
        .unwrap()
        .into_inner();
    let mut told = 0;
    while log.message().await.unwrap().is_some() {
        told += 1;
    }
    assert_eq!(told, last.revision);
    let why = WhyRequest { object: "web".into(), moment: None };
    let why = history.why(why).await.unwrap().into_inner();
    assert_eq!(why.verdict, "web runs 1 of 5: the others are on their way");
    let diff = DiffRequest { from: at(last.revision - 1), to: None };
    let diff = history.diff(diff).await.unwrap().into_inner();
    assert_eq!((diff.changes.len(), diff.changes[0].name.as_str()), (1, "web"));
    assert!(
        diff.changes[0].fields.iter().any(|f| (f.before.as_str(), f.after.as_str()) == ("2", "5")),
        "{diff:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_hands_out_entries_as_they_are_stored() {
    let dir = stopped_manager().await;
    let mut history = HistoryClient::new(channel(dir.path(), None).await.unwrap());
    let request = EntriesRequest { from_revision: 1, to_revision: 0 };
    let mut entries = history.entries(request).await.unwrap().into_inner();
    let (mut parent, mut next) = (skep_log::Hash::ZERO, 1);
    while let Some(stored) = entries.message().await.unwrap() {
        let entry = skep_log::unseal(stored.entry).unwrap();
        assert_eq!(
            (&entry.header.parent_hash[..], entry.header.first_revision),
            (&parent.0[..], next)
        );
        (parent, next) = (entry.hash, next + entry.records.len() as u64);
    }
    assert_eq!(next, World::of(STORY).view.position().revision.0 + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_and_moments_that_are_not_there_are_refused_with_a_hint() {
    let dir = stopped_manager().await;
    let mut control = ControlClient::new(channel(dir.path(), None).await.unwrap());
    let refused = |status: Status| {
        let refused: Refused = prost::Message::decode(status.details()).unwrap();
        (status.code(), status.message().to_owned(), refused.hint)
    };
    let (code, message, hint) = refused(control.submit(v1::Command::default()).await.unwrap_err());
    assert_eq!((code, message.as_str()), (tonic::Code::FailedPrecondition, reads::STOPPED));
    assert!(hint.contains("skep daemon"), "{hint}");
    let future = v1::ListRequest { moment: at(1_000), ..v1::ListRequest::default() };
    let (code, message, hint) = refused(control.list_nodes(future).await.unwrap_err());
    assert_eq!((code, message.as_str()), (tonic::Code::NotFound, "revision 1000 is in the future"));
    assert!(hint.starts_with("history holds revisions 1 to "), "{hint}");
    let unknown = v1::ListRequest {
        moment: at(2),
        objects: vec!["nowhere".into()],
        ..v1::ListRequest::default()
    };
    let (code, message, _) = refused(control.list_services(unknown).await.unwrap_err());
    let expected = "service \"nowhere\" not found at revision 2";
    assert_eq!((code, message.as_str()), (tonic::Code::NotFound, expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_without_a_log_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = channel(dir.path(), None).await.unwrap_err().to_string();
    assert!(error.contains(&dir.path().display().to_string()), "{error}");
}
