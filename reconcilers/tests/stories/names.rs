//! Decisions as text, with names instead of ids: `web.1#2` is the second task that slot 1 of `web`
//! ever had.

use skep_projections::fixture::World;
use skep_proto::{
    Id, Timestamp, author, event,
    v1::{FilterCount, Record, TaskCreated, TaskState, event::Kind},
};
use std::collections::BTreeMap;

/// What things are called.
#[derive(Default)]
pub(crate) struct Names {
    tasks: BTreeMap<Id, String>,
    services: BTreeMap<Id, String>,
    nodes: BTreeMap<Id, String>,
    given: BTreeMap<(Id, u64), usize>,
    read: usize,
}

impl Names {
    /// Reads the records that are new.
    pub(crate) fn learn(&mut self, world: &World) {
        for (_, record) in &world.records[self.read..] {
            match record.event.as_ref().and_then(|event| event.kind.as_ref()) {
                Some(Kind::TaskCreated(e)) => self.learn_task(e),
                Some(Kind::ServiceCreated(e)) => {
                    let name = e
                        .spec
                        .as_ref()
                        .and_then(|spec| spec.annotations.as_ref())
                        .map(|a| a.name.clone());
                    self.services.insert(Id::from_bytes(&e.service_id), name.unwrap_or_default());
                }
                Some(Kind::NodeJoined(e)) => {
                    let name = e.description.as_ref().map(|said| said.hostname.clone());
                    self.nodes.insert(Id::from_bytes(&e.node_id), name.unwrap_or_default());
                }
                _ => {}
            }
        }
        self.read = world.records.len();
    }

    fn learn_task(&mut self, e: &TaskCreated) {
        let service = Id::from_bytes(&e.service_id);
        let nth = self.given.entry((service, e.slot)).or_default();
        *nth += 1;
        let again = if *nth > 1 { format!("#{nth}") } else { String::new() };
        let name = format!("{}.{}{again}", self.services[&service], e.slot);
        self.tasks.insert(Id::from_bytes(&e.task_id), name);
    }

    fn task(&self, id: &[u8]) -> &str {
        &self.tasks[&Id::from_bytes(id)]
    }

    fn any(&self, id: &[u8]) -> &str {
        let id = Id::from_bytes(id);
        self.tasks
            .get(&id)
            .or_else(|| self.services.get(&id))
            .or_else(|| self.nodes.get(&id))
            .map_or("?", |n| n)
    }

    /// One decision.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what no reconciler decides is called by its name"
    )]
    pub(crate) fn said(&self, world: &World, record: &Record) -> String {
        let kind = record.event.as_ref().and_then(|event| event.kind.as_ref()).expect("decided");
        let what = match kind {
            Kind::TaskCreated(e) => self.created(world, e),
            Kind::TaskAssigned(e) => {
                let node = self.any(&e.node_id);
                let failures = match e.recent_failures {
                    0 => String::new(),
                    n => format!(", failed {n} times"),
                };
                let why =
                    format!("{}/{}{failures}, of {}", e.service_tasks, e.node_tasks, e.candidates);
                format!("{} on {node} ({why})", self.task(&e.task_id))
            }
            Kind::TaskDesired(e) => {
                let reason = word(e.reason().as_str_name(), "DESIRE_REASON_");
                let desired = word(e.desired().as_str_name(), "TASK_STATE_");
                format!("{} wanted {desired}, {reason}", self.task(&e.task_id))
            }
            Kind::TaskRejected(e) => format!("{} rejected: {}", self.task(&e.task_id), e.error),
            Kind::TaskOrphaned(e) => format!("{} orphaned", self.task(&e.task_id)),
            Kind::TaskReaped(e) => format!("{} reaped", self.task(&e.task_id)),
            Kind::PlacementExplained(e) => {
                format!(
                    "{} explained: of {}, {}",
                    self.any(&e.service_id),
                    e.nodes,
                    counts(&e.refused)
                )
            }
            Kind::PlacementBlocked(e) => {
                format!("{} blocked: {}", self.any(&e.service_id), e.message)
            }
            Kind::RolloutStarted(e) => format!("{} started", self.any(&e.service_id)),
            Kind::RolloutPaused(e) => {
                let message = e.message.replace(&Id::from_bytes(&e.task_id).to_string(), "ID");
                format!(
                    "{} paused by {}: {message}",
                    self.any(&e.service_id),
                    self.task(&e.task_id)
                )
            }
            Kind::RolloutCompleted(e) => format!("{} completed", self.any(&e.service_id)),
            Kind::NodeDown(e) => format!("{} down: {}", self.any(&e.node_id), e.message),
            Kind::RaftIdAssigned(e) => {
                format!("{} is number {} in raft", self.any(&e.node_id), e.raft_id)
            }
            Kind::ObjectParked(e) => format!("{} parked: {}", self.any(&e.object_id), e.message),
            other => event::name(other).to_owned(),
        };
        format!("{}: {what}", author::describe(record.author.as_ref()))
    }

    fn created(&self, world: &World, e: &TaskCreated) -> String {
        let mut parts = vec![format!("{} created", self.task(&e.task_id))];
        if e.desired() == TaskState::Ready {
            let wait_ns = Timestamp(e.start_at).since(world.now);
            parts.push(format!("held {} ms", wait_ns / 1_000_000));
        }
        if e.attempt > 0 {
            parts.push(format!("attempt {}", e.attempt));
        }
        parts.join(", ")
    }
}

fn counts(refused: &[FilterCount]) -> String {
    let count = |c: &FilterCount| {
        format!("{} {}", word(c.filter().as_str_name(), "PLACEMENT_FILTER_"), c.nodes)
    };
    refused.iter().map(count).collect::<Vec<_>>().join(" ")
}

fn word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_lowercase().replace('_', " ")
}
