//! Stories about calls to the services, hostile ones among them: each is answered, and
//! none takes more than its bound.

mod doors;
mod hostile;
mod managers;
mod silent_log;

use super::{dispatcher::GreetingLimits, testing::LiveCluster};
use futures::StreamExt;
use skep_proto::v1;
use std::time::Duration;
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming, transport::Channel};

/// Long enough for any answer of a test; a call that waits longer hangs.
const SOON: Duration = Duration::from_secs(20);

fn said(message: v1::from_agent::Message) -> v1::FromAgent {
    v1::FromAgent { message: Some(message) }
}

/// Opens an agent's stream that begins so; nothing more is said on it yet.
async fn attach(
    channel: &Channel,
    first: Option<v1::from_agent::Message>,
) -> (mpsc::Sender<v1::FromAgent>, Result<Streaming<v1::ToAgent>, Status>) {
    let (say, stream) = mpsc::channel(8);
    if let Some(first) = first {
        say.send(said(first)).await.unwrap();
    }
    let mut client = v1::dispatcher_client::DispatcherClient::new(channel.clone());
    let attached = timeout(SOON, client.attach(ReceiverStream::new(stream))).await;
    let attached = attached.expect("it is answered");
    (say, attached.map(tonic::Response::into_inner))
}

/// From an agent that does not know its machine's name.
fn nameless() -> v1::Hello {
    v1::Hello::default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_does_not_begin_with_hello_is_ended() {
    let running = LiveCluster::start().await;
    running.open(GreetingLimits::default()).await;
    let channel = running.connect_node().await;
    for first in [
        v1::from_agent::Message::Heartbeat(v1::Heartbeat { beat: 1 }),
        v1::from_agent::Message::Report(v1::Report::default()),
    ] {
        let (_say, attached) = attach(&channel, Some(first)).await;
        let error = attached.unwrap_err();
        assert_eq!(
            (error.code(), error.message()),
            (Code::InvalidArgument, "an agent's stream begins with hello")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_never_say_hello_are_bounded_in_time_and_number() {
    let running = LiveCluster::start().await;
    let limits = GreetingLimits { wait: Duration::from_millis(500), streams: 1 };
    running.open(limits).await;
    let channel = running.connect_node().await;
    let mute = tokio::spawn({
        let channel = channel.clone();
        async move { attach(&channel, None).await.1.unwrap_err() }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (_say, second) = attach(&channel, Some(v1::from_agent::Message::Hello(nameless()))).await;
    let error = second.unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (Code::Unavailable, "1 agents are connecting already; try again")
    );
    let error = mute.await.unwrap();
    assert_eq!(
        (error.code(), error.message()),
        (Code::DeadlineExceeded, "no hello came on this stream")
    );
    let (_say, third) = attach(&channel, Some(v1::from_agent::Message::Hello(nameless()))).await;
    assert!(third.is_ok(), "there is room again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_turned_away_loses_its_stream_in_both_directions() {
    let running = LiveCluster::start().await;
    running.open(GreetingLimits::default()).await;
    let channel = running.connect_node().await;
    let (say, attached) = attach(&channel, Some(v1::from_agent::Message::Hello(nameless()))).await;
    let mut heard = attached.unwrap();
    let first = timeout(SOON, heard.message()).await.unwrap().unwrap().unwrap();
    let Some(v1::to_agent::Message::Turned(turned)) = first.message else { panic!("{first:?}") };
    assert_eq!(
        (turned.code(), turned.message.as_str()),
        (v1::TurnedCode::Retry, "\"\" is not a host name for a node")
    );
    assert!(timeout(SOON, heard.message()).await.unwrap().unwrap().is_none(), "its end");
    // It goes on talking; nobody reads it any more.
    timeout(SOON, say.closed()).await.expect("the manager's side is closed too");
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_stand_for_nothing_and_text_of_any_kind_end_no_session() {
    let running = LiveCluster::start().await;
    running.open(GreetingLimits::default()).await;
    let channel = running.connect_node().await;
    let description = v1::NodeDescription {
        hostname: "n\u{202e}ö1".into(),
        runtime: 99,
        ..v1::NodeDescription::default()
    };
    let hello = v1::Hello {
        description: Some(description),
        conditions: vec![v1::Condition { kind: 12_345, ..v1::Condition::default() }; 100],
        ..v1::Hello::default()
    };
    let (say, attached) = attach(&channel, Some(v1::from_agent::Message::Hello(hello))).await;
    let mut heard = attached.unwrap();
    let task = v1::TaskObserved {
        task_id: bytes::Bytes::from_static(b"short"),
        state: -7,
        message: "x".repeat(100_000),
        ..v1::TaskObserved::default()
    };
    let report = v1::Report { number: 1, tasks: vec![v1::TaskObserved::default(), task] };
    let mut acknowledged = false;
    while !acknowledged {
        let message = timeout(SOON, heard.message()).await.unwrap().unwrap().expect("it goes on");
        match message.message {
            Some(v1::to_agent::Message::Welcome(_)) => {
                say.send(v1::FromAgent { message: None }).await.unwrap();
                say.send(said(v1::from_agent::Message::Hello(nameless()))).await.unwrap();
                say.send(said(v1::from_agent::Message::Report(report.clone()))).await.unwrap();
            }
            Some(v1::to_agent::Message::Ack(ack)) => acknowledged = ack.number == 1,
            Some(v1::to_agent::Message::Assignments(_) | v1::to_agent::Message::Managers(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_without_sense_are_refused_and_the_next_one_is_answered() {
    let running = LiveCluster::start().await;
    let mut control =
        v1::control_client::ControlClient::new(running.open(GreetingLimits::default()).await);
    let actions = [
        None,
        Some(v1::command::Action::CreateService(Box::new(v1::CreateService { spec: None }))),
        Some(v1::command::Action::RemoveService(v1::RemoveService { service: String::new() })),
        Some(v1::command::Action::RemoveService(v1::RemoveService {
            service: "\0\u{feff}💥".repeat(10_000),
        })),
        Some(v1::command::Action::UpdateNode(v1::UpdateNode {
            node: "x".into(),
            version: u64::MAX,
            availability: Some(-1),
            ..v1::UpdateNode::default()
        })),
    ];
    for action in actions {
        let command = v1::Command { action, ..v1::Command::default() };
        let reply = timeout(SOON, control.submit(command)).await.unwrap().unwrap().into_inner();
        let Some(v1::command_reply::Outcome::Refused(refused)) = reply.outcome else {
            panic!("{reply:?}")
        };
        assert!(refused.message.len() < 1_000, "it is said back at a bounded length");
    }
    let large = v1::Command { reason: "x".repeat(2 << 20), ..v1::Command::default() };
    let reply = timeout(SOON, control.submit(large)).await.unwrap().unwrap().into_inner();
    let Some(v1::command_reply::Outcome::Refused(refused)) = reply.outcome else {
        panic!("{reply:?}")
    };
    assert_eq!(refused.message, "the command has 2MiB; at most 1.5MiB are taken");
    assert!(running.create("web").await > 0);
}

/// An error's code, its message and its hint.
fn refused(status: &Status) -> (Code, String, String) {
    let refused: v1::Refused = prost::Message::decode(status.details()).unwrap();
    (status.code(), status.message().to_owned(), refused.hint)
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_of_what_is_not_there_or_not_yet_are_answered() {
    let running = LiveCluster::start().await;
    let newest = running.create("web").await;
    let channel = running.open(GreetingLimits::default()).await;
    let (mut control, mut history) = (
        v1::control_client::ControlClient::new(channel.clone()),
        v1::history_client::HistoryClient::new(channel.clone()),
    );
    let moment = Some(v1::Moment { moment: Some(v1::moment::Moment::Revision(u64::MAX)) });
    let future = v1::ListRequest { moment, ..v1::ListRequest::default() };
    let (code, message, _) = refused(&control.list_tasks(future).await.unwrap_err());
    assert_eq!(
        (code, message),
        (Code::NotFound, format!("revision {} is in the future", u64::MAX))
    );
    let odd = v1::Filter { key: "desired-state".into(), values: vec!["fine".into()] };
    let odd = v1::ListRequest { filters: vec![odd], ..v1::ListRequest::default() };
    let (code, message, hint) = refused(&control.list_tasks(odd).await.unwrap_err());
    assert_eq!(
        (code, message.as_str()),
        (Code::InvalidArgument, "\"fine\" is not a valid desired-state")
    );
    assert!(hint.contains("running"), "{hint}");
    for object in ["", "*", "\u{0}", "a/b/c", &"9".repeat(100_000)] {
        let why = v1::WhyRequest { object: object.into(), moment: None };
        let (code, message, _) = refused(&history.why(why).await.unwrap_err());
        assert!(matches!(code, Code::NotFound | Code::InvalidArgument), "{message}");
        assert!(message.len() < 1_100, "{}", message.len());
    }
    let backwards =
        v1::LogRequest { from_revision: 9, to_revision: 3, ..v1::LogRequest::default() };
    let (code, message, hint) = refused(&history.log(backwards).await.unwrap_err());
    assert_eq!(
        (code, message.as_str()),
        (Code::InvalidArgument, "9 to 3 is not a range of revisions")
    );
    assert!(hint.starts_with("history ends at revision "), "{hint}");
    let many = v1::LogRequest { objects: vec!["web".into(); 1_025], ..v1::LogRequest::default() };
    let (code, message, _) = refused(&history.log(many).await.unwrap_err());
    assert_eq!(code, Code::InvalidArgument);
    assert_eq!(message, "1025 objects or authors are too many: 1024 are possible");
    let later = newest + 1_000;
    let entries = v1::EntriesRequest { from_revision: later, to_revision: 0 };
    assert_eq!(history.entries(entries).await.unwrap_err().code(), Code::InvalidArgument);
    let ahead = v1::LogRequest { from_revision: later, ..v1::LogRequest::default() };
    let (code, message, _) = refused(&history.log(ahead).await.unwrap_err());
    assert_eq!((code, message), (Code::NotFound, format!("revision {later} is in the future")));
    let logs = v1::LogsRequest { tasks: vec![String::new()], ..v1::LogsRequest::default() };
    let (code, message, _) =
        refused(&v1::logs_client::LogsClient::new(channel).read(logs).await.unwrap_err());
    assert_eq!((code, message.as_str()), (Code::InvalidArgument, "no task is named"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_from_a_revision_that_does_not_come_is_told() {
    let mut running = LiveCluster::start().await;
    running.create("web").await;
    running.reads = running.reads.clone().with_revision_wait(Duration::from_millis(50));
    let request = v1::WatchServiceRequest { service: "web".into(), after_revision: u64::MAX };
    let error = timeout(SOON, running.reads.watch_service(request)).await.unwrap().err().unwrap();
    let (code, message, hint) = refused(&error);
    assert_eq!(
        (code, message),
        (Code::NotFound, format!("revision {} is in the future", u64::MAX))
    );
    assert!(hint.starts_with("history ends at revision "), "{hint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_of_history_are_bounded_in_number() {
    let running = LiveCluster::start().await;
    let newest = running.create("web").await;
    let mut history =
        v1::history_client::HistoryClient::new(running.open(GreetingLimits::default()).await);
    let follow =
        v1::LogRequest { follow: true, from_revision: newest + 2, ..v1::LogRequest::default() };
    let mut held = Vec::new();
    for _ in 0..64 {
        held.push(history.log(follow.clone()).await.unwrap().into_inner());
    }
    let (code, message, hint) = refused(&history.log(follow.clone()).await.unwrap_err());
    assert_eq!(
        (code, message.as_str()),
        (Code::Unavailable, "64 readers of history are served already")
    );
    assert_eq!(hint, "try again when one of them has finished");
    drop(held);
    let again = async {
        while history.log(follow.clone()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, again).await.expect("there is room again");
    let mut entries = history
        .entries(v1::EntriesRequest { from_revision: 1, to_revision: 1 })
        .await
        .unwrap()
        .into_inner();
    assert!(entries.next().await.unwrap().is_ok());
}
