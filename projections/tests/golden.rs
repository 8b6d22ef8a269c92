//! What released versions computed and wrote stays readable and equal, for ever.
//!
//! A changed digest means that a mixed cluster halts and that recorded checkpoints no longer
//! verify: then the old meaning has to stay in the code, behind the old feature level.

use skep_projections::{fixture::World, snapshot};

const STORY: &str = "history 3 | node n1 label=zone:a cpus=2 | node n2 role=manager away | node n3 engine=gpu:yes
    service web replicas=3 cpus=0.5 memory=64m constraint=node.labels.zone==a port=tcp:80 restart=on-failure delay=1s
    task web.1 on n1 running message=up | task web.2 on n3 failed exit=3 error=broken | web.2 wanted shutdown
    task web.2 hold=5s attempt=1 | task web.3 | update web image=app2 force=1 | scale web 4 | wait 3s
    service old | task old.1 on n3 running | remove old | park web | drain n3 | silent n1 | rmnode n3 | close n1
    tenure";

/// The digest of the story at feature level 1.
const DIGEST: &str = "71bc573a2fff7bb11f391c0803e43626";

#[test]
fn the_digest_means_what_it_meant() {
    assert_eq!(format!("{:032x}", World::of(STORY).view.digest().0), DIGEST);
}

/// What level 2 folds otherwise: a restart policy that changes leaves tasks as they are.
const STORY_2: &str = "node n1 | service web replicas=2 delay=1s | task web.1 on n1 running | task web.2 on n1 failed exit=3
    update web delay=2s | level 2 | task web.2 on n1 running | update web restart=none | update web constraint=node.hostname==n1";

/// The digest of that story.
const DIGEST_2: &str = "3e4760becc7f80c5d402799e3ad1d328";

#[test]
fn the_digest_at_level_2_means_what_it_meant() {
    assert_eq!(format!("{:032x}", World::of(STORY_2).view.digest().0), DIGEST_2);
}

/// The story as format 1 wrote it.
const SNAPSHOT_1: &str = include_str!("../golden/snapshot-1.hex");

#[test]
fn an_old_snapshot_is_read_and_is_what_replay_gives() {
    let byte =
        |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("hex"), 16).expect("hex");
    let bytes: Vec<u8> = SNAPSHOT_1.trim().as_bytes().chunks(2).map(byte).collect();
    let read = snapshot::decode(&bytes).expect("an old snapshot can be read");
    let view = World::of(STORY).view;
    assert_eq!(read.digest(), view.digest());
    assert_eq!(read.faults(), Vec::<String>::new());
    let hex: String = snapshot::encode(&view).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, SNAPSHOT_1.trim(), "format 1 is written otherwise than it was");
}

#[test]
#[ignore = "writes the snapshot anew, where its format has changed before a release"]
#[allow(clippy::disallowed_methods, reason = "it writes the file that the tests above read")]
fn write_the_snapshot() {
    let view = World::of(STORY).view;
    let hex: String = snapshot::encode(&view).iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/golden/snapshot-1.hex"), hex + "\n")
        .unwrap();
    println!("digest {:032x}", view.digest().0);
}
