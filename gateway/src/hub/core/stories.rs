//! Stories about the hub: which stream gets a message, and which is dropped.

use super::*;
use crate::admit::{self, CertificateAsked, CertificateClaim, Newcomer};
use sha2::{Digest as _, Sha256};
use skep_projections::{
    fixture::{World, id, node_description},
    trust::IssuedCertificate,
};
use skep_proto::v1::{
    Condition, Heartbeat, LogCancel, NodeDescription, NodeJoined, NodeRole, NodeSpec, TaskObserved,
    TaskState, event::Kind, from_agent, to_agent,
};
use skep_reconcilers::Entropy;

const NOW: Timestamp = Timestamp(1_000_000_000_000);

/// A hub, the cluster behind it, and the streams that take no message.
fn peer(name: &str) -> NodeOfPeer {
    NodeOfPeer { node: id("node", name), key_hash: Sha256::digest(name).into(), address: None }
}

struct HubWorld {
    cluster: World,
    core: HubCore<&'static str>,
    full: BTreeSet<Conn>,
}

impl HubWorld {
    /// Nodes that have joined before; none has a session.
    fn of(nodes: &[&str]) -> HubWorld {
        let mut cluster = World::empty();
        for name in nodes {
            cluster.record(Kind::NodeJoined(Box::new(NodeJoined {
                node_id: id("node", name).to_bytes(),
                spec: Some(NodeSpec::default()),
                description: Some(node_description(name)),
                secret_hash: bytes::Bytes::copy_from_slice(&Sha256::digest(name)),
            })));
        }
        let core = HubCore::new(Id::NONE, &cluster.view);
        HubWorld { cluster, core, full: BTreeSet::new() }
    }

    fn hello(&mut self, conn: u64, name: &str) -> Vec<String> {
        let hello = Hello { description: Some(node_description(name)), ..Hello::default() };
        let view = self.cluster.view.clone();
        let peer = peer(name);
        let stream = (Conn(conn), peer);
        self.core.handle_hello(stream, hello, 100 + conn, &view, NOW);
        self.act()
    }

    fn order(&mut self, name: &str) -> Vec<String> {
        let cancel = to_agent::Message::Cancel(LogCancel { request: 1 });
        self.core.handle_order(id("node", name), ToAgent { message: Some(cancel) }, "reader");
        self.act()
    }

    /// Does what the hub says until nothing is left, the turn's part too.
    fn act(&mut self) -> Vec<String> {
        let mut done = Vec::new();
        while let Some(output) = self.core.poll_output() {
            match output {
                HubOutput::Send(conn, message) => {
                    let taken = self.offer(conn);
                    done.push(format!("{} {} {taken}", conn.0, kind(&message)));
                    if !taken {
                        self.core.handle_full(conn);
                    }
                }
                HubOutput::Forward(conn, message, caller) => {
                    done.push(format!(
                        "{} {} for {caller} {}",
                        conn.0,
                        kind(&message),
                        self.offer(conn)
                    ));
                }
                HubOutput::NoSession(caller) => done.push(format!("no session for {caller}")),
                HubOutput::Drop(conn) => done.push(format!("{} dropped", conn.0)),
                HubOutput::Submit { token, request, .. } => {
                    done.push(admit::describe(&request).0.to_owned());
                    self.commit(token, &request);
                }
            }
        }
        done
    }

    fn offer(&self, conn: Conn) -> bool {
        !self.full.contains(&conn)
    }

    fn commit(&mut self, token: u64, request: &Request) {
        let admitted = admit::admit(&self.cluster.view, request, &Entropy::new([7; 32]));
        let mut delta = Delta::default();
        for (_, kind) in admitted.expect("the turn takes it").events {
            delta.merge(&self.cluster.record(kind));
        }
        let view = self.cluster.view.clone();
        self.core.handle_committed(&view, &delta, NOW);
        let revision = view.position().revision;
        let answer = Answer::Accepted {
            revision,
            through: revision,
            object: Id::NONE,
            changed: true,
            warnings: Vec::new(),
        };
        self.core.handle_answer(token, &answer, &view);
    }

    fn session_of(&self, name: &str) -> u64 {
        self.cluster.view.nodes().get(self.cluster.node(name)).expect("a node").session
    }
}

fn kind(message: &ToAgent) -> &'static str {
    match message.message.as_ref().expect("a message") {
        to_agent::Message::Welcome(_) => "welcome",
        to_agent::Message::Certified(_) => "certified",
        to_agent::Message::Assignments(_) => "assignments",
        to_agent::Message::Turned(_) => "turned",
        to_agent::Message::Ack(_) => "ack",
        to_agent::Message::Logs(_) => "logs",
        to_agent::Message::Cancel(_) => "cancel",
        to_agent::Message::HeartbeatPeriod(_) => "period",
        to_agent::Message::Managers(_) => "managers",
    }
}

#[test]
fn a_message_for_a_node_goes_to_the_stream_of_its_open_session_alone() {
    let mut world = HubWorld::of(&["a", "b"]);
    assert_eq!(world.order("a"), ["no session for reader"]);
    assert_eq!(world.hello(1, "a"), ["open_session", "1 welcome true", "1 assignments true"]);
    assert_eq!(world.order("a"), ["1 cancel for reader true"]);
    assert_eq!(world.order("b"), ["no session for reader"], "b has none");
    world.core.handle_gone(Conn(1));
    assert_eq!(world.act(), ["1 dropped", "close_session"]);
    assert_eq!(world.order("a"), ["no session for reader"]);
}

#[test]
fn nothing_is_forwarded_before_the_turn_has_accepted_the_session() {
    let mut world = HubWorld::of(&["a"]);
    let view = world.cluster.view.clone();
    let peer = peer("a");
    world.core.handle_hello((Conn(1), peer), Hello::default(), 101, &view, NOW);
    let cancel = to_agent::Message::Cancel(LogCancel { request: 1 });
    world.core.handle_order(id("node", "a"), ToAgent { message: Some(cancel) }, "reader");
    let early = std::iter::from_fn(|| world.core.poll_output()).last();
    assert!(matches!(early, Some(HubOutput::NoSession("reader"))), "{early:?}");
}

#[test]
fn an_agent_that_does_not_read_loses_its_stream_once_and_costs_no_other() {
    let mut world = HubWorld::of(&["a", "b"]);
    world.hello(1, "a");
    world.hello(2, "b");
    world.full.insert(Conn(1));
    let delta = world
        .cluster
        .tell("service web replicas=2 | task web.1 on a | task web.2 on b | heartbeat 1s");
    let view = world.cluster.view.clone();
    world.core.handle_committed(&view, &delta, NOW);
    let done = world.act();
    let of = |stream: &str| done.iter().filter(|line| line.starts_with(stream)).count();
    assert_eq!(done.iter().filter(|line| line.ends_with("false")).count(), 1, "{done:?}");
    assert_eq!(done.iter().filter(|line| *line == "1 dropped").count(), 1, "{done:?}");
    assert!(of("2 assignments true") == 1 && done.contains(&"close_session".into()), "{done:?}");
    assert_eq!(world.order("a"), ["no session for reader"]);
    assert_eq!(world.order("b"), ["2 cancel for reader true"]);
}

#[test]
fn a_stream_that_cannot_take_a_forwarded_message_keeps_its_session() {
    let mut world = HubWorld::of(&["a"]);
    world.hello(1, "a");
    world.full.insert(Conn(1));
    assert_eq!(world.order("a"), ["1 cancel for reader false"]);
    world.full.clear();
    assert_eq!(world.order("a"), ["1 cancel for reader true"]);
}

#[test]
fn who_is_turned_away_is_told_and_then_dropped() {
    let mut world = HubWorld::of(&["a"]);
    world.hello(1, "a");
    let again = world.hello(2, "a");
    assert_eq!(
        again,
        ["1 turned true", "1 dropped", "open_session", "2 welcome true", "2 assignments true"]
    );
    assert_eq!(world.session_of("a"), 102);
    assert_eq!(world.hello(3, "stranger"), ["3 turned true", "3 dropped"]);
    world.core.handle_gone(Conn(3));
    assert_eq!(world.act(), [""; 0], "its end changes nothing more");
}

#[test]
fn when_the_manager_stops_every_agent_is_told_and_nothing_is_asked() {
    let mut world = HubWorld::of(&["a", "b"]);
    world.hello(1, "a");
    world.hello(2, "b");
    world.core.handle_stopping();
    assert_eq!(world.act(), ["1 turned true", "1 dropped", "2 turned true", "2 dropped"]);
    assert_eq!(world.order("a"), ["no session for reader"]);
    assert_eq!(world.hello(3, "a"), ["3 turned true", "3 dropped"]);
}

#[test]
fn a_silent_agent_is_dropped_at_the_time_that_was_asked_for() {
    let mut world = HubWorld::of(&["a"]);
    world.hello(1, "a");
    let at = world.core.poll_timeout().expect("silence has a time");
    let beat = from_agent::Message::Heartbeat(Heartbeat { beat: 1 });
    world.core.handle_message(Conn(1), FromAgent { message: Some(beat) }, NOW + 1);
    world.core.handle_timeout(at);
    assert_eq!(world.act(), [""; 0], "it has been heard since");
    let silent_at = NOW + 1 + 3 * 5_000_000_000;
    let mut later = at;
    while later < silent_at {
        assert_eq!(world.act(), [""; 0]);
        later = world.core.poll_timeout().expect("silence has a time");
        world.core.handle_timeout(later);
    }
    assert_eq!(later, silent_at);
    assert_eq!(world.act(), ["1 turned true", "1 dropped", "silent"]);
}

#[test]
fn a_request_counts_what_can_be_large_in_it() {
    let node = id("node", "a");
    let description = NodeDescription { hostname: "n".repeat(1_000), ..NodeDescription::default() };
    let large = description.encoded_len();
    let condition = Condition { message: "m".repeat(1_000), ..Condition::default() };
    let task = TaskObserved {
        task_id: id("task", "t").to_bytes(),
        state: TaskState::Running.into(),
        message: "m".repeat(1_000),
        ..TaskObserved::default()
    };
    let (of_condition, of_task) = (condition.encoded_len(), task.encoded_len());
    let spec = NodeSpec::default();
    let newcomer = Newcomer { spec, description: description.clone() };
    let certify = |claim| {
        let certificate = IssuedCertificate {
            role: NodeRole::Worker,
            serial: [0; 16],
            not_before: NOW,
            not_after: NOW,
        };
        let asked = CertificateAsked { node, key_hash: [0; 32], claim, certificate };
        MachineRequest::Certify(Box::new(asked))
    };
    let requests = [
        (certify(CertificateClaim::Newcomer(newcomer.clone().into())), large),
        (certify(CertificateClaim::Own(newcomer.into())), large),
        (certify(CertificateClaim::Key), 0),
        (
            MachineRequest::Open {
                node,
                session: 1,
                description: description.into(),
                conditions: Vec::new(),
                address: String::new(),
                manager: Id::NONE,
            },
            large,
        ),
        (
            MachineRequest::Conditions {
                node,
                session: 1,
                conditions: vec![condition.clone(), condition],
            },
            2 * of_condition,
        ),
        (
            MachineRequest::Report { node, tasks: TaskReport::read_all(vec![task.clone(), task]) },
            2 * of_task,
        ),
        (MachineRequest::Close { node, session: 1 }, 0),
        (MachineRequest::Silent { node, session: 1, tenure: skep_proto::Revision(1) }, 0),
    ];
    for (request, beside) in requests {
        let request = Request::Machine(request);
        assert_eq!(request_bytes(&request), beside + REQUEST_BYTES, "{request:?}");
    }
}
