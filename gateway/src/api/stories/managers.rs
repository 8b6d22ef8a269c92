//! Stories about what managers ask of each other.

use super::{super::testing::nodes, *};
use crate::{admit::Request, forwarded, turn::Answer};
use skep_proto::{
    FEATURE_LEVEL, Id, author,
    v1::{NodeRole, managers_client::ManagersClient, to_agent::Message},
};
use std::net::SocketAddr;

/// A manager, its port, and a machine that has joined with this role's token.
async fn joined(role: NodeRole) -> (LiveCluster, SocketAddr, Channel, Id) {
    let running = LiveCluster::start().await;
    running.open(GreetingLimits::default()).await;
    let door = running.open_door().await;
    // The first that joins waits until the authority is recorded.
    running.join().await;
    let token = running.token(role).to_string();
    let (key, answer) = running.knock(door, &token).await;
    let Message::Certified(certified) = answer else { panic!("{answer:?}") };
    assert_eq!(certified.role(), role);
    let channel = nodes::enter(door, nodes::tls(&key, &certified)).await.unwrap();
    (running, door, channel, Id::from_bytes(&certified.node_id))
}

fn remove_service() -> v1::ForwardedRequest {
    let remove = v1::RemoveService { service: "web".into() };
    let action = Some(v1::command::Action::RemoveService(remove));
    let command = v1::Command { action, ..v1::Command::default() };
    let alice = author::person(v1::Person { uid: 1000, ..v1::Person::default() });
    forwarded::encode_request(&alice, &Request::Command(command)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_with_the_managers_token_gets_a_number_and_may_ask_what_managers_ask() {
    let (running, _, channel, node) = joined(NodeRole::Manager).await;
    let view = running.drive.newest().view.clone();
    let (_, row) = view.nodes().by_id(node).unwrap();
    assert_eq!(row.manager.map(|manager| manager.raft_id), Some(2), "the first is the manager's");
    let mut managers = ManagersClient::new(channel);
    let index = managers.read_index(v1::ReadIndexRequest {}).await.unwrap().into_inner();
    assert!(index.leads);
    assert!(index.revision >= view.position().revision.0);
    let requests = vec![remove_service(), remove_service()];
    let forwarded = managers.forward(v1::ForwardedRequests { requests }).await.unwrap();
    let answers = forwarded.into_inner();
    assert!(!answers.not_leading);
    let answers: Vec<_> = answers.answers.into_iter().map(forwarded::decode_answer).collect();
    let [Some((Answer::Refused(refusal), decided_on)), Some(_)] = &answers[..] else {
        panic!("{answers:?}")
    };
    assert_eq!(refusal.message, "service \"web\" not found");
    assert!(*decided_on <= running.drive.newest().view.position().revision);
    let key = managers
        .authority_key(v1::AuthorityKeyRequest { feature_level: FEATURE_LEVEL })
        .await
        .unwrap()
        .into_inner()
        .key;
    assert!(key.starts_with(b"-----BEGIN PRIVATE KEY"));
    // Not a message of raft: it is answered with what is wrong.
    let raft = managers.raft(v1::RaftMessage { body: b"nonsense"[..].into() }).await.unwrap();
    assert!(!raft.into_inner().body.is_empty());
    let order = Some(v1::LogOrder { request: 7, ..v1::LogOrder::default() });
    let order = v1::NodeLogOrder { node_id: Id(5).to_bytes(), order };
    let refused = managers.read_logs(order.clone()).await.unwrap_err();
    assert_eq!(refused.message(), "the node has no session with this manager");
    assert!(!managers.add_to_order(order).await.unwrap().into_inner().taken);
    let requests = vec![v1::ForwardedRequest::default(), remove_service()];
    let forwarded = managers.forward(v1::ForwardedRequests { requests }).await.unwrap();
    let answers = forwarded.into_inner().answers.into_iter().map(forwarded::decode_answer);
    let [Some((Answer::Refused(unknown), _)), Some((Answer::Refused(known), _))] =
        &answers.collect::<Vec<_>>()[..]
    else {
        panic!("two refusals")
    };
    let older = "the manager that leads does not know this request: its version is older";
    assert_eq!((&*unknown.message, &*known.message), (older, "service \"web\" not found"));
    let room = managers.room(v1::RoomRequest {}).await.unwrap().into_inner();
    assert!((1..=1_000_000).contains(&room.free_millionths), "{room:?}");
    assert_eq!(room.feature_level, FEATURE_LEVEL);
    let older = managers.authority_key(v1::AuthorityKeyRequest::default()).await.unwrap_err();
    let told = format!(
        "the records of this cluster are of feature level {FEATURE_LEVEL}, and the program of the node \
         that is to be a manager knows level 6: install the version of the other managers there"
    );
    assert_eq!(older.message(), told);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_asks_nothing_of_what_managers_ask() {
    let (_running, _, channel, node) = joined(NodeRole::Worker).await;
    let mut managers = ManagersClient::new(channel);
    let none = format!("node {node} is no manager");
    for refused in [
        managers
            .authority_key(v1::AuthorityKeyRequest { feature_level: FEATURE_LEVEL })
            .await
            .map(drop),
        managers.forward(v1::ForwardedRequests::default()).await.map(drop),
        managers.read_index(v1::ReadIndexRequest {}).await.map(drop),
        managers.raft(v1::RaftMessage::default()).await.map(drop),
        managers.read_logs(v1::NodeLogOrder::default()).await.map(drop),
        managers.add_to_order(v1::NodeLogOrder::default()).await.map(drop),
    ] {
        let refused = refused.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (Code::PermissionDenied, &*none));
    }
}
