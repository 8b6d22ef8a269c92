//! What keeps the cluster true: pure functions from what changed to what follows. Pure.
//!
//! Each reconciler keeps one sentence true and knows nothing of the others; they meet only in the
//! view. What must be remembered is in the log, never in a reconciler, so a new leader goes on
//! exactly where the old one stopped. The [`Brain`] asks them in a fixed order, again and again,
//! until none has more to say.

pub mod attempts;
pub mod brain;
pub mod entropy;
pub mod fitness;
pub mod history;
pub mod liveness;
pub mod placement;
pub mod plan;
pub mod replicas;
pub mod restart;
pub mod roles;
pub mod rollout;
pub mod succession;

mod slots;

pub use brain::{Brain, Settled};
pub use entropy::Entropy;
pub use plan::{Decision, Plan, Reconciler, Turn};

/// All reconcilers of this program, in the order in which they are asked.
pub fn all() -> Vec<Box<dyn Reconciler + Send + Sync>> {
    // What is lost and what has ended is known before slots are counted; nodes are chosen when all
    // tasks are there.
    vec![
        Box::new(liveness::Liveness),
        Box::new(roles::Roles),
        Box::new(fitness::Fitness),
        Box::new(restart::Restarts),
        Box::new(replicas::Replicas),
        Box::new(rollout::Rollouts),
        Box::new(placement::Placement),
        Box::new(history::History),
    ]
}
