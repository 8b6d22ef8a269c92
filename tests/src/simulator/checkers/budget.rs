//! REST-3: the log grows only because of what is asked and what goes wrong: by so many records for
//! each command and each trouble, over the whole run.

use super::{Check, Checker, CommittedRecord};
use crate::simulator::world::SimulatedWorld;

/// Records of a cluster that has just begun.
const BEGINNING_MAX: u64 = 300;
/// Records for each command that was sent, on average: it may create nine tasks.
const EACH_COMMAND_MAX: u64 = 25;
/// Records for each thing that went wrong, on average: it may end all tasks of a node.
const EACH_TROUBLE_MAX: u64 = 15;

/// Compares the length of the log with what has happened.
pub(super) struct Budget;

impl Checker for Budget {
    fn name(&self) -> &'static str {
        "REST-3"
    }

    fn on_record(&mut self, seen: &CommittedRecord<'_>, world: &SimulatedWorld) -> Check {
        let (commands, troubles) = (world.people.sent_count, world.mishaps.troubles as u64);
        let allowed = BEGINNING_MAX + commands * EACH_COMMAND_MAX + troubles * EACH_TROUBLE_MAX;
        if seen.revision.0 > allowed {
            return Err(format!(
                "{} records for {commands} commands and {troubles} troubles",
                seen.revision
            ));
        }
        Ok(())
    }
}
