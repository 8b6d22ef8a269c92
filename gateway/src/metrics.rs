//! What `/metrics` says, in Prometheus' text format.
//!
//! Some counters are kept as things happen. Everything about the cluster is read from the view when
//! a scrape comes; only the number of tasks by state needs a look at every task, which is taken
//! once a revision at most.

use crate::{history::verdict, turn::Answer};
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram},
    registry::{Registry, Unit},
};
use skep_projections::{NodeRow, View};
use skep_proto::{Revision, v1};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError, atomic},
    time::Duration,
};

type MetricLabels = [(&'static str, String); 1];
type Gauges = Family<[(&'static str, String); 1], Gauge<i64, atomic::AtomicI64>>;

/// What is counted as it happens.
pub struct MetricCounters {
    turns: Counter,
    refused: Family<MetricLabels, Counter>,
    failed: Counter,
    turn_seconds: histogram::Histogram,
    turn_records: histogram::Histogram,
    census: Mutex<Census>,
}

impl Default for MetricCounters {
    fn default() -> MetricCounters {
        MetricCounters {
            turns: Counter::default(),
            refused: Family::default(),
            failed: Counter::default(),
            // 10 µs to 5 s.
            turn_seconds: histogram::Histogram::new(histogram::exponential_buckets(
                0.000_01, 2.0, 20,
            )),
            turn_records: histogram::Histogram::new(histogram::exponential_buckets(1.0, 2.0, 13)),
            census: Mutex::default(),
        }
    }
}

/// The log's own numbers at a scrape.
#[derive(Clone, Debug, Default)]
pub struct ManagerGauges {
    /// Whether this manager leads.
    pub leader: bool,
    /// Whether the log works.
    pub healthy: bool,
    /// Raft's term.
    pub term: u64,
    /// Size of the log on the disk.
    pub log_bytes: u64,
    /// What is free there.
    pub free_bytes: u64,
    /// Group commits that were synced since the log was opened.
    pub syncs: u64,
    /// Entries in them.
    pub entries: u64,
    /// Connections that are open at the control socket.
    pub connections: u64,
    /// Connections that were sent away since the start.
    pub connections_refused: u64,
    /// Whether other machines can connect.
    pub port_open: bool,
    /// Connections of machines that were turned away since the start.
    pub machines_turned_away: u64,
}

impl MetricCounters {
    /// A turn was taken.
    pub fn turn(&self, records: usize, took: Duration) {
        self.turns.inc();
        self.turn_seconds.observe(took.as_secs_f64());
        self.turn_records.observe(records as f64);
    }

    /// These answers will be given; the refusals among them are counted.
    pub fn answered<'a>(&self, answers: impl Iterator<Item = &'a Answer>) {
        for answer in answers {
            match answer {
                Answer::Refused(refusal) => self.refused(refusal.code),
                Answer::Accepted { .. } | Answer::Unknown(_) => {}
            }
        }
    }

    /// A command was refused.
    pub fn refused(&self, code: v1::RefusalCode) {
        let word = code.as_str_name().trim_start_matches("REFUSAL_CODE_").to_lowercase();
        self.refused.get_or_create(&[("code", word)]).inc();
    }

    /// A proposal was not committed.
    pub fn proposal_failed(&self) {
        self.failed.inc();
    }

    /// The page.
    pub fn render(&self, view: &View, gauges: &ManagerGauges) -> String {
        let mut registry = Registry::with_prefix("skep");
        self.register(&mut registry);
        log(&mut registry, view, gauges);
        nodes(&mut registry, view);
        services(&mut registry, view);
        let tasks = Gauges::default();
        let census = self.census(view);
        for (state, number) in &census.states {
            let word = verdict::state_word(*state);
            tasks.get_or_create(&[("state", word)]).set(*number);
        }
        registry.register("tasks", "Tasks in the view, by observed state", tasks);
        let help = "Running tasks for which their node reports a problem";
        one(&mut registry, "tasks_hampered", help, census.hampered);
        let mut page = String::new();
        encode(&mut page, &registry).expect("a string takes whatever is written to it");
        page
    }

    fn register(&self, registry: &mut Registry) {
        registry.register("turns", "Turns taken", self.turns.clone());
        registry.register("commands_refused", "Commands refused, by code", self.refused.clone());
        registry.register(
            "proposals_failed",
            "Entries that were proposed and not committed",
            self.failed.clone(),
        );
        let seconds = "Time that a turn took, without its commit";
        registry.register_with_unit("turn", seconds, Unit::Seconds, self.turn_seconds.clone());
        registry.register("turn_records", "Records of a turn", self.turn_records.clone());
    }

    fn census(&self, view: &View) -> Census {
        let mut census = self.census.lock().unwrap_or_else(PoisonError::into_inner);
        if census.revision != view.position().revision || census.states.is_empty() {
            *census = Census::of(view);
        }
        census.clone()
    }
}

/// The tasks of one revision, counted.
#[derive(Clone, Default)]
struct Census {
    revision: Revision,
    states: BTreeMap<v1::TaskState, i64>,
    hampered: u64,
}

impl Census {
    fn of(view: &View) -> Census {
        let mut states = BTreeMap::from([
            (v1::TaskState::Pending, 0),
            (v1::TaskState::Running, 0),
            (v1::TaskState::Failed, 0),
        ]);
        let mut hampered = 0;
        for (_, row) in view.tasks().iter() {
            *states.entry(row.state).or_default() += 1;
            hampered += u64::from(row.is_hampered());
        }
        Census { revision: view.position().revision, states, hampered }
    }
}

fn one(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let gauge: Gauge<i64, atomic::AtomicI64> = Gauge::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    registry.register(name, help, gauge);
}

fn total(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let counter: Counter<u64, atomic::AtomicU64> = Counter::default();
    counter.inc_by(value);
    registry.register(name, help, counter);
}

fn log(registry: &mut Registry, view: &View, gauges: &ManagerGauges) {
    one(registry, "log_revision", "Newest record applied", view.position().revision.0);
    one(
        registry,
        "log_incarnation",
        "Restores and forced new clusters, from 1",
        view.position().incarnation,
    );
    one(registry, "log_leader", "Whether this manager leads", gauges.leader.into());
    one(registry, "log_healthy", "Whether the log takes entries", gauges.healthy.into());
    one(registry, "log_term", "Raft's term", gauges.term);
    one(registry, "log_size_bytes", "Size of the log on the disk", gauges.log_bytes);
    one(registry, "disk_free_bytes", "Free space on the log's disk", gauges.free_bytes);
    one(registry, "view_set_aside", "Records that contradicted the view", view.set_aside());
    one(
        registry,
        "view_parked",
        "Objects that a reconciler failed on",
        view.all_parked().count() as u64,
    );
    one(registry, "connections", "Connections open at the control socket", gauges.connections);
    let refused = "Connections refused since the start because too many were open";
    total(registry, "connections_refused", refused, gauges.connections_refused);
    one(
        registry,
        "port_open",
        "Whether the port for other machines is open",
        gauges.port_open.into(),
    );
    let refused = "Connections of machines turned away since the start: no token, certificate or node of the cluster";
    total(registry, "machines_turned_away", refused, gauges.machines_turned_away);
    total(registry, "log_syncs", "Group commits synced since the start", gauges.syncs);
    total(registry, "log_entries", "Entries committed since the start", gauges.entries);
}

fn nodes(registry: &mut Registry, view: &View) {
    let states = [
        v1::NodeState::Unknown,
        v1::NodeState::Down,
        v1::NodeState::Ready,
        v1::NodeState::Disconnected,
    ];
    let family = Gauges::default();
    for state in states {
        let number =
            view.nodes().iter().filter(|(_, row)| !row.removed && row.state == state).count();
        let word = state.as_str_name().trim_start_matches("NODE_STATE_").to_lowercase();
        family.get_or_create(&[("state", word)]).set(i64::try_from(number).unwrap_or(i64::MAX));
    }
    registry.register("nodes", "Nodes by state", family);
    let conditions = Gauges::default();
    for kind in [
        v1::ConditionKind::EngineUnreachable,
        v1::ConditionKind::TasksUnlisted,
        v1::ConditionKind::PullFailing,
        v1::ConditionKind::StateUnwritable,
        v1::ConditionKind::EngineStuck,
    ] {
        let has = |row: &NodeRow| row.conditions.iter().any(|condition| condition.kind() == kind);
        let number = view.nodes().iter().filter(|(_, row)| !row.removed && has(row)).count();
        let word = kind.as_str_name().trim_start_matches("CONDITION_KIND_").to_lowercase();
        conditions
            .get_or_create(&[("condition", word)])
            .set(i64::try_from(number).unwrap_or(i64::MAX));
    }
    registry.register("nodes_with_condition", "Nodes, by condition", conditions);
}

fn services(registry: &mut Registry, view: &View) {
    let (desired, running, pending) = (Gauges::default(), Gauges::default(), Gauges::default());
    for (index, row) in view.services().iter().filter(|(_, row)| !row.removed) {
        let label = || [("service", row.name().to_owned())];
        desired.get_or_create(&label()).set(i64::try_from(row.replicas()).unwrap_or(i64::MAX));
        running.get_or_create(&label()).set(row.running_tasks.into());
        let waiting = view.pending_of(index).count();
        pending.get_or_create(&label()).set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }
    let paused =
        view.services().iter().filter(|(_, row)| !row.removed && verdict::paused(row).is_some());
    one(registry, "services_paused", "Services whose roll-out is paused", paused.count() as u64);
    registry.register("service_tasks_desired", "Tasks that a service wants", desired);
    registry.register(
        "service_tasks_running",
        "Tasks of a service that are wanted and run",
        running,
    );
    registry.register("service_tasks_pending", "Tasks of a service that have no node", pending);
}

#[cfg(test)]
mod tests;
