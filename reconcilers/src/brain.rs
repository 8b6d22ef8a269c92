//! Asks the reconcilers, in a fixed order, until they are silent.
//!
//! Each is handed what changed since it was last asked, its own decisions included, and each
//! decision is applied to the tip before the next reconciler looks at it. None may fill an entry
//! alone: each has a share of the room, and it is asked again about what it leaves. A reconciler
//! that panics, or that never falls silent, costs the cluster one object: that is parked by a
//! record which says who failed on it and how, and left alone until somebody releases or changes
//! it.

mod culprit;
mod settling;

use crate::{
    all,
    plan::{Reconciler, Turn, earlier},
};
use settling::Settling;
pub use settling::{ROUNDS_MAX, Settled};
use skep_projections::{Delta, View};
use skep_proto::Timestamp;
use std::panic::{AssertUnwindSafe, catch_unwind};

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

    /// All unfinished work that the view shows.
    pub fn resume(&self, view: &View) -> Delta {
        let mut delta = Delta::default();
        for reconciler in &self.reconcilers {
            // One that fails even at looking finds its work when the objects change.
            if let Ok((found, _)) = catch_unwind(AssertUnwindSafe(|| reconciler.resume(view))) {
                delta.merge(&found);
            }
        }
        delta
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
    /// they come. An empty delta asks only about deadlines that have come.
    pub fn settle(&self, tip: &mut View, delta: Delta, turn: &Turn, room: usize) -> Settled {
        let mut settling = Settling::new(&self.reconcilers, tip, delta, turn, room);
        settling.run();
        settling.finish()
    }
}
