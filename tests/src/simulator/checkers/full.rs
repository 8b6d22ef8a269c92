//! GATE-7: while the manager's disk is nearly full, no new services are accepted.

use super::{Check, Checker, CommittedRecord};
use crate::simulator::world::SimulatedWorld;
use skep_proto::v1::event::Kind;

/// Looks at new services.
pub(super) struct FullDisk;

impl Checker for FullDisk {
    fn name(&self) -> &'static str {
        "GATE-7"
    }

    fn on_record(&mut self, seen: &CommittedRecord<'_>, world: &SimulatedWorld) -> Check {
        let adds = matches!(seen.kind, Kind::ServiceCreated(_));
        let (Some(id), Some(since), true) = (seen.record.command, world.full_since, adds) else {
            return Ok(());
        };
        // It may have been taken before, and decided only now.
        let came = world.people.of(id.number).map(|asked| asked.first_sent_at);
        if came.is_some_and(|came| came > since) && seen.decided_at > since {
            return Err(format!("command {} adds to a full disk at {}", id.number, seen.revision));
        }
        Ok(())
    }
}
