//! REC-7: what is seen and what is wanted of a task only move forward, and an end is final.

use super::{Check, Checker, CommittedRecord};
use crate::simulator::world::SimulatedWorld;
use skep_proto::{Id, v1::event::Kind};

/// Looks at each record about a task.
pub(super) struct States;

impl Checker for States {
    fn name(&self) -> &'static str {
        "REC-7"
    }

    fn on_record(&mut self, seen: &CommittedRecord<'_>, _world: &SimulatedWorld) -> Check {
        let row = |id: &[u8]| seen.before.tasks().by_id(Id::from_bytes(id)).map(|(_, row)| row);
        let wrong = match seen.kind {
            Kind::TaskObserved(e) => {
                row(&e.task_id).filter(|row| row.has_ended() || e.state() < row.state)
            }
            Kind::TaskDesired(e) => row(&e.task_id).filter(|row| e.desired() <= row.desired),
            Kind::TaskAssigned(e) => row(&e.task_id).filter(|row| row.node.is_some()),
            _ => None,
        };
        match wrong {
            Some(row) => {
                Err(format!("at {} task {} goes back or on after its end", seen.revision, row.id))
            }
            None => Ok(()),
        }
    }
}
