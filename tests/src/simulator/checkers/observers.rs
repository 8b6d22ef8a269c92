//! AGENT-5: a node is believed about its own tasks and about nothing else.

use super::{Check, Checker, CommittedRecord};
use crate::simulator::world::SimulatedWorld;
use skep_proto::{
    Id,
    v1::{author::Who, event::Kind},
};

/// Looks at each observation.
pub(super) struct Observers;

impl Checker for Observers {
    fn name(&self) -> &'static str {
        "AGENT-5"
    }

    fn on_record(&mut self, seen: &CommittedRecord<'_>, _world: &SimulatedWorld) -> Check {
        let author = seen.record.author.as_ref().and_then(|author| author.who.as_ref());
        let node = match author {
            Some(Who::NodeId(node)) => Id::from_bytes(node),
            Some(Who::Person(_) | Who::Reconciler(_) | Who::ManagerId(_)) | None => Id::NONE,
        };
        let about = match seen.kind {
            Kind::TaskObserved(e) => {
                let task = Id::from_bytes(&e.task_id);
                let row = seen.before.tasks().by_id(task).map(|(_, row)| row);
                let on = row.and_then(|row| seen.before.nodes().get(row.node?)).map(|node| node.id);
                on.ok_or_else(|| format!("task {task} was observed, which is on no node"))?
            }
            Kind::SessionOpened(e) => Id::from_bytes(&e.node_id),
            Kind::SessionClosed(e) => Id::from_bytes(&e.node_id),
            Kind::NodeJoined(e) => Id::from_bytes(&e.node_id),
            _ => return Ok(()),
        };
        if node == about {
            return Ok(());
        }
        Err(format!("at {} node {node} says something of what is {about}'s", seen.revision))
    }
}
