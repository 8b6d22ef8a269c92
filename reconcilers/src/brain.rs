//! Asks the reconcilers, in a fixed order, until they are silent.
//!
//! Each is handed what changed since it was last asked, its own decisions included, and each
//! decision is applied to the tip before the next reconciler looks at it. None may fill the entry
//! alone: each has a share of the room that is left, and what it decided beyond that is decided
//! again after the others have answered. A reconciler that panics, or that never falls silent,
//! costs the cluster one object: that is parked by a record which says who failed on it and how,
//! and left alone until somebody releases or changes it.

mod culprit;
mod settling;
mod unsettled;

use crate::{
    all,
    plan::{Reconciler, Turn, earlier},
};
use settling::Settling;
pub use settling::{ROUNDS_MAX, Settled};
use skep_projections::{Delta, View};
use skep_proto::Timestamp;
use std::panic::{AssertUnwindSafe, catch_unwind};
use unsettled::Remainder;
pub use unsettled::Unsettled;

/// All reconcilers in their order. Holds no state: one brain may serve any number of views.
pub struct Brain {
    reconcilers: Vec<Box<dyn Reconciler + Send + Sync>>,
}

impl Default for Brain {
    fn default() -> Self {
        Brain::new()
    }
}

impl Brain {
    /// All reconcilers of this program.
    pub fn new() -> Brain {
        Brain::of(all())
    }

    /// Only these, in this order: for tests that need a bad one among them.
    pub fn of(reconcilers: Vec<Box<dyn Reconciler + Send + Sync>>) -> Brain {
        Brain { reconcilers }
    }

    /// All unfinished work that the view shows, as each reconciler finds it for itself.
    pub fn resume(&self, view: &View) -> Unsettled {
        let resume = |reconciler: &Box<dyn Reconciler + Send + Sync>| {
            // One that fails even at looking finds its work when the objects change.
            let found = catch_unwind(AssertUnwindSafe(|| reconciler.resume(view).0));
            Remainder { unfinished: Delta::default(), unseen: found.unwrap_or_default() }
        };
        let remainders = self.reconcilers.iter().map(resume).collect();
        Unsettled { new: Delta::default(), remainders }
    }

    /// The earliest deadline in the view after its own time.
    pub fn wake_at(&self, view: &View) -> Option<Timestamp> {
        self.reconcilers.iter().fold(None, |wake_at, reconciler| {
            let found = catch_unwind(AssertUnwindSafe(|| reconciler.resume(view).1));
            earlier(wake_at, found.unwrap_or(None))
        })
    }

    /// Lets all reconcilers react to what changed, until silence or until `room` records are
    /// written: a few more, where decisions belong together. Decisions are applied to the tip as
    /// they come. Where nothing is unsettled they are asked only about deadlines that have come.
    pub fn settle(
        &self,
        tip: &mut View,
        unsettled: impl Into<Unsettled>,
        turn: &Turn,
        room: usize,
    ) -> Settled {
        let mut settling = Settling::new(&self.reconcilers, tip, unsettled.into(), turn, room);
        settling.run();
        settling.finish()
    }
}
