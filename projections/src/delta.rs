//! What a record changed: the only thing that reconcilers, sessions and watchers look at to find
//! their work.

use crate::{TaskRow, View, node::NodeIdx, service::ServiceIdx, task::TaskIdx};
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
    /// All that may differ between two views: what somebody must look at who was brought a snapshot
    /// in place of the records between. It names every object, so it costs as much as the cluster
    /// is large, once.
    pub fn between(before: &View, after: &View) -> Delta {
        let nodes = [before, after].into_iter().flat_map(|view| view.nodes().iter());
        let services = [before, after].into_iter().flat_map(|view| view.services().iter());
        let tasks = [before, after].into_iter().flat_map(|view| view.tasks().iter());
        let gone = before.tasks().iter().filter(|(_, task)| after.tasks().by_id(task.id).is_none());
        let node_of = |task: &TaskRow| task.node.and_then(|node| before.nodes().get(node));
        Delta {
            cluster: true,
            nodes: nodes.map(|(index, _)| index).collect(),
            services: services.map(|(index, _)| index).collect(),
            tasks: tasks.map(|(index, _)| index).collect(),
            gone: gone.filter_map(|(_, task)| Some((task.id, node_of(task)?.id))).collect(),
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::World;

    #[test]
    fn whoever_was_brought_a_snapshot_looks_at_all_that_may_differ() {
        let mut world = World::of(
            "node a | node b | service web replicas=3 | task web.1 on a | task web.2 on b | task web.3",
        );
        let before = world.view.clone();
        world.tell("web.1 running | web.2 shutdown | reap web.2 | rmnode b | service db");
        let between = Delta::between(&before, &world.view);
        let vanished =
            before.tasks().iter().filter(|(_, task)| world.view.tasks().by_id(task.id).is_none());
        let gone: Vec<Id> = vanished.map(|(_, task)| task.id).collect();
        assert_eq!(between.gone.iter().map(|(task, _)| *task).collect::<Vec<_>>(), gone);
        assert_eq!(gone.len(), 1);
        for view in [&before, &world.view] {
            assert!(view.nodes().iter().all(|(index, _)| between.nodes.contains(&index)));
            assert!(view.services().iter().all(|(index, _)| between.services.contains(&index)));
            assert!(view.tasks().iter().all(|(index, _)| between.tasks.contains(&index)));
        }
    }
}
