//! Nodes that are to become managers and have no vote yet. PURE.
//!
//! What keeps a node from it, its own daemon knows: the port may be taken there, or the daemon may
//! be an agent alone. The leader knows only that it waits, and says where to look.

use super::{cluster::bounded, warning};
use crate::admit;
use skep_projections::{NodeRow, View};
use skep_proto::v1::{Finding, NodeRole};

/// Those nodes.
pub(super) fn joining(view: &View) -> Vec<Finding> {
    let managers = view.managers().map(|(_, row)| row);
    let waiting = managers
        .filter(|row| row.spec.desired_role() == NodeRole::Manager && !admit::votes(view, row));
    bounded(waiting.map(|row| waits(view, row)), "nodes are to become managers")
}

fn waits(view: &View, row: &NodeRow) -> Finding {
    let name = row.hostname();
    let why = match admit::is_up(row) {
        true => String::new(),
        false => format!(": {}", admit::what_is_amiss(view, row)),
    };
    let message = format!("it is to become a manager, and has no vote yet{why}");
    let hint = format!(
        "`skep node status` on that machine says what it waits for; `skep node demote {name}` takes the promotion back"
    );
    warning(name, message, &hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_projections::fixture::World;

    #[test]
    fn a_node_that_has_no_vote_yet_is_told_until_it_has_one() {
        let told = |steps: &str| {
            let founded =
                "level 6 | node m1 role=manager | tenure m1 | open m1 | node n1 | certify n1";
            let world = World::of(&format!("{founded}{steps}"));
            let found = joining(&world.view);
            found.iter().map(|one| format!("{}: {}", one.subject, one.message)).collect::<Vec<_>>()
        };
        assert_eq!(told(""), [""; 0]);
        let waits = "n1: it is to become a manager, and has no vote yet";
        assert_eq!(told(" | promote n1"), [waits]);
        assert_eq!(told(" | promote n1 | number n1 | follows n1"), [waits]);
        assert_eq!(told(" | promote n1 | down n1"), [format!("{waits}: node n1 is down")]);
        assert_eq!(told(" | promote n1 | number n1 | votes n1"), [""; 0]);
        assert_eq!(told(" | promote n1 | demote n1"), [""; 0]);
    }
}
