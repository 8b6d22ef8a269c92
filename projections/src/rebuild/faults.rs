//! Whether every index is what the rows say: for tests, the simulator and `doctor`.

use crate::{NodeRow, ServiceRow, View};

impl View {
    /// What is wrong with indexes and counters, one line each; empty if nothing is. Costs
    /// O(cluster).
    pub fn faults(&self) -> Vec<String> {
        let Some(anew) = self.clone().rebuild(self.classes.free_numbers().collect()) else {
            return vec!["rows contradict each other".into()];
        };
        let checks = [
            ("services by name", self.services_by_name == anew.services_by_name),
            ("nodes by host name", self.nodes_by_hostname == anew.nodes_by_hostname),
            ("tasks by slot", self.tasks_by_slot == anew.tasks_by_slot),
            ("tasks by node", self.tasks_by_node == anew.tasks_by_node),
            ("pending tasks", self.pending == anew.pending),
            ("service load", self.service_load == anew.service_load),
            ("placeable nodes", self.placeable == anew.placeable),
            ("impaired nodes", self.impaired == anew.impaired),
            ("managers", self.managers == anew.managers),
            ("silent nodes", self.silent == anew.silent),
            ("nodes that are away", self.away == anew.away),
            ("roll-outs under way", self.updating == anew.updating),
            ("nodes by port", self.nodes_by_port == anew.nodes_by_port),
            ("unanswered ends", self.unanswered == anew.unanswered),
            ("held tasks", self.held == anew.held),
            ("recent failures", self.failures == anew.failures),
            ("the digest", self.digest == anew.digest),
            (
                "node classes",
                classes(self) == classes(&anew) && self.node_counts() == anew.node_counts(),
            ),
        ];
        let wrong = checks.into_iter().filter(|(_, same)| !same);
        let mut faults: Vec<_> =
            wrong.map(|(what, _)| format!("{what}: not what the rows say")).collect();
        self.node_faults(&anew, &mut faults);
        self.service_faults(&anew, &mut faults);
        faults
    }

    fn node_faults(&self, anew: &View, faults: &mut Vec<String>) {
        for (index, row) in self.nodes.by_index() {
            if anew.nodes.get(index).is_none_or(|other| taken(row) != taken(other)) {
                faults.push(format!(
                    "node {}: what is taken of it is not what its tasks say",
                    row.id
                ));
            }
            if row.removed && self.tasks_on(index).next().is_none() {
                faults.push(format!("node {}: removed, and nothing refers to it", row.id));
            }
        }
    }

    fn service_faults(&self, anew: &View, faults: &mut Vec<String>) {
        for (index, row) in self.services.by_index() {
            if anew.services.get(index).is_none_or(|other| counts(row) != counts(other)) {
                faults.push(format!("service {}: its counts are not what its tasks say", row.id));
            }
            if !row
                .specs
                .last()
                .is_some_and(|last| last.version == row.spec_version && last.spec == row.spec)
            {
                faults.push(format!("service {}: its newest spec is not its own", row.id));
            }
            if row.specs.iter().any(|known| known.tasks == 0 && known.version != row.spec_version) {
                faults.push(format!("service {}: it keeps a spec that nothing refers to", row.id));
            }
            if row.removed && row.tasks == 0 {
                faults.push(format!("service {}: removed, and has no task", row.id));
            }
        }
    }
}

fn classes(view: &View) -> Vec<(u32, &crate::classes::ClassKey, u32, u32)> {
    view.classes()
        .map(|(number, class)| (number, &class.key, class.nodes, class.placeable))
        .collect()
}

fn taken(row: &NodeRow) -> (u32, i64, i64, &[(i32, u32)]) {
    (row.live_tasks, row.reserved_nano_cpus, row.reserved_memory_bytes, &row.host_ports)
}

fn counts(row: &ServiceRow) -> (u32, u32, u32, Vec<(u64, u32)>) {
    let specs = row.specs.iter().map(|known| (known.version.0, known.tasks)).collect();
    (row.tasks, row.live_tasks, row.running_tasks, specs)
}
