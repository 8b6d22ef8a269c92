//! Which tasks changed lately, so that an agent that comes back hears only what it missed. PURE.

use skep_projections::{Delta, View};
use skep_proto::{Id, Position, Revision};
use std::collections::{BTreeSet, VecDeque};

/// Changes remembered. An agent whose position is older than the oldest gets its whole set.
const CHANGES_MAX: usize = 65_536;

/// A window over the newest changes of assigned tasks.
pub(super) struct Recent {
    incarnation: u64,
    /// All changes after this revision are in the window.
    floor: Revision,
    changes: VecDeque<(Revision, Id, Id)>,
}

impl Recent {
    pub(super) fn from(position: Position) -> Recent {
        Recent {
            incarnation: position.incarnation,
            floor: position.revision,
            changes: VecDeque::new(),
        }
    }

    pub(super) fn note(&mut self, view: &View, delta: &Delta) {
        let position = view.position();
        if position.incarnation != self.incarnation {
            *self = Recent::from(position);
            return;
        }
        let nodes = view.nodes();
        for task in delta.tasks.iter().filter_map(|place| view.tasks().get(*place)) {
            if let Some(node) = task.node.and_then(|place| nodes.get(place)) {
                self.push(position.revision, node.id, task.id);
            }
        }
        for (task, node) in &delta.gone {
            self.push(position.revision, *node, *task);
        }
    }

    fn push(&mut self, revision: Revision, node: Id, task: Id) {
        if self.changes.len() >= CHANGES_MAX
            && let Some((oldest, ..)) = self.changes.pop_front()
        {
            self.floor = oldest;
        }
        self.changes.push_back((revision, node, task));
    }

    /// Tasks of the node that changed after the agent's position; none when that is too long ago to
    /// know.
    pub(super) fn since(
        &self,
        incarnation: u64,
        revision: Revision,
        node: Id,
    ) -> Option<BTreeSet<Id>> {
        if incarnation != self.incarnation || revision < self.floor {
            return None;
        }
        let newer = self.changes.iter().rev().take_while(|(at, ..)| *at > revision);
        Some(newer.filter(|(_, on, _)| *on == node).map(|(.., task)| *task).collect())
    }
}
