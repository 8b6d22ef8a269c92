//! What the reconcilers have still to be asked about, each by itself.
//!
//! When an entry is full, the rest of the work goes on in the next turn. One reconciler may be far
//! behind then, and the others up to date: they must not be shown again what they have seen, since
//! the cost of a turn would grow with all that happened since the one behind was last finished.

use skep_projections::Delta;

/// What is left to do for the reconcilers of a brain.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unsettled {
    /// Changes that every reconciler is to be shown.
    pub(super) new: Delta,
    /// What else each reconciler is to be shown, in their order. Reconcilers without an element
    /// have nothing left.
    pub(super) remainders: Vec<Remainder>,
}

/// What one reconciler has still to be asked about.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Remainder {
    /// It was asked about these, and there was no room for all that it decided.
    pub unfinished: Delta,
    /// It has not been asked about these. Names nothing that `unfinished` names.
    pub unseen: Delta,
}

impl Unsettled {
    /// Adds changes that every reconciler is to be shown.
    pub fn add(&mut self, changed: &Delta) {
        self.new.merge(changed);
    }

    /// Whether no reconciler has anything left.
    pub fn is_empty(&self) -> bool {
        self.new.is_empty() && self.remainders.iter().all(Remainder::is_empty)
    }

    /// Tasks that some reconciler is still to be shown, counted once for each reconciler: what the
    /// next turn costs before it decides anything.
    pub fn tasks_to_show(&self) -> usize {
        let left = self.remainders.iter();
        let left = left.map(|left| left.unfinished.tasks.len() + left.unseen.tasks.len());
        self.new.tasks.len() * self.remainders.len().max(1) + left.sum::<usize>()
    }
}

impl From<Delta> for Unsettled {
    fn from(new: Delta) -> Unsettled {
        Unsettled { new, remainders: Vec::new() }
    }
}

impl Remainder {
    fn is_empty(&self) -> bool {
        self.unfinished.is_empty() && self.unseen.is_empty()
    }
}
