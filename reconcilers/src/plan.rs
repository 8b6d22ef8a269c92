//! What a reconciler is, and what it answers.

use crate::Entropy;
use skep_projections::{Delta, View};
use skep_proto::{
    Revision, Timestamp,
    v1::{self, event::Kind},
};

/// What a turn hands to everybody who decides in it: the world's time and ids for new things.
#[derive(Clone, Debug)]
pub struct Turn {
    /// Time of the turn; never before the view's newest record.
    pub now: Timestamp,
    /// Ids for new things.
    pub entropy: Entropy,
}

/// One thing that is to become true, and why.
#[derive(Clone, PartialEq, Debug)]
pub struct Decision {
    /// The record that this answers: following causes back leads to a person or to the world
    /// outside.
    pub cause: Revision,
    /// What becomes true.
    pub kind: Kind,
}

/// A reconciler's answer.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// In the order in which they are to be written.
    pub decisions: Vec<Decision>,
    /// Decisions that it should hold at most.
    room: usize,
    /// The earliest deadline, later than now, at which it wants to be asked again; of the whole
    /// view, not only of what changed. So the newest answer replaces all earlier ones.
    pub wake_at: Option<Timestamp>,
    /// What is to be asked again because the plan was full. But for `history`, which removes them,
    /// it names no task that has ended and is wanted no more.
    pub left: Delta,
}

/// Keeps one sentence true.
///
/// Remembers nothing: the answer follows from the arguments. A reconciler that is asked again after
/// its own decisions were applied has nothing more to say about them.
pub trait Reconciler {
    /// The name that its records carry as their author.
    fn name(&self) -> v1::Reconciler;

    /// What follows from a change, in about `room` decisions: as soon as the plan is full, the rest
    /// of the change is left. Looks only at what the delta names and at what hangs on that, so that
    /// the cost is that of the change.
    fn reconcile(&self, view: &View, delta: &Delta, turn: &Turn, room: usize) -> Plan;

    /// Finds all unfinished work again, and the earliest deadline after the view's time: after a
    /// change of leader, a restart, or a tip that was thrown away.
    fn resume(&self, view: &View) -> (Delta, Option<Timestamp>);

    /// Objects whose deadline has come. They are added to the first delta of every turn.
    fn due(&self, view: &View, now: Timestamp) -> Delta {
        let _ = (view, now);
        Delta::default()
    }
}

impl Plan {
    /// An empty plan for about so many decisions.
    pub fn with_room(room: usize) -> Plan {
        Plan { decisions: Vec::new(), room, wake_at: None, left: Delta::default() }
    }

    /// Notes a decision.
    pub fn decide(&mut self, cause: Revision, kind: Kind) {
        self.decisions.push(Decision { cause, kind });
    }

    /// How many decisions it should still take.
    pub fn room(&self) -> usize {
        self.room.saturating_sub(self.decisions.len())
    }

    /// Whether it holds as much as it should. Decisions that belong together are noted without
    /// asking in between: all decisions of a plan are written to the same entry.
    pub fn is_full(&self) -> bool {
        self.room() == 0
    }
}

/// The earlier of two deadlines.
pub fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (Some(one), None) | (None, Some(one)) => Some(one),
        (None, None) => None,
    }
}
