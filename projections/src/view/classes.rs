//! Questions about kinds of nodes, and about which of them a spec's constraints admit.

use super::View;
use crate::{classes::Class, node::NodeRow};
use skep_proto::{constraint::Constraint, v1::ServiceSpec};

impl View {
    /// All classes that have nodes, in the order of what tells them apart: (class, what and how
    /// many).
    pub fn classes(&self) -> impl Iterator<Item = (u32, &Class)> {
        self.classes.iter()
    }

    /// One class.
    pub fn class(&self, class: u32) -> Option<&Class> {
        self.classes.get(class)
    }

    /// Whether the constraints of a spec admit a node.
    pub fn admits(&self, spec: &ServiceSpec, node: &NodeRow) -> bool {
        let placement = spec.task.as_ref().and_then(|task| task.placement.as_ref());
        let constraints = placement.map_or(&[][..], |placement| &placement.constraints);
        if constraints.is_empty() {
            return true;
        }
        let Some(class) = self.class(node.class) else { return false };
        let id = node.id.to_string();
        let subject = node.subject(&id, &class.key);
        constraints.iter().all(|text| Constraint::recorded(text).admits(&subject))
    }
}
