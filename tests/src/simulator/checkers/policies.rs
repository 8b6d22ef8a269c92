//! REC-11: an ended task gets a successor only as its restart policy says.

use super::{Check, Checker, CommittedRecord};
use crate::simulator::world::SimulatedWorld;
use skep_proto::{
    Id, Revision, defaults,
    v1::{Reconciler, RestartCondition, TaskState, author::Who, event::Kind},
};
use std::collections::BTreeMap;

/// Counts the successors of each slot under one spec.
#[derive(Default)]
pub(super) struct Policies {
    successors: BTreeMap<(Id, u32, Revision), u64>,
}

impl Checker for Policies {
    fn name(&self) -> &'static str {
        "REC-11"
    }

    fn on_record(&mut self, seen: &CommittedRecord<'_>, _world: &SimulatedWorld) -> Check {
        let Kind::TaskCreated(e) = seen.kind else { return Ok(()) };
        let service = Id::from_bytes(&e.service_id);
        let version = Revision(e.spec_version);
        let slot = e.slot as u32;
        let by = seen.record.author.as_ref().and_then(|author| author.who.as_ref());
        let old = seen.before.tasks().by_id(Id::from_bytes(&e.replaces_id)).map(|(_, row)| row);
        let (Some(old), true) = (old, by == Some(&Who::Reconciler(Reconciler::Restart as i32)))
        else {
            // Somebody else fills the slot: what was counted is over.
            self.successors.retain(|(id, number, _), _| (*id, *number) != (service, slot));
            return Ok(());
        };
        let Some(spec) = seen.before.spec_of(old).and_then(|spec| spec.task.as_ref()) else {
            return Ok(());
        };
        let policy = defaults::restart(spec);
        let may = match policy.condition {
            RestartCondition::Any => true,
            RestartCondition::OnFailure => old.state != TaskState::Complete,
            RestartCondition::None => false,
        };
        if !may {
            let state = old.state;
            return Err(format!(
                "task {} ended {state:?}, and its policy wants no successor",
                old.id
            ));
        }
        let count = self.successors.entry((service, slot, version)).or_default();
        *count += 1;
        if policy.max_attempts > 0 && policy.window_ns == 0 && *count > policy.max_attempts {
            let max = policy.max_attempts;
            return Err(format!("slot {slot} gets successor {count} of {max} at most"));
        }
        Ok(())
    }
}
