//! VIEW-1, replay: the same records give the same digest, folded anew or through a snapshot.

use crate::simulator::world::World;
use skep_projections::snapshot;

/// Looking is dear: every so many commits is enough, and at the end.
const EVERY_COMMITS: u64 = 64;

pub(super) fn check(world: &World) -> Result<(), String> {
    if world.commits == 0 || !world.commits.is_multiple_of(EVERY_COMMITS) {
        return Ok(());
    }
    check_now(world)
}

pub(super) fn check_now(world: &World) -> Result<(), String> {
    let Some(manager) = &world.manager else { return Ok(()) };
    let (replayed, _) = world.disk.replay()?;
    if replayed.digest() != manager.tip().digest() {
        return Err("VIEW-1: a replay of the log gives another digest than the tip has".into());
    }
    let thawed =
        snapshot::decode(&snapshot::encode(&replayed)).map_err(|error| format!("VIEW-1: {error}"))?;
    if thawed.digest() != replayed.digest() {
        return Err("VIEW-1: a snapshot gives another digest than the view it was taken of".into());
    }
    Ok(())
}
