//! GATE-2: every record has an author, and a cause before it or is an origin; so causes lead back
//! to one.

use super::{Check, Checker, CommittedRecord};
use crate::simulator::world::SimulatedWorld;
use skep_proto::{event, v1::author::Who};

/// Looks at each record.
pub(super) struct RecordCauses;

impl Checker for RecordCauses {
    fn name(&self) -> &'static str {
        "GATE-2"
    }

    fn on_record(&mut self, seen: &CommittedRecord<'_>, _world: &SimulatedWorld) -> Check {
        let (revision, cause, name) = (seen.revision, seen.record.cause, event::name(seen.kind));
        let author = seen.record.author.as_ref().and_then(|author| author.who.as_ref());
        let author = author.ok_or_else(|| format!("{name} at {revision} has no author"))?;
        if cause >= revision.0 {
            return Err(format!(
                "{name} at {revision} is caused by {cause}, which is not before it"
            ));
        }
        match author {
            Who::Reconciler(_) if cause == 0 => {
                Err(format!("{name} at {revision} is a decision without a cause"))
            }
            Who::Reconciler(_) | Who::Person(_) | Who::NodeId(_) | Who::ManagerId(_) => Ok(()),
        }
    }
}
