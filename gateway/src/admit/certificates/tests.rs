//! Who gets a certificate, and who does not.

use super::*;
use crate::admit::{MachineRequest, Request, admit};
use skep_projections::fixture::{World, id, node_description};
use skep_proto::{
    Timestamp, event,
    time::SECOND_NS,
    v1::{Command, NodeRemoved, NodeSpec, RefusalCode, command::Action},
};

/// What most keys of the fixture are.
const KEY: [u8; 32] = [b'k'; 32];
const LIFE_NS: u64 = 1_000 * SECOND_NS;

fn asked(node: Id, key_hash: [u8; 32], claim: CertificateClaim, at_s: u64) -> CertificateAsked {
    let not_before = Timestamp(at_s * SECOND_NS);
    let certificate = IssuedCertificate {
        role: NodeRole::Worker,
        serial: [9; 16],
        not_before,
        not_after: not_before + LIFE_NS,
    };
    CertificateAsked { node, key_hash, claim, certificate }
}

fn newcomer(name: &str, role: NodeRole) -> Box<Newcomer> {
    let spec = NodeSpec { desired_role: role as i32, ..NodeSpec::default() };
    Box::new(Newcomer { spec, description: node_description(name) })
}

/// Asks, and lets the world have what becomes of it.
fn ask(world: &mut World, asked: CertificateAsked) -> Result<Vec<&'static str>, RefusalCode> {
    let admitted = certify(&world.view, &asked).map_err(|refusal| refusal.code)?;
    let kinds = admitted.events.iter().map(|(_, kind)| event::name(kind)).collect();
    for (_, kind) in admitted.events {
        world.record(kind);
    }
    Ok(kinds)
}

#[test]
fn a_new_node_joins_with_its_key_and_gets_the_same_answer_again() {
    let mut world = World::of("");
    let join = |at_s| {
        let claim = CertificateClaim::Newcomer(newcomer("n1", NodeRole::Worker));
        asked(Id(7), KEY, claim, at_s)
    };
    assert_eq!(ask(&mut world, join(0)), Ok(vec!["node_joined", "certificate_issued"]));
    let (_, row) = world.view.nodes().by_id(Id(7)).expect("it has joined");
    assert_eq!(row.credential_hash, KEY);
    let certificate = row.certificate.clone().expect("it has one");
    assert_eq!((certificate.role, certificate.serial), (NodeRole::Worker, [9; 16]));
    // The answer was lost.
    assert_eq!(ask(&mut world, join(99)), Ok(vec![]), "less than a tenth of its life is over");
    assert_eq!(ask(&mut world, join(100)), Ok(vec!["certificate_issued"]));
    let other = CertificateAsked { key_hash: [1; 32], ..join(0) };
    assert_eq!(ask(&mut world, other), Err(RefusalCode::AlreadyExists));
}

#[test]
fn a_certificate_names_the_role_that_is_wanted_of_the_node() {
    let mut world = World::of("");
    let join = CertificateClaim::Own(newcomer("m1", NodeRole::Manager));
    ask(&mut world, asked(Id(7), KEY, join, 0)).expect("it joins");
    ask(&mut world, asked(Id(7), KEY, CertificateClaim::Key, 500)).expect("it is renewed");
    let (_, row) = world.view.nodes().by_id(Id(7)).expect("it has joined");
    assert_eq!(row.certificate.as_ref().map(|known| known.role), Some(NodeRole::Manager));
    assert_eq!(row.certificate.as_ref().map(|known| known.not_before.0), Some(500 * SECOND_NS));
}

#[test]
fn only_its_key_renews_a_certificate_and_a_node_that_is_gone_gets_none() {
    let mut world = World::of("node n1 | certify n1");
    let node = id("node", "n1");
    let renew = |key_hash| asked(node, key_hash, CertificateClaim::Key, 1_900_000_000);
    let refused = certify(&world.view, &renew([1; 32])).expect_err("it is another key").message;
    assert_eq!(refused, format!("this is not the key of node {node}"));
    assert_eq!(ask(&mut world, renew([1; 32])), Err(RefusalCode::Permission));
    assert_eq!(ask(&mut world, renew(KEY)), Ok(vec!["certificate_issued"]));
    assert_eq!(ask(&mut world, renew(KEY)), Ok(vec![]), "it has it already");
    let unknown = asked(Id(5), KEY, CertificateClaim::Key, 0);
    assert_eq!(ask(&mut world, unknown), Err(RefusalCode::NotFound));
    world.tell("service web | task web.1 on n1 running | rmnode n1");
    assert_eq!(ask(&mut world, renew(KEY)), Err(RefusalCode::NotFound));
    let again = CertificateClaim::Newcomer(newcomer("n1", NodeRole::Worker));
    assert_eq!(ask(&mut world, asked(node, KEY, again, 0)), Err(RefusalCode::NotFound));
}

#[test]
fn a_removed_node_does_not_join_again_and_an_unknown_one_is_told_so() {
    let mut world = World::of("level 5 | node n1 | certify n1 | rmnode n1");
    let join = |node| {
        let claim = CertificateClaim::Newcomer(newcomer("n1", NodeRole::Worker));
        asked(node, KEY, claim, 0)
    };
    let removed = id("node", "n1");
    let refused = certify(&world.view, &join(removed)).expect_err("it was removed");
    assert_eq!(refused.message, format!("node {removed} was removed from this cluster"));
    assert_eq!(ask(&mut world, join(removed)), Err(RefusalCode::NotFound));
    assert_eq!(ask(&mut world, join(Id(7))), Ok(vec!["node_joined", "certificate_issued"]));
    let unknown = asked(Id(5), KEY, CertificateClaim::Key, 0);
    let refused = certify(&world.view, &unknown).expect_err("nobody knows it");
    assert_eq!(refused.code, RefusalCode::Precondition);
    assert_eq!(refused.message, format!("this manager's history does not know node {}", Id(5)));
}

#[test]
fn a_full_cluster_takes_no_more_nodes() {
    let mut world = World::of("");
    let join = |node: u128| {
        asked(Id(node), KEY, CertificateClaim::Newcomer(newcomer("n", NodeRole::Worker)), 0)
    };
    for node in 1..=u128::from(NODES_MAX) {
        let joined = NodeJoined { node_id: Id(node).to_bytes(), ..NodeJoined::default() };
        world.record(Kind::NodeJoined(Box::new(joined)));
    }
    let refused = certify(&world.view, &join(0xffff_ffff)).expect_err("there are enough");
    assert_eq!(refused.code, RefusalCode::Exhausted);
    assert_eq!(refused.message, "the cluster has 20000 nodes, the most that may be");
    world.record(Kind::NodeRemoved(NodeRemoved { node_id: Id(5).to_bytes(), force: true }));
    assert!(certify(&world.view, &join(0xffff_ffff)).is_ok());
}

#[test]
fn a_newcomer_is_a_manager_where_further_ones_are_known_and_have_room() {
    let join = |world: &World, role| {
        let claim = CertificateClaim::Newcomer(newcomer("m", role));
        certify(&world.view, &asked(Id(7), KEY, claim, 0)).map(|admitted| admitted.events.len())
    };
    let managers = |level: u32, count: usize| {
        let nodes = (0..count).map(|n| format!("node m{n} role=manager"));
        World::of(&format!("level {level} | {}", nodes.collect::<Vec<_>>().join(" | ")))
    };
    let refused = join(&managers(5, 1), NodeRole::Manager).expect_err("a manager is older");
    assert_eq!(refused.code, RefusalCode::Precondition);
    assert!(refused.message.starts_with("a manager of this cluster is older"), "{refused:?}");
    assert_eq!(join(&managers(6, 14), NodeRole::Manager), Ok(2));
    let refused = join(&managers(6, 15), NodeRole::Manager).expect_err("there are enough");
    assert_eq!(refused.code, RefusalCode::Exhausted);
    assert_eq!(refused.message, "the cluster has 15 managers, the most that may be");
    for (level, count) in [(5, 1), (6, 15)] {
        assert_eq!(join(&managers(level, count), NodeRole::Worker), Ok(2));
    }
}

#[test]
fn an_earlier_secret_is_exchanged_once() {
    let secret = [7; 32];
    let mut world = World::of("node n1");
    let node = id("node", "n1");
    let exchange = |key_hash, secret_hash| {
        asked(node, key_hash, CertificateClaim::EarlierSecret(secret_hash), 0)
    };
    assert_eq!(ask(&mut world, exchange(KEY, [8; 32])), Err(RefusalCode::Permission));
    assert_eq!(ask(&mut world, exchange(KEY, secret)), Ok(vec!["certificate_issued"]));
    assert_eq!(ask(&mut world, exchange(KEY, secret)), Ok(vec![]), "the answer was lost");
    let thief = exchange([1; 32], secret);
    assert_eq!(ask(&mut world, thief), Err(RefusalCode::Permission), "it is spent");
    // The hash of the key is no secret.
    let thief = exchange([1; 32], KEY);
    assert_eq!(ask(&mut world, thief), Err(RefusalCode::Permission));
}

#[test]
fn the_managers_own_agent_takes_its_node_back_under_another_key() {
    let mut world = World::of("node n1 | certify n1");
    let claim = CertificateClaim::Own(newcomer("n1", NodeRole::Manager));
    let back = asked(id("node", "n1"), [1; 32], claim, 0);
    assert_eq!(ask(&mut world, back), Ok(vec!["certificate_issued"]));
    let (_, row) = world.view.nodes().by_id(id("node", "n1")).expect("it is there");
    assert_eq!(row.credential_hash, [1; 32]);
}

#[test]
fn there_is_one_authority_and_its_tokens_are_rotated_one_by_one() {
    let mut world = World::of("");
    let rotate = |world: &World, role: i32| {
        let action = Some(Action::RotateJoinToken(RotateJoinToken { role }));
        let command = Request::Command(Command { action, ..Command::default() });
        admit(&world.view, &command, &Entropy::new([1; 32]))
    };
    let refused = |found: Result<Admitted, Refusal>| found.expect_err("it may not").message;
    let none = "the cluster has no certificate authority yet";
    assert_eq!(refused(rotate(&world, 0)), none);
    let found = |world: &World, root: &'static [u8]| {
        let root_certificate = Bytes::from_static(root);
        let found = MachineRequest::FoundAuthority { root_certificate, salts: [[1; 16], [2; 16]] };
        admit(&world.view, &Request::Machine(found), &Entropy::new([1; 32])).expect("it may")
    };
    for (_, kind) in found(&world, b"root").events {
        world.record(kind);
    }
    assert_eq!(found(&world, b"another").events, [], "there is one already");
    let authority = world.view.cluster().authority.clone().expect("it is founded");
    assert_eq!(authority.root_certificate, b"root");
    assert_eq!(refused(rotate(&world, 2)), "there is no role of number 2");
    let founded = found_authority(&View::default(), &Bytes::new(), &[[0; 16]; 2]);
    assert_eq!(refused(founded), "there is no cluster yet");
    for (_, kind) in rotate(&world, NodeRole::Worker as i32).expect("it may").events {
        world.record(kind);
    }
    let rotated = world.view.cluster().authority.clone().expect("it is there");
    assert_ne!(rotated.worker_salt, authority.worker_salt);
    assert_eq!(rotated.manager_salt, authority.manager_salt);
}
