//! What the reconcilers say, told as stories.
//!
//! Each line of a story happens in one turn; the lines after it that begin with `>` are all that is
//! said then.

mod attempts;
mod brain;
mod deadlines;
mod features;
mod fitness;
mod generated;
mod history;
mod liveness;
mod names;
mod oracle;
mod placement;
mod replicas;
mod resources;
mod restart;
mod roles;
mod rollout;
mod shares;
mod telling;
