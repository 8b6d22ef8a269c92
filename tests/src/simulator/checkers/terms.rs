//! LOG-6: each election gives a higher term than all before it. A tenure that begins again without
//! one keeps its term.

use super::{Check, Checker, CommittedRecord};
use crate::simulator::world::{SimulatedWorld, happening::Occurrence};
use skep_proto::v1::event::Kind;

/// Remembers the newest term, and that of the newest tenure before the newest election.
#[derive(Default)]
pub(super) struct Terms {
    newest: u64,
    before: u64,
}

impl Checker for Terms {
    fn name(&self) -> &'static str {
        "LOG-6"
    }

    fn on_record(&mut self, seen: &CommittedRecord<'_>, _world: &SimulatedWorld) -> Check {
        let Kind::TenureBegun(e) = seen.kind else { return Ok(()) };
        let (before, at) = (self.before, seen.revision);
        self.newest = e.term;
        if e.term <= before {
            return Err(format!(
                "at {at} a tenure of term {} follows one of term {before}",
                e.term
            ));
        }
        Ok(())
    }

    fn on_happening(&mut self, happening: &Occurrence, _world: &SimulatedWorld) -> Check {
        if matches!(happening, Occurrence::TenureBegan) {
            self.before = self.newest;
        }
        Ok(())
    }
}
