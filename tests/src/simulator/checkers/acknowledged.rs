//! LOG-1, agreement: what a client was told is in the log, at the revision it was told, under its
//! command's id.

use super::{Check, Checker};
use crate::simulator::{disk, world::SimulatedWorld};

/// Looks at the whole log at the end.
pub(super) struct Acknowledged;

impl Checker for Acknowledged {
    fn name(&self) -> &'static str {
        "LOG-1"
    }

    fn at_end(&mut self, world: &SimulatedWorld) -> Check {
        for (number, revision) in world.people.told() {
            let entry = world.disk.entry_of(revision).ok_or_else(|| {
                format!("command {number} was told revision {revision}, which is not in the log")
            })?;
            let record = disk::records(entry).find(|(stamp, _)| stamp.revision == revision);
            let record = record.and_then(|(_, record)| record.ok());
            let command = record.and_then(|record| record.command).map_or(0, |id| id.number);
            if command != number {
                return Err(format!(
                    "command {number} was told revision {revision}, which is {command}'s"
                ));
            }
        }
        Ok(())
    }
}
