//! GATE-3: a command takes effect once, however often it was sent.

use crate::simulator::world::World;
use skep_proto::v1::event::Kind;
use std::collections::BTreeMap;

pub(super) fn check(world: &World) -> Result<(), String> {
    let mut effects = BTreeMap::new();
    for (revision, record) in world.disk.records() {
        let refused =
            matches!(record.event.as_ref().and_then(|e| e.kind.as_ref()), Some(Kind::CommandRefused(_)));
        let Some(id) = record.command.filter(|_| !refused) else { continue };
        if let Some(before) = effects.insert((id.stamp, id.number), revision) {
            return Err(format!("GATE-3: command {} took effect at {before} and at {revision}", id.number));
        }
    }
    Ok(())
}
