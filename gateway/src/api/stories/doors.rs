//! Stories about the door to the network: who gets in, with what, and what the others hear.

use super::{super::testing::nodes, *};
use skep_proto::v1::{NodeRole, TurnedCode, command::Action, to_agent::Message};
use skep_trust::{
    CertificateAuthority, CertificateRequest, JoinToken, ManagerExpectation, NodeKey, NodeName,
    Validity, client_config,
};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use v1::dispatcher_client::DispatcherClient;

async fn opened() -> (LiveCluster, SocketAddr) {
    let running = LiveCluster::start().await;
    running.open(GreetingLimits::default()).await;
    let door = running.open_door().await;
    // The first that joins waits until the authority is recorded.
    running.join().await;
    (running, door)
}

impl LiveCluster {
    pub(super) fn token(&self, role: NodeRole) -> JoinToken {
        self.authority().join_token(&self.drive.newest().view, role).unwrap()
    }

    /// A machine without a certificate asks to be let in.
    pub(super) async fn knock(&self, door: SocketAddr, token: &str) -> (NodeKey, Message) {
        let digest = self.token(NodeRole::Worker).root_digest;
        let expect = ManagerExpectation::Pinned { digest, learned: Default::default() };
        let channel = nodes::enter(door, client_config(None, expect).unwrap()).await.unwrap();
        let key = NodeKey::generate().unwrap();
        let description = Some(skep_projections::fixture::node_description("n2"));
        let (request, token) = (key.request().unwrap().into(), token.to_owned());
        let join = v1::Join { request, token, description, ..v1::Join::default() };
        let answer = DispatcherClient::new(channel).join(join).await.unwrap().into_inner();
        (key, answer.message.unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_with_the_workers_token_becomes_a_worker() {
    let (running, door) = opened().await;
    let token = running.token(NodeRole::Worker).to_string();
    let (key, answer) = running.knock(door, &token).await;
    let Message::Certified(certified) = answer else { panic!("{answer:?}") };
    assert_eq!(certified.role(), NodeRole::Worker);
    let channel = nodes::enter(door, nodes::tls(&key, &certified)).await.unwrap();
    let description = Some(skep_projections::fixture::node_description("n2"));
    let hello = v1::Hello { description, ..v1::Hello::default() };
    let (_say, attached) = attach(&channel, Some(v1::from_agent::Message::Hello(hello))).await;
    let first = timeout(SOON, attached.unwrap().message()).await.unwrap().unwrap().unwrap();
    let Some(Message::Welcome(welcome)) = first.message else { panic!("{first:?}") };
    assert_eq!(welcome.node_id, certified.node_id);
    let mut control = v1::control_client::ControlClient::new(channel);
    let denied = control.submit(v1::Command::default()).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied, "a node gives no commands");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_none_or_not_any_more_lets_nobody_in() {
    let (running, door) = opened().await;
    let token = running.token(NodeRole::Worker);
    let foreign = CertificateAuthority::found(skep_proto::Timestamp(1)).unwrap();
    let rotate = Action::RotateJoinToken(v1::RotateJoinToken { role: NodeRole::Worker as i32 });
    running.ask(rotate).await;
    let cases = [
        (String::new(), "join token"),
        ("SWMTKN-1-x".into(), "join token"),
        (token.to_string(), "rotated since"),
        (foreign.join_token(NodeRole::Worker, &[1; 16]).to_string(), "not one of this cluster's"),
        ("x".repeat(1 << 20), "join token"),
    ];
    let nodes = running.drive.newest().view.nodes().len();
    for (token, expected) in cases {
        let (_, answer) = running.knock(door, &token).await;
        let Message::Turned(turned) = answer else { panic!("{answer:?}") };
        assert_eq!(turned.code(), TurnedCode::WrongToken, "{turned:?}");
        assert!(turned.message.contains(expected), "{turned:?}");
        assert!(turned.message.len() < 1_000);
    }
    assert_eq!(running.drive.newest().view.nodes().len(), nodes);
    let (_, answer) = running.knock(door, &running.token(NodeRole::Worker).to_string()).await;
    assert!(matches!(answer, Message::Certified(_)), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_none_is_answered_and_a_node_renews_its_own_certificate_alone() {
    let (running, door) = opened().await;
    let (key, certified) = running.join().await;
    let tls = nodes::tls(&key, &certified);
    let mut dispatcher = DispatcherClient::new(nodes::enter(door, tls).await.unwrap());
    let request = |key: &NodeKey| v1::RenewRequest { request: key.request().unwrap().into() };
    let renewed = dispatcher.renew(request(&key)).await.unwrap().into_inner();
    assert_eq!(renewed.node_id, certified.node_id);
    let read = skep_trust::NodeCertificate::read(&renewed.certificate).unwrap();
    assert_eq!((read.key, &read.serial[..]), (key.digest(), &renewed.serial[..]));
    let other = dispatcher.renew(request(&NodeKey::generate().unwrap())).await.unwrap_err();
    assert_eq!(
        (other.code(), other.message()),
        (Code::PermissionDenied, "the request is for another key than the certificate's")
    );
    let garbage = v1::RenewRequest { request: vec![7; 100].into() };
    assert_eq!(dispatcher.renew(garbage).await.unwrap_err().code(), Code::InvalidArgument);
    let join = v1::Join { request: vec![7; 100_000].into(), ..v1::Join::default() };
    let mut local = DispatcherClient::new(running.connect().await);
    let answer = local.join(join).await.unwrap().into_inner();
    let Some(Message::Turned(turned)) = answer.message else { panic!("{answer:?}") };
    assert_eq!(turned.code(), TurnedCode::WrongKey);
    let denied = local.renew(v1::RenewRequest::default()).await.unwrap_err();
    assert_eq!(denied.code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_removed_hears_so_and_gets_nothing() {
    let (running, door) = opened().await;
    let (key, answer) = running.knock(door, &running.token(NodeRole::Worker).to_string()).await;
    let Message::Certified(certified) = answer else { panic!("{answer:?}") };
    let channel = nodes::enter(door, nodes::tls(&key, &certified)).await.unwrap();
    let node = skep_proto::Id::from_bytes(&certified.node_id).to_string();
    running.ask(Action::RemoveNode(v1::RemoveNode { node, force: true })).await;
    let hello = v1::from_agent::Message::Hello(v1::Hello::default());
    let (_say, attached) = attach(&channel, Some(hello)).await;
    let first = timeout(SOON, attached.unwrap().message()).await.unwrap().unwrap().unwrap();
    let Some(Message::Turned(turned)) = first.message else { panic!("{first:?}") };
    assert_eq!(turned.code(), TurnedCode::NodeRemoved);
    let mut dispatcher = DispatcherClient::new(channel);
    let request = v1::RenewRequest { request: key.request().unwrap().into() };
    assert_eq!(dispatcher.renew(request).await.unwrap_err().code(), Code::NotFound);
    let chunks = tokio_stream::iter([v1::LogChunk::default()]);
    let denied = dispatcher.publish_logs(chunks).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_cluster_opens_no_connection() {
    let (running, door) = opened().await;
    let (key, certified) = running.join().await;
    let foreign = CertificateAuthority::found(crate::clock::wall()).unwrap();
    let request = CertificateRequest::parse(&key.request().unwrap()).unwrap();
    let name = NodeName {
        node: skep_proto::Id::from_bytes(&certified.node_id),
        role: NodeRole::Worker,
        cluster: skep_proto::Id::from_bytes(&certified.cluster_id),
    };
    let validity = Validity::from(crate::clock::wall(), u64::MAX / 4);
    let forged = foreign.issue(&request, &name, validity, [1; 16]).unwrap();
    let forged = v1::Certified { certificate: forged.to_vec().into(), ..certified };
    let refused = match nodes::enter(door, nodes::tls(&key, &forged)).await {
        Err(_) => true,
        // In TLS 1.3 the client learns of it with its first call.
        Ok(channel) => DispatcherClient::new(channel).join(v1::Join::default()).await.is_err(),
    };
    assert!(refused, "a forged certificate is taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_tls_is_closed_and_the_next_one_is_served() {
    let (running, door) = opened().await;
    for said in [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], b"GET / HTTP/1.1\r\n\r\n", &[22; 4096]] {
        let mut stream = TcpStream::connect(door).await.unwrap();
        // It may be closed already.
        stream.write_all(said).await.ok();
        let mut heard = Vec::new();
        let ended = timeout(SOON, stream.read_to_end(&mut heard)).await.expect("it is closed");
        assert!(ended.is_err() || heard.len() < 100, "{heard:?}");
    }
    let (_, answer) = running.knock(door, &running.token(NodeRole::Worker).to_string()).await;
    assert!(matches!(answer, Message::Certified(_)), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_cannot_be_opened_is_refused_with_the_reason() {
    let running = LiveCluster::start().await;
    let channel = running.open(GreetingLimits::default()).await;
    let mut membership = v1::membership_client::MembershipClient::new(channel);
    let refused = membership.await_port(v1::PortChoice::default()).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::InvalidArgument, "that is not an address")
    );
    let refused = membership.choose_port(v1::ChoosePortRequest::default()).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::FailedPrecondition, "this manager's own node has not joined the cluster yet")
    );
}
