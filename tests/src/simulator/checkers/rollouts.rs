//! REC-6: a roll-out is complete when every slot runs the newest spec, and not before.

use super::{Check, Checker, Seen};
use crate::simulator::world::World;
use skep_projections::View;
use skep_proto::{
    Id, Revision,
    v1::{RolloutState, TaskState, event::Kind},
};

/// Looks at each end of a roll-out.
pub struct Rollouts;

impl Checker for Rollouts {
    fn name(&self) -> &'static str {
        "REC-6"
    }

    fn on_record(&mut self, seen: &Seen<'_>, _world: &World) -> Check {
        let Kind::RolloutCompleted(e) = seen.kind else { return Ok(()) };
        let view = seen.before;
        let Some((_, row)) = view.services().by_id(Id::from_bytes(&e.service_id)) else {
            return Err("a roll-out of no service is complete".into());
        };
        if row.spec_version != Revision(e.spec_version) {
            return Err(format!("a roll-out of {} to an old spec is complete", row.name()));
        }
        Ok(())
    }

    fn at_rest(&mut self, view: &View, _world: &World) -> Check {
        for (index, row) in view.services().iter().filter(|(_, row)| !row.removed) {
            let state = row.rollout.as_ref().map_or(RolloutState::None, |rollout| rollout.state);
            let waits = view.tasks_of(index).any(|(_, t)| t.is_live() && t.state < TaskState::Running);
            if state == RolloutState::Updating && !waits {
                return Err(format!("the roll-out of {} never ends, although all of it runs", row.name()));
            }
        }
        Ok(())
    }
}
