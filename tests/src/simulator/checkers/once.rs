//! GATE-3: a command takes effect once, however often it was sent.

use super::{Check, Checker, CommittedRecord};
use crate::simulator::world::SimulatedWorld;
use skep_proto::{Revision, v1::event::Kind};
use std::collections::BTreeMap;

/// Remembers the effect of each command.
#[derive(Default)]
pub(super) struct Once(BTreeMap<(u64, u64), Revision>);

impl Checker for Once {
    fn name(&self) -> &'static str {
        "GATE-3"
    }

    fn on_record(&mut self, seen: &CommittedRecord<'_>, _world: &SimulatedWorld) -> Check {
        let Some(id) = seen.record.command else { return Ok(()) };
        if matches!(seen.kind, Kind::CommandRefused(_)) {
            return Ok(());
        }
        let (at, number) = (seen.revision, id.number);
        match self.0.insert((id.stamp, id.number), at) {
            Some(before) => Err(format!("command {number} took effect at {before} and at {at}")),
            None => Ok(()),
        }
    }
}
