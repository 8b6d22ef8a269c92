//! The named invariants, each looked at after every step or at the end.

mod acknowledged;
mod assigned;
mod once;
mod owners;
mod replay;

use super::world::World;

/// What must hold after every step.
pub fn after_step(world: &mut World) -> Result<(), String> {
    assigned::check(world)?;
    owners::check(world)?;
    replay::check(world)
}

/// What must hold when all is calm.
pub fn at_end(world: &World) -> Result<(), String> {
    acknowledged::check(world)?;
    once::check(world)?;
    replay::check_now(world)
}
