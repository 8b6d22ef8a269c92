//! Reconcilers that fail, turns that are cut, and the same again.

use crate::telling::{ROOM, Teller};
use skep_projections::{Delta, View, fixture::World};
use skep_proto::{
    Id, Timestamp,
    v1::{self, DesireReason, RolloutStarted, TaskDesired, TaskState, event::Kind},
};
use skep_reconcilers::{Brain, Entropy, Plan, Reconciler, Turn, all};

/// Fails on whatever is called `bad`.
struct Clumsy;

impl Reconciler for Clumsy {
    fn name(&self) -> v1::Reconciler {
        v1::Reconciler::Globals
    }

    fn reconcile(&self, view: &View, delta: &Delta, _turn: &Turn, room: usize) -> Plan {
        for service in delta.services.iter().filter_map(|index| view.services().get(*index)) {
            assert!(service.name() != "bad", "it cannot stand {}", service.name());
        }
        Plan::with_room(room)
    }

    fn resume(&self, view: &View) -> (Delta, Option<Timestamp>) {
        let services = view.services().iter().map(|(index, _)| index).collect();
        (Delta { services, ..Delta::default() }, None)
    }
}

/// Begins the roll-out of a service called `restless` again and again.
struct Restless;

impl Reconciler for Restless {
    fn name(&self) -> v1::Reconciler {
        v1::Reconciler::Jobs
    }

    fn reconcile(&self, view: &View, delta: &Delta, _turn: &Turn, room: usize) -> Plan {
        let mut plan = Plan::with_room(room);
        for service in delta.services.iter().filter_map(|index| view.services().get(*index)) {
            if service.name() == "restless" {
                let (service_id, spec_version) = (service.id.to_bytes(), service.spec_version.0);
                plan.decide(
                    service.version,
                    Kind::RolloutStarted(RolloutStarted { service_id, spec_version }),
                );
            }
        }
        plan
    }

    fn resume(&self, _view: &View) -> (Delta, Option<Timestamp>) {
        (Delta::default(), None)
    }
}

/// Fails even at looking for its work.
struct Blind;

impl Reconciler for Blind {
    fn name(&self) -> v1::Reconciler {
        v1::Reconciler::Roles
    }

    fn reconcile(&self, _view: &View, _delta: &Delta, _turn: &Turn, room: usize) -> Plan {
        Plan::with_room(room)
    }

    fn resume(&self, _view: &View) -> (Delta, Option<Timestamp>) {
        panic!("it cannot see")
    }

    fn due(&self, _view: &View, _now: Timestamp) -> Delta {
        panic!("it cannot tell the time")
    }
}

fn with(bad: impl Reconciler + Send + Sync + 'static) -> Teller {
    let mut reconcilers = all();
    reconcilers.insert(0, Box::new(bad));
    Teller::new(Brain::of(reconcilers))
}

#[test]
fn a_panic_parks_the_object_and_the_others_go_on() {
    let mut teller = with(Clumsy);
    teller.tell(
        "given node n1
         service bad | service good
         > globals: bad parked: panicked: it cannot stand bad
         > replicas: good.1 created
         > placement: good.1 on n1 (0/0, of 1)
         wait 1h
         scale good 2
         > replicas: good.2 created
         > placement: good.2 on n1 (1/1, of 1)",
    );
}

#[test]
fn a_parked_object_is_worked_on_again_when_somebody_changes_or_releases_it() {
    let mut teller = with(Clumsy);
    teller.tell(
        "given node n1
         given service bad replicas=2
         scale bad 1
         > globals: bad parked: panicked: it cannot stand bad
         release bad
         > globals: bad parked: panicked: it cannot stand bad",
    );
    teller.brain = Brain::new();
    teller.tell(
        "release bad
         > replicas: bad.1 created
         > placement: bad.1 on n1 (0/0, of 1)",
    );
}

#[test]
fn one_that_never_falls_silent_is_stopped() {
    let mut teller = with(Restless);
    let said = teller.happen("node n1 | service restless | service quiet");
    let rounds = said.iter().filter(|said| *said == "jobs: restless started").count();
    assert_eq!(rounds, skep_reconcilers::brain::ROUNDS_MAX);
    assert_eq!(
        said.last().map(String::as_str),
        Some("jobs: restless parked: did not fall silent in 64 rounds")
    );
    assert!(said.contains(&"placement: quiet.1 on n1 (0/1, of 1)".to_owned()), "{said:#?}");
}

#[test]
fn one_that_fails_at_looking_keeps_nobody_from_working() {
    let mut teller = with(Blind);
    teller.tell(
        "given node n1
         service web
         > replicas: web.1 created
         > placement: web.1 on n1 (0/0, of 1)",
    );
}

#[test]
fn a_cut_turn_goes_on_where_it_was_cut() {
    let story = "node n1 | node n2 | service a replicas=7 | service b replicas=5 cpus=1";
    let mut whole = Teller::new(Brain::new());
    let delta = whole.world.tell(story);
    let all_at_once = whole.settle(delta, ROOM);
    assert_eq!(all_at_once.left, Delta::default());
    for room in 0..all_at_once.records.len() {
        let mut cut = Teller::new(Brain::new());
        let delta = cut.world.tell(story);
        let first = cut.settle(delta, room);
        assert!(
            (room..=room + 1).contains(&first.records.len()),
            "room {room}: the entry is filled"
        );
        assert_eq!(first.wake_at, Some(cut.world.now), "the rest wants a turn at once");
        assert!(!first.left.is_empty(), "room {room}");
        let mut rest = first;
        while !rest.left.is_empty() {
            rest = cut.settle(rest.left, 1 + room);
        }
        let placed = |world: &World| {
            world.view.tasks().iter().filter(|(_, task)| task.node.is_some()).count()
        };
        assert_eq!(placed(&cut.world), placed(&whole.world), "room {room}");
        assert_eq!(cut.wake_at, all_at_once.wake_at);
    }
}

#[test]
fn the_same_turn_twice_says_the_same() {
    let settle = || {
        let mut teller = Teller::new(Brain::new());
        let delta = teller
            .world
            .tell("node n1 | node n2 | service a replicas=9 | service b replicas=3 cpus=3");
        (teller.settle(delta, ROOM), teller.world.view.digest())
    };
    assert_eq!(settle(), settle());
}

#[test]
fn without_room_nothing_is_said_and_nothing_is_lost() {
    let mut teller = Teller::new(Brain::new());
    let delta = teller.world.tell("node n1 | service web");
    let nothing = teller.settle(delta.clone(), 0);
    assert_eq!((nothing.records.len(), nothing.left), (0, delta));
    let now = Some(teller.world.now);
    assert_eq!(teller.settle(Delta::default(), 0).wake_at, now, "nobody was asked for a deadline");
}

/// A decision that says nothing new would be set aside by the view; the teller fails on one.
struct Stubborn;

impl Reconciler for Stubborn {
    fn name(&self) -> v1::Reconciler {
        v1::Reconciler::Trust
    }

    fn reconcile(&self, _view: &View, delta: &Delta, _turn: &Turn, room: usize) -> Plan {
        let mut plan = Plan::with_room(room);
        if !delta.services.is_empty() {
            let (desired, reason) = (TaskState::Shutdown as i32, DesireReason::Ended as i32);
            let unknown = TaskDesired { task_id: Id(9).to_bytes(), desired, reason };
            plan.decide(skep_proto::Revision(1), Kind::TaskDesired(unknown));
        }
        plan
    }

    fn resume(&self, _view: &View) -> (Delta, Option<Timestamp>) {
        (Delta::default(), None)
    }
}

#[test]
fn a_decision_about_nothing_changes_nothing_but_the_count() {
    let mut world = World::empty();
    let brain = Brain::of(vec![Box::new(Stubborn)]);
    let delta = world.tell("service web");
    let turn = Turn { now: world.now, entropy: Entropy::new([0; 32]) };
    let settled = brain.settle(&mut world.view, delta, &turn, ROOM);
    assert_eq!(
        (settled.records.len(), settled.changed, world.view.set_aside()),
        (1, Delta::default(), 1)
    );
}

/// Changes the cluster's settings for ever: no object can be parked for it.
struct Endless;

impl Reconciler for Endless {
    fn name(&self) -> v1::Reconciler {
        v1::Reconciler::Roles
    }

    fn reconcile(&self, _view: &View, delta: &Delta, _turn: &Turn, room: usize) -> Plan {
        let mut plan = Plan::with_room(room);
        if delta.cluster {
            plan.decide(skep_proto::Revision(1), Kind::ClockJumped(v1::ClockJumped { by_ns: 1 }));
            plan.decide(skep_proto::Revision(1), Kind::ClusterUpdated(Box::default()));
        }
        plan
    }

    fn resume(&self, _view: &View) -> (Delta, Option<Timestamp>) {
        (Delta::default(), None)
    }
}

#[test]
fn one_that_never_falls_silent_about_nothing_in_particular_ends_its_turn() {
    let mut world = World::empty();
    let brain = Brain::of(vec![Box::new(Endless)]);
    let turn = Turn { now: world.now, entropy: Entropy::new([0; 32]) };
    let settled =
        brain.settle(&mut world.view, Delta { cluster: true, ..Delta::default() }, &turn, ROOM);
    let cluster = world.view.cluster().id;
    assert_eq!(
        settled.parked,
        if world.view.parked(cluster).is_some() { vec![cluster] } else { vec![] }
    );
    assert_eq!(settled.records.len(), 2 * skep_reconcilers::brain::ROUNDS_MAX);
}

#[test]
fn a_turn_names_what_it_parked() {
    let mut world = World::empty();
    let brain = Brain::of(vec![Box::new(Clumsy)]);
    let delta = world.tell("service bad | service good");
    let turn = Turn { now: world.now, entropy: Entropy::new([0; 32]) };
    let bad = world.view.services().get(world.service("bad")).map(|row| row.id);
    assert_eq!(brain.settle(&mut world.view, delta, &turn, ROOM).parked, Vec::from_iter(bad));
}

/// Leaves always all of it, whether or not the plan is full.
struct Tireless;

impl Reconciler for Tireless {
    fn name(&self) -> v1::Reconciler {
        v1::Reconciler::Trust
    }

    fn reconcile(&self, _view: &View, delta: &Delta, _turn: &Turn, room: usize) -> Plan {
        let mut plan = Plan::with_room(room);
        plan.left = delta.clone();
        plan
    }

    fn resume(&self, _view: &View) -> (Delta, Option<Timestamp>) {
        (Delta::default(), None)
    }
}

/// Says for ever what changes nothing.
struct Parrot;

impl Reconciler for Parrot {
    fn name(&self) -> v1::Reconciler {
        v1::Reconciler::Trust
    }

    fn reconcile(&self, view: &View, delta: &Delta, turn: &Turn, room: usize) -> Plan {
        let mut plan = Stubborn.reconcile(view, delta, turn, room);
        plan.left = delta.clone();
        plan
    }

    fn resume(&self, _view: &View) -> (Delta, Option<Timestamp>) {
        (Delta::default(), None)
    }
}

#[test]
fn one_that_leaves_something_is_not_asked_again_when_nothing_has_changed() {
    for room in [1, ROOM] {
        let mut world = World::empty();
        let brain = Brain::of(vec![Box::new(Parrot)]);
        let delta = world.tell("service web");
        let turn = Turn { now: world.now, entropy: Entropy::new([0; 32]) };
        let settled = brain.settle(&mut world.view, delta, &turn, room);
        assert_eq!((settled.records.len(), settled.left), (1, Delta::default()));
    }
}

#[test]
fn one_that_decides_nothing_has_left_nothing() {
    let mut world = World::empty();
    let brain = Brain::of(vec![Box::new(Tireless)]);
    let delta = world.tell("service web");
    let turn = Turn { now: world.now, entropy: Entropy::new([0; 32]) };
    let settled = brain.settle(&mut world.view, delta, &turn, ROOM);
    assert_eq!((settled.records.len(), settled.left), (0, Delta::default()));
}
