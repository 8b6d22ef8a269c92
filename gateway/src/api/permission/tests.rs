//! Each call and each kind of caller: who may, and what the others hear.

use super::*;
use crate::peer::{PeerChannel, PeerOrigin, SocketPeer};
use skep_projections::fixture::{World, id};
use skep_proto::{
    Id, MANAGERS_LEVEL,
    time::SECOND_NS,
    v1::{FeatureLevelRaised, NodeRole, Person, RaftIdAssigned, event::Kind},
};
use skep_trust::{KeyDigest, Validity};

const NOW: Timestamp = Timestamp(10 * SECOND_NS);
/// The key of a node that the fixture certifies.
const KEY: KeyDigest = KeyDigest([b'k'; 32]);

fn local() -> PeerOrigin {
    PeerOrigin::Local(SocketPeer { person: Person::default() })
}

fn network() -> PeerOrigin {
    PeerOrigin::Network(([127, 0, 0, 1], 9).into())
}

fn certificate(node: Id, key: KeyDigest, times: (u64, u64)) -> PeerChannel {
    certificate_of(NodeRole::Worker, node, key, times)
}

fn certificate_of(
    role: NodeRole,
    node: Id,
    key: KeyDigest,
    (from, until): (u64, u64),
) -> PeerChannel {
    let validity = Validity { not_before: Timestamp(from), not_after: Timestamp(until) };
    let (cluster, serial) = (Id(9), [1; 16]);
    let certificate = NodeCertificate { node, role, cluster, key, validity, serial };
    PeerChannel::Tls(Some(Box::new(certificate)))
}

/// Nodes n1 and n2, the manager m1, and one that was removed.
fn world() -> World {
    let mut world = World::empty();
    let raised = FeatureLevelRaised { level: MANAGERS_LEVEL, ..FeatureLevelRaised::default() };
    world.record(Kind::FeatureLevelRaised(raised));
    world.tell(
        "node n1 | certify n1 | node n2 | certify n2 | node m1 | certify m1 | node gone | \
         certify gone | rmnode gone",
    );
    let node_id = id("node", "m1").to_bytes();
    world.record(Kind::RaftIdAssigned(RaftIdAssigned { node_id, raft_id: 1 }));
    world
}

/// Who calls, by a letter.
fn caller(letter: char) -> ConnectionPeer {
    let (n1, gone) = (id("node", "n1"), id("node", "gone"));
    let (valid, late) = ((1, NOW.0), NOW.0 + SECOND_NS);
    let (origin, channel) = match letter {
        // Somebody on the local socket.
        'p' => (local(), PeerChannel::Clear),
        // TLS without a certificate, here and from elsewhere.
        'l' => (local(), PeerChannel::Tls(None)),
        's' => (network(), PeerChannel::Tls(None)),
        // A node, from elsewhere and here.
        'n' => (network(), certificate(n1, KEY, valid)),
        'a' => (local(), certificate(n1, KEY, valid)),
        // One whose certificate has ended, or is not valid yet.
        'e' => (network(), certificate(n1, KEY, (0, NOW.0 - SECOND_NS))),
        'y' => (network(), certificate(n1, KEY, (late, late))),
        // One that was removed, also after the end of its certificate, and one with another key.
        'o' => (network(), certificate(gone, KEY, (0, NOW.0 - SECOND_NS))),
        'g' => (network(), certificate(gone, KEY, valid)),
        'k' => (network(), certificate(n1, KeyDigest([1; 32]), valid)),
        // A manager; one whose certificate has ended; with another key, issued later or
        // before; as a worker.
        'm' => (network(), manager("m1", KEY, valid)),
        'E' => (network(), manager("m1", KEY, (0, NOW.0 - SECOND_NS))),
        'K' => (network(), manager("m1", KeyDigest([1; 32]), (u64::MAX - 1, u64::MAX))),
        'O' => (network(), manager("m1", KeyDigest([1; 32]), (0, NOW.0))),
        'w' => (network(), certificate(id("node", "m1"), KEY, valid)),
        // Certificates of managers for nodes that have no number: known, unknown, removed, ended.
        'N' => (network(), manager("n2", KEY, valid)),
        'U' => (network(), manager("new", KEY, valid)),
        'G' => (network(), manager("gone", KEY, valid)),
        'X' => (network(), manager("new", KEY, (0, NOW.0 - SECOND_NS))),
        other => panic!("{other:?} is nobody"),
    };
    ConnectionPeer { origin, channel }
}

fn manager(name: &str, key: KeyDigest, times: (u64, u64)) -> PeerChannel {
    certificate_of(NodeRole::Manager, id("node", name), key, times)
}

const CALLERS: &str = "plsnaeygko";
const MANAGERS: &str = "plsneygkomEKOwNUGX";

#[test]
fn what_is_for_managers_is_open_to_managers() {
    let world = world();
    let may = |path: &str| -> String {
        let allowed = |letter: &char| may(path, &caller(*letter), &world.view, NOW).is_ok();
        MANAGERS.chars().filter(allowed).collect()
    };
    for call in ["Forward", "ReadIndex", "ReadLogs", "AddToOrder", "AuthorityKey", "Room"] {
        assert_eq!(may(&format!("/skep.v1.Managers/{call}")), "m", "{call}");
    }
    // Raft hears also whom this manager does not know yet, since it may be the one that is behind.
    assert_eq!(may("/skep.v1.Managers/Raft"), "mEKNU");
}

#[test]
fn each_call_is_open_to_those_whom_it_is_for() {
    let table = [
        ("/skep.v1.Control/Submit", "p"),
        ("/skep.v1.Control/Greet", "p"),
        ("/skep.v1.History/Log", "p"),
        ("/skep.v1.Logs/Read", "p"),
        ("/skep.v1.Membership/JoinToken", "p"),
        ("/skep.v1.Membership/UnlockKey", "p"),
        ("/skep.v1.Membership/ChoosePort", "p"),
        ("/skep.v1.Membership/AwaitPort", "p"),
        ("/metrics", "p"),
        ("/skep.v1.Local/Describe", "p"),
        ("/skep.v1.Local/Leave", "p"),
        // Whoever joins shows a token, or comes through the local socket.
        ("/skep.v1.Dispatcher/Join", "plsnaeygko"),
        // The turn looks at the key, and whether the node counts.
        ("/skep.v1.Dispatcher/Renew", "naeygko"),
        // The session does, and says it in a message that the agent knows.
        ("/skep.v1.Dispatcher/Attach", "nagko"),
        ("/skep.v1.Dispatcher/PublishLogs", "na"),
        ("/skep.v1.Dispatcher/Other", ""),
        ("/skep.v1.Managers/Raft", ""),
        ("/skep.v1.Managers/Forward", ""),
        ("/skep.v1.Raft/Append", ""),
        ("/", ""),
        ("", ""),
    ];
    let world = world();
    for (path, allowed) in table {
        let may: String = CALLERS
            .chars()
            .filter(|letter| may(path, &caller(*letter), &world.view, NOW).is_ok())
            .collect();
        assert_eq!(may, allowed, "{path}");
    }
    for (path, _) in ACCESS {
        assert!(table.iter().any(|(tried, _)| tried.starts_with(path)), "{path} is not tried");
    }
}

#[test]
fn who_may_not_hears_why() {
    let world = World::of("node n1 | certify n1 | node gone | certify gone | rmnode gone");
    let heard = |path, letter| {
        let denied = may(path, &caller(letter), &world.view, NOW).expect_err("it may not");
        let status = denied.status();
        (status.code(), status.message().to_owned())
    };
    let people = "this is for people on the machine itself: use its local socket";
    assert_eq!(heard("/skep.v1.Control/Submit", 'n'), (Code::PermissionDenied, people.into()));
    let none = "this is for nodes of the cluster, and the connection has shown no certificate";
    assert_eq!(heard("/skep.v1.Dispatcher/Attach", 'p'), (Code::Unauthenticated, none.into()));
    let (code, ended) = heard("/skep.v1.Dispatcher/Attach", 'e');
    assert_eq!(code, Code::Unauthenticated);
    assert!(ended.contains("ended at 1970-01-01T00:00:09Z"), "{ended}");
    assert!(ended.contains("this manager's clock says 1970-01-01T00:00:10Z"), "{ended}");
    let (code, early) = heard("/skep.v1.Dispatcher/Attach", 'y');
    assert_eq!(code, Code::Unauthenticated);
    assert!(early.ends_with("compare the clocks"), "{early}");
    let (code, gone) = heard("/skep.v1.Dispatcher/PublishLogs", 'g');
    assert_eq!(code, Code::PermissionDenied);
    assert!(gone.ends_with("is not part of the cluster (any more)"), "{gone}");
    let (code, other) = heard("/skep.v1.Dispatcher/PublishLogs", 'k');
    assert_eq!(code, Code::PermissionDenied);
    assert!(other.starts_with("the certificate's key is not the one of node"), "{other}");
    assert_eq!(heard("/nothing", 'p').0, Code::Unimplemented);
}

#[test]
fn at_a_machine_that_is_no_manager_the_daemons_own_calls_alone_are_answered() {
    let judged = |path, letter| at_no_manager(path, &caller(letter));
    assert_eq!(judged("/skep.v1.Local/Leave", 'p'), Ok(AnsweredBy::EveryDaemon));
    assert_eq!(judged("/skep.v1.Local/Leave", 'l'), Err(Denied::NotAPerson));
    assert_eq!(judged("/skep.v1.Local/Leave", 'n'), Err(Denied::NotAPerson));
    for path in ["/skep.v1.Control/Submit", "/skep.v1.Dispatcher/Join", "/metrics"] {
        assert_eq!(judged(path, 'p'), Ok(AnsweredBy::Managers), "{path}");
    }
    assert_eq!(judged("/skep.v1.Other/Call", 'p'), Err(Denied::Unknown));
}
