//! What this program does not know stops it, and changes nothing.

use skep_projections::{Stamp, fixture::World, snapshot};
use skep_proto::{
    FEATURE_LEVEL, Revision, event,
    v1::{
        FeatureLevelRaised, MembershipObserved, Record, TaskDesired, TaskObserved, TaskState,
        event::Kind,
    },
};

fn check(event: Option<skep_proto::v1::Event>, expected: &str) {
    let mut world = World::of("node n1 | service web | task web.1 on n1 running");
    let (bytes, revision) = (snapshot::encode(&world.view), world.view.position().revision.next());
    let stamp = Stamp { revision, at: world.now, incarnation: 1 };
    let unknown = world
        .view
        .apply(stamp, &Record { event, ..Record::default() })
        .expect_err("nobody knows it");
    assert!(
        unknown.to_string().starts_with(&format!("record {revision} holds {expected}, ")),
        "{unknown}"
    );
    assert!(snapshot::encode(&world.view) == bytes, "something has changed");
}

#[test]
fn an_unknown_kind_or_state_or_level_is_refused() {
    let task_id = World::of("service web | task web.1").task_id("web.1").to_bytes();
    let seen = TaskObserved { task_id: task_id.clone(), state: 513, ..TaskObserved::default() };
    let state = TaskDesired { task_id: task_id.clone(), desired: 1, reason: 1 };
    let reason = TaskDesired { task_id, desired: TaskState::Remove as i32, reason: 99 };
    check(None, "a kind of event");
    check(Some(skep_proto::v1::Event { kind: None }), "a kind of event");
    check(Some(event::event(Kind::TaskObserved(seen))), "task state 513");
    check(Some(event::event(Kind::TaskDesired(state))), "task state 1");
    check(Some(event::event(Kind::TaskDesired(reason))), "desire reason 99");
    let joined = MembershipObserved { membership: 3, ..MembershipObserved::default() };
    check(Some(event::event(Kind::MembershipObserved(joined))), "membership in raft 3");
    check(
        Some(event::event(Kind::FeatureLevelRaised(FeatureLevelRaised { level: 99, lineage: 0 }))),
        "feature level 99",
    );
}

#[test]
fn a_snapshot_of_a_newer_format_is_refused() {
    let mut bytes = snapshot::encode(&World::of("node n1").view);
    // The head's first field is its format, behind one byte of length or two.
    let at = bytes.iter().position(|byte| *byte == 8).expect("the tag of the format") + 1;
    assert_eq!(bytes[at], 1);
    bytes[at] = 2;
    let extra = [snapshot::encode(&World::of("node n1").view), vec![0]].concat();
    assert!(matches!(snapshot::decode(&extra), Err(snapshot::SnapshotError::Digest { .. })));
    assert_eq!(snapshot::decode(&bytes).err(), Some(snapshot::SnapshotError::Format { format: 2 }));
    assert!(snapshot::decode(&[]).is_err());
}

#[test]
fn a_snapshot_of_a_newer_feature_level_is_refused() {
    use skep_projections::snapshot::{SnapshotError, decode, encode};
    let mut view = World::of("node n1").view;
    let raised = |level: u32| {
        event::event(Kind::FeatureLevelRaised(FeatureLevelRaised { level, lineage: 0 }))
    };
    let stamp = Stamp { revision: view.position().revision.next(), at: view.at(), incarnation: 1 };
    let record = Record { event: Some(raised(FEATURE_LEVEL)), ..Record::default() };
    view.apply(stamp, &record).expect("this program knows the level");
    let bytes = encode(&view);
    assert_eq!(decode(&bytes).map(|view| view.level()), Ok(FEATURE_LEVEL));
    // One level more, in the only place where the two encodings differ in that way.
    let newer: Vec<Vec<u8>> = (0..bytes.len().min(64))
        .filter(|at| u32::from(bytes[*at]) == FEATURE_LEVEL)
        .map(|at| {
            let mut bytes = bytes.clone();
            bytes[at] += 1;
            bytes
        })
        .collect();
    let level = FEATURE_LEVEL + 1;
    let refused =
        newer.iter().any(|bytes| decode(bytes).err() == Some(SnapshotError::Level { level }));
    assert!(refused, "no byte of the head is the level");
}

#[test]
fn the_same_story_twice_has_the_same_bytes() {
    let story = "node n1 | node n2 label=a:b | service web replicas=2 | task web.1 on n1 running | scale web 3";
    let (a, b) = (World::of(story), World::of(story));
    assert_eq!(a.view.digest(), b.view.digest());
    assert_eq!(a.view.position().revision, Revision(a.records.len() as u64));
    assert!(snapshot::encode(&a.view) == snapshot::encode(&b.view));
}
