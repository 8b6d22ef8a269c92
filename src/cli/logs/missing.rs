//! What the reader of output did not get. PURE.

use crate::cli::fail::{CliError, CliResult};
use skep_proto::v1::{LogGap, LogGapKind};
use std::collections::BTreeSet;

/// Whether a gap was printed before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum GapNews {
    /// It was not.
    New,
    /// The same node said the same: it says so for each task whose lines it cannot read.
    Known,
}

/// Whose lines are missing.
#[derive(Default)]
pub(super) struct Missing {
    /// Nodes that are away: their lines may come yet.
    nodes: BTreeSet<String>,
    /// What will never come.
    lost: BTreeSet<String>,
    /// What nodes said of lines that they cannot read: node and message.
    unreadable: BTreeSet<(String, String)>,
}

impl Missing {
    pub(super) fn note(&mut self, gap: &LogGap) -> GapNews {
        let node = format!("node {}", gap.node_name);
        let said = (gap.node_name.clone(), gap.message.clone());
        let is_known = gap.kind() == LogGapKind::Unreadable && !self.unreadable.insert(said);
        match gap.kind() {
            LogGapKind::NodeAway => drop(self.nodes.insert(node)),
            LogGapKind::NodeBack => {
                self.nodes.remove(&node);
                self.unreadable.retain(|(name, _)| *name != gap.node_name);
            }
            // Nobody can bring them back: what the cluster has is complete without them.
            LogGapKind::NodeRemoved => drop(self.nodes.remove(&node)),
            LogGapKind::LinesLost => drop(self.lost.insert(format!("task {}", gap.task_name))),
            LogGapKind::Unreadable => drop(self.lost.insert(node)),
        }
        if is_known { GapNews::Known } else { GapNews::New }
    }

    /// How the command ends.
    pub(super) fn outcome(&self) -> CliResult {
        let all: Vec<&str> = self.nodes.union(&self.lost).map(String::as_str).collect();
        if all.is_empty() {
            return Ok(());
        }
        Err(CliError::refused(format!("not all lines could be read: {}", all.join(", "))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(gaps: &[(LogGapKind, &str)]) -> String {
        let mut missing = Missing::default();
        for (kind, name) in gaps {
            let gap = LogGap {
                kind: (*kind).into(),
                node_name: (*name).into(),
                task_name: (*name).into(),
                ..LogGap::default()
            };
            missing.note(&gap);
        }
        missing.outcome().map_or_else(|failure| failure.to_string(), |()| "all".into())
    }

    #[test]
    fn a_cause_is_told_once_for_each_node_until_the_node_is_back() {
        let gap = |kind: LogGapKind, node: &str, message: &str| LogGap {
            kind: kind.into(),
            node_name: node.into(),
            message: message.into(),
            ..LogGap::default()
        };
        let mut missing = Missing::default();
        let mut news = |kind, node, message| missing.note(&gap(kind, node, message));
        use LogGapKind::{NodeBack, Unreadable};
        assert_eq!(news(Unreadable, "m1", "the engine is away"), GapNews::New);
        assert_eq!(news(Unreadable, "m1", "the engine is away"), GapNews::Known);
        assert_eq!(news(Unreadable, "m1", "the disk is full"), GapNews::New);
        assert_eq!(news(Unreadable, "m2", "the engine is away"), GapNews::New);
        assert_eq!(news(NodeBack, "m1", ""), GapNews::New);
        assert_eq!(news(Unreadable, "m1", "the engine is away"), GapNews::New);
    }

    #[test]
    fn what_came_late_is_not_missing_and_what_is_lost_is() {
        use LogGapKind::{LinesLost, NodeAway, NodeBack, NodeRemoved, Unreadable};
        let of = |what: &str| format!("error: not all lines could be read: {what}");
        assert_eq!(outcome(&[]), "all");
        assert_eq!(outcome(&[(NodeAway, "m2")]), of("node m2"));
        assert_eq!(outcome(&[(NodeAway, "m2"), (NodeBack, "m2")]), "all");
        assert_eq!(outcome(&[(NodeAway, "m2"), (NodeAway, "m3"), (NodeBack, "m2")]), of("node m3"));
        assert_eq!(outcome(&[(NodeRemoved, "m2")]), "all");
        assert_eq!(outcome(&[(NodeAway, "m2"), (NodeRemoved, "m2")]), "all");
        assert_eq!(outcome(&[(NodeAway, "m3"), (NodeRemoved, "m2")]), of("node m3"));
        assert_eq!(outcome(&[(LinesLost, "web.1"), (NodeBack, "web.1")]), of("task web.1"));
        assert_eq!(outcome(&[(Unreadable, "m2"), (LinesLost, "web.1")]), of("node m2, task web.1"));
    }
}
