//! What every follower of the committed state sees: a view, and what the newest commit changed in it.
//!
//! It travels in a `watch`, which holds one value: a follower that was slow sees the newest and has skipped
//! what lay between, so it compares rows and never relies on having seen every delta.

use skep_projections::{Delta, View};
use std::sync::Arc;

/// The committed state after one entry.
#[derive(Clone)]
pub struct Published {
    /// The cluster up to there.
    pub view: View,
    /// What that entry changed.
    pub delta: Arc<Delta>,
}
