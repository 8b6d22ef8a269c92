//! What a record changed: the only thing that reconcilers, sessions and watchers look at to find
//! their work.

use crate::{node::NodeIdx, service::ServiceIdx, task::TaskIdx};
use skep_proto::Id;
use std::collections::BTreeSet;

/// Objects that changed, by index. An index whose row has gone names something that was there
/// before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// The cluster's own spec, feature level or tenure changed.
    pub cluster: bool,
    /// Changed nodes.
    pub nodes: BTreeSet<NodeIdx>,
    /// Changed services.
    pub services: BTreeSet<ServiceIdx>,
    /// Changed tasks.
    pub tasks: BTreeSet<TaskIdx>,
    /// Tasks that left the view and the node they were bound to: their indexes may have been given
    /// to others since.
    pub gone: Vec<(Id, Id)>,
}

impl Delta {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        !self.cluster
            && self.nodes.is_empty()
            && self.services.is_empty()
            && self.tasks.is_empty()
            && self.gone.is_empty()
    }

    /// Adds what another one names.
    pub fn merge(&mut self, other: &Delta) {
        self.cluster |= other.cluster;
        self.nodes.extend(&other.nodes);
        self.services.extend(&other.services);
        self.tasks.extend(&other.tasks);
        self.gone.extend_from_slice(&other.gone);
    }
}
