//! Whom an agent knows, and in which order chance puts them.

use super::*;
use std::collections::{BTreeMap, BTreeSet};

const OWN: Id = Id(1);

fn known(addresses: &[&str]) -> Vec<KnownAddress> {
    let manager = |address: &&str| KnownAddress::new(Id(9), address).expect("an address");
    addresses.iter().map(manager).collect()
}

fn begun(first: FirstEndpoint, addresses: &[&str], seed: u64) -> (Candidates, Jitter) {
    let mut jitter = Jitter::new(seed);
    let mut candidates = Candidates::first_alone(first, known(addresses));
    candidates.begin(OWN, &mut jitter);
    (candidates, jitter)
}

/// The name of what is dialed now.
fn current(candidates: &Candidates) -> String {
    match candidates.current() {
        ManagerCandidate::First => "first".into(),
        ManagerCandidate::Known(address) => address.clone(),
    }
}

/// What is dialed until the round is over.
fn round(candidates: &mut Candidates, jitter: &mut Jitter) -> Vec<String> {
    let mut dialed = vec![current(candidates)];
    while candidates.on_failed(OWN, jitter) == RoundPart::Midway {
        dialed.push(current(candidates));
    }
    dialed
}

#[test]
fn a_seed_decides_the_order_and_a_thousand_agents_spread() {
    let addresses = ["a:1", "b:1", "c:1"];
    let first_round = |seed| {
        let (mut candidates, mut jitter) =
            begun(FirstEndpoint::Network("f:1".into()), &addresses, seed);
        round(&mut candidates, &mut jitter)
    };
    assert_eq!(first_round(5), first_round(5));
    let mut begin_at: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 0..1_000 {
        let dialed = first_round(seed);
        assert_eq!(dialed.iter().collect::<BTreeSet<_>>().len(), 4, "each once: {dialed:?}");
        *begin_at.entry(dialed[0].clone()).or_default() += 1;
    }
    assert_eq!(begin_at.len(), 4, "{begin_at:?}");
    assert!(begin_at.values().all(|agents| (150..350).contains(agents)), "{begin_at:?}");
}

#[test]
fn agents_that_lose_their_manager_spread_over_the_others() {
    let mut next: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 0..1_000 {
        let (mut candidates, mut jitter) = begun(FirstEndpoint::Socket, &["a:1", "b:1"], seed);
        while current(&candidates) != "a:1" {
            candidates.on_failed(OWN, &mut jitter);
        }
        candidates.on_worked(OWN, &mut jitter);
        assert_eq!(candidates.on_failed(OWN, &mut jitter), RoundPart::Midway);
        *next.entry(current(&candidates)).or_default() += 1;
    }
    assert_eq!(next.len(), 2, "{next:?}");
    assert!(next.values().all(|agents| (400..600).contains(agents)), "{next:?}");
}

#[test]
fn one_candidate_alone_is_a_whole_round() {
    let (mut candidates, mut jitter) = begun(FirstEndpoint::Network("a:1".into()), &["a:1"], 7);
    for _ in 0..3 {
        assert_eq!(current(&candidates), "first");
        assert_eq!(candidates.on_failed(OWN, &mut jitter), RoundPart::Over);
    }
}

#[test]
fn the_own_socket_is_the_head_of_every_round_and_the_last_good_one_follows() {
    for seed in 0..50 {
        let (mut candidates, mut jitter) =
            begun(FirstEndpoint::OwnSocket, &["a:1", "b:1", "c:1"], seed);
        while current(&candidates) != "b:1" {
            candidates.on_failed(OWN, &mut jitter);
        }
        candidates.on_worked(OWN, &mut jitter);
        assert_eq!(round(&mut candidates, &mut jitter)[..2], ["b:1", "first"]);
        assert_eq!(round(&mut candidates, &mut jitter)[..2], ["first", "b:1"]);
    }
}

#[test]
fn a_manager_does_not_dial_itself_over_the_network() {
    let own = KnownAddress { node: OWN, address: "me:1".into() };
    let all = |first: FirstEndpoint, node: Id| {
        Candidates::first_alone(first, vec![own.clone()]).all(node).len()
    };
    assert_eq!(all(FirstEndpoint::OwnSocket, OWN), 1);
    assert_eq!(all(FirstEndpoint::OwnSocket, Id(2)), 2, "it is another one's");
    assert_eq!(all(FirstEndpoint::Socket, OWN), 2, "that socket may be another manager's");
    let unnamed = KnownAddress { node: Id::NONE, address: "b:1".into() };
    let candidates = Candidates::first_alone(FirstEndpoint::OwnSocket, vec![unnamed]);
    assert_eq!(candidates.all(Id::NONE).len(), 2, "two that have no name are not the same");
}

#[test]
fn a_list_that_changes_midway_keeps_what_was_tried() {
    let (mut candidates, mut jitter) = begun(FirstEndpoint::Socket, &["a:1", "b:1", "c:1"], 7);
    let mut dialed = vec![current(&candidates)];
    candidates.on_failed(OWN, &mut jitter);
    dialed.push(current(&candidates));
    candidates.replace(known(&["a:1", "c:1", "d:1"]), OWN, &mut jitter);
    dialed.extend(round(&mut candidates, &mut jitter).into_iter().skip(1));
    let tried: BTreeSet<&str> = dialed.iter().map(String::as_str).collect();
    assert_eq!(tried.len(), dialed.len(), "none is tried twice: {dialed:?}");
    assert!(tried.is_superset(&["first", "a:1", "c:1", "d:1"].into()), "{dialed:?}");
    let mut next = round(&mut candidates, &mut jitter);
    next.sort();
    assert_eq!(next, ["a:1", "c:1", "d:1", "first"]);
}

#[test]
fn the_manager_of_the_session_stays_until_it_fails_even_where_the_list_forgets_it() {
    let (mut candidates, mut jitter) = begun(FirstEndpoint::Network("f:1".into()), &["a:1"], 7);
    while current(&candidates) != "a:1" {
        candidates.on_failed(OWN, &mut jitter);
    }
    candidates.on_worked(OWN, &mut jitter);
    candidates.replace(known(&["b:1"]), OWN, &mut jitter);
    assert_eq!(current(&candidates), "a:1");
    let mut dialed = round(&mut candidates, &mut jitter).split_off(1);
    dialed.sort();
    assert_eq!(dialed, ["b:1", "first"]);
    assert!(!round(&mut candidates, &mut jitter).contains(&"a:1".to_owned()));
}

#[test]
fn what_is_no_address_is_ignored() {
    let long = format!("{}:1", "h".repeat(MANAGER_ADDRESS_BYTES_MAX - 2));
    let longer = format!("h{long}");
    for good in ["m:1", "10.0.0.1:2377", "[::1]:65535", &long] {
        assert!(KnownAddress::new(Id(1), good).is_some(), "{good}");
    }
    for bad in
        ["", "m", ":1", "m:", "m:0", "m:65536", "m:x", "m :1", " m:1", "m\n:1", "m\0:1", &longer]
    {
        assert!(KnownAddress::new(Id(1), bad).is_none(), "{bad:?}");
    }
}

#[test]
fn a_list_is_kept_up_to_its_bound_and_each_address_once() {
    let address = |address: &str| ManagerAddress { address: address.into(), ..Default::default() };
    let told = [address("a:1"), address("nothing"), address("a:1"), address("b:1")];
    let kept: Vec<String> =
        KnownAddress::all_of(&told).into_iter().map(|manager| manager.address).collect();
    assert_eq!(kept, ["a:1", "b:1"]);
    let many: Vec<_> = (1..=100).map(|port| address(&format!("m:{port}"))).collect();
    let kept = KnownAddress::all_of(&many);
    assert_eq!(kept.len(), KNOWN_MANAGERS_MAX);
    assert_eq!(kept[KNOWN_MANAGERS_MAX - 1].address, format!("m:{KNOWN_MANAGERS_MAX}"));
}
