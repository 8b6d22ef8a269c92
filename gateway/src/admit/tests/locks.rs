//! Managers that are locked, and the key that opens them.

use super::*;
use skep_proto::v1::RotateUnlockKey;

const THREE: &str = "level 7 | authority 1 | node m1 role=manager | node m2 role=manager
    tenure m1 | open m1 | open m2 | number m1 | number m2 | votes m1 | votes m2";

fn locks(world: &World, auto_lock: bool) -> Result<Admitted, Refusal> {
    let cluster = world.view.cluster();
    let (version, mut spec) = (cluster.version.0, cluster.spec.as_ref().clone());
    spec.auto_lock = auto_lock;
    command(world, Action::UpdateCluster(Box::new(UpdateCluster { version, spec: Some(spec) })))
}

fn rotates(world: &World) -> Result<Admitted, Refusal> {
    command(world, Action::RotateUnlockKey(RotateUnlockKey {}))
}

fn apply(world: &mut World, admitted: Admitted) {
    admitted.events.into_iter().for_each(|(_, kind)| drop(world.record(kind)));
}

#[test]
fn a_cluster_that_is_locked_gets_a_new_key_and_keeps_it_until_that_is_rotated() {
    let mut world = World::of(THREE);
    let salt = |world: &World| world.view.cluster().authority.as_deref().unwrap().unlock_salt;
    assert_eq!(salt(&world), [0; 16]);
    let admitted = locks(&world, true).unwrap();
    assert_eq!(kinds(Ok(admitted.clone())), ["cluster_updated", "unlock_key_rotated"]);
    apply(&mut world, admitted);
    let first = salt(&world);
    assert_ne!(first, [0; 16]);
    assert_eq!(kinds(locks(&world, true)), [""; 0], "it is locked already");
    let other = Entropy::new([2; 32]);
    let rotate =
        Command { action: Some(Action::RotateUnlockKey(RotateUnlockKey {})), ..Command::default() };
    let admitted = admit(&world.view, &Request::Command(rotate), &other).unwrap();
    apply(&mut world, admitted);
    assert_ne!(salt(&world), first);
    assert_eq!(kinds(locks(&world, false)), ["cluster_updated"]);
    let unlocked = World::of(THREE);
    let message = "managers of this cluster are not locked";
    let hint = "`skep cluster update --autolock` locks them";
    refused(rotates(&unlocked), RefusalCode::Precondition, message, hint);
}

#[test]
fn a_manager_that_is_away_needs_the_key_of_before_and_that_is_said() {
    let mut world = World::of(THREE);
    world.tell("unheard m2");
    let clear = "m2: away now, and its keys lie in the clear until it is back";
    assert_eq!(locks(&world, true).unwrap().warnings, [clear]);
    let admitted = locks(&world, true).unwrap();
    apply(&mut world, admitted);
    let warning = "m2: away now, and needs the unlock key of before at its next start";
    assert_eq!(rotates(&world).unwrap().warnings, [warning]);
    assert_eq!(locks(&world, false).unwrap().warnings, [warning]);
    world.tell("heard m2");
    assert_eq!(rotates(&world).unwrap().warnings, [""; 0]);
    world.tell("node m3 role=manager | number m3 | follows m3 | close m3");
    let warning = warning.replace("m2", "m3");
    assert_eq!(rotates(&world).unwrap().warnings, [warning], "it follows, and is away");
}

#[test]
fn a_cluster_is_not_locked_before_it_can_be_unlocked() {
    let older = World::of(&THREE.replace("level 7", "level 6"));
    let message = "a manager of this cluster is older and can't be locked";
    for found in [locks(&older, true), rotates(&older)] {
        refused(found, RefusalCode::Precondition, message, "upgrade every manager first");
    }
    let without = World::of(&THREE.replace("authority 1", ""));
    let message = "the cluster has no certificate authority yet";
    let hint = "it has one a moment after a manager began to lead: try again";
    for found in [locks(&without, true), rotates(&without)] {
        refused(found, RefusalCode::Precondition, message, hint);
    }
}
