//! Which tasks changed lately, so that an agent that comes back gets only what it missed. PURE.

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
        for task in delta.tasks.iter().filter_map(|index| view.tasks().get(*index)) {
            if let Some(node) = task.node.and_then(|index| nodes.get(index)) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use skep_projections::fixture::World;

    const NODE: Id = Id(1);

    /// A window that begins after this revision.
    fn recent(floor: u64) -> Recent {
        let mut position = World::empty().view.position();
        (position.incarnation, position.revision) = (1, Revision(floor));
        Recent::from(position)
    }

    #[test]
    fn what_changed_after_a_position_is_known_from_the_floor_on() {
        let mut recent = recent(10);
        recent.push(Revision(11), NODE, Id(5));
        recent.push(Revision(12), Id(2), Id(6));
        recent.push(Revision(13), NODE, Id(7));
        let since = |revision| recent.since(1, Revision(revision), NODE);
        assert_eq!(since(9), None, "too long ago to know");
        assert_eq!(since(10), Some(BTreeSet::from([Id(5), Id(7)])));
        assert_eq!(since(11), Some(BTreeSet::from([Id(7)])), "what came with it is known already");
        assert_eq!(since(13), Some(BTreeSet::new()));
        assert_eq!(recent.since(2, Revision(10), NODE), None, "another history");
    }

    #[test]
    fn a_full_window_forgets_its_oldest_change_and_says_so() {
        let mut recent = recent(0);
        for revision in 1..=CHANGES_MAX as u64 {
            recent.push(Revision(revision), NODE, Id(u128::from(revision)));
        }
        let all = recent.since(1, Revision::ZERO, NODE).map(|changes| changes.len());
        assert_eq!(all, Some(CHANGES_MAX));
        recent.push(Revision(CHANGES_MAX as u64 + 1), NODE, Id(9));
        assert_eq!(recent.since(1, Revision::ZERO, NODE), None);
        assert!(recent.since(1, Revision(1), NODE).is_some());
    }
}
