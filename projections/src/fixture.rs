//! A small language for tests: a cluster in a line of text.
//!
//! Built for tests of this crate and, behind the feature `fixture`, of others. Statements are
//! parted by `|` or a new line, words by blanks; each becomes one to three records, folded into the
//! view at once. A mistake, and a record that contradicts the view, panics.
//!
//! ```text
//! node n1 [cpus=4] [memory=8g] [label=zone:a] [engine=gpu:yes] [role=manager] [availability=drain|pause]
//!         [os=linux] [arch=amd64] [addr=10.0.0.1] [features=none] [generic=gpu:2] [away]     joined, and ready unless `away`
//! service web [replicas=3] [image=app] [cpus=0.5] [memory=64m] [constraint=node.labels.zone==a] [port=tcp:80]
//!         [platform=linux/arm64] [max-per-node=1] [restart=any|on-failure|none] [delay=5s] [max-attempts=3]
//!         [window=1m] [label=k:v] [force=1] [volume=DRIVER] [generic=gpu:1]                 a replicated service
//! update web key=value …      the same words change its spec    scale web 5      remove web
//! task web.1 [on n1] [STATE] [desired=ready] [hold=5s] [attempt=2]           created, assigned, observed
//! web.1 running               the newest task of the slot is seen so; with exit=N, error=WORD, message=WORD
//! web.1#2 wanted shutdown     the second oldest task of the slot that is in the view is wanted so
//! assign web.1 n1             reject web.1      orphan web.1      reap web.1
//! drain n1   pause n1   activate n1   label n1 zone:b   rmnode n1
//! open n1    close n1   silent n1     down n1           sessions and what becomes of them
//! conditions n1 [engine] [list] [pull]                  all that is wrong with it
//! authority  rotate worker   certify n1 [KEY]           who is believed; a key is one letter, k where there is none
//! promote n1 demote n1   port n1 [10.0.0.1:2377]        what it is to be, and where it is reached
//! number n1  follows n1 votes n1   leaves n1            what it is in raft; a number is the next one
//! tenure [n1] level 2    history 2  heartbeat 2s      wait 5s       park web          release web
//! ```
//! `on n1` without a STATE leaves the task assigned. Ids follow from names, so that two runs are
//! the same. Nodes have 4 CPUs, 8 GiB and every feature where nothing else is said. A task that
//! follows another in its slot names it as the one it replaces.

pub mod dice;
mod objects;
mod story;

pub use objects::{node_description, service_spec};

use crate::{Delta, NodeIdx, ServiceIdx, Stamp, TaskIdx, View};
use skep_proto::{
    Id, Timestamp, author, event,
    v1::{ClusterCreated, ClusterSpec, Record, TenureBegun, event::Kind},
};
use xxhash_rust::xxh3::xxh3_128;

/// When a fixture's time begins: 2026-01-01 UTC.
pub const BEGINNING: Timestamp = Timestamp(1_767_225_600_000_000_000);
/// The manager who writes everything here.
pub const MANAGER: Id = Id(0x5e);

/// A view that is built by telling.
#[derive(Clone)]
pub struct World {
    /// The view so far.
    pub view: View,
    /// Every record so far, with its stamp.
    pub records: Vec<(Stamp, Record)>,
    /// Time of the next record; `wait` moves it.
    pub now: Timestamp,
    changed: Delta,
    given: u64,
}

/// The id of an object of this kind ("node", "service") and name.
pub fn id(kind: &str, name: &str) -> Id {
    Id(xxh3_128(format!("{kind} {name}").as_bytes()))
}

impl World {
    /// A cluster with nothing in it, in its first tenure.
    pub fn empty() -> World {
        let (view, changed) = (View::default(), Delta::default());
        let mut world = World { view, records: Vec::new(), now: BEGINNING, changed, given: 0 };
        world.record(Kind::TenureBegun(TenureBegun { term: 1, code_version: "fixture".into() }));
        let spec = Some(ClusterSpec::default());
        world.record(Kind::ClusterCreated(Box::new(ClusterCreated {
            cluster_id: Id(1).to_bytes(),
            spec,
        })));
        world
    }

    /// The cluster that the text tells of.
    pub fn of(text: &str) -> World {
        let mut world = World::empty();
        world.tell(text);
        world
    }

    /// Goes on with the story; answers what changed in all.
    pub fn tell(&mut self, text: &str) -> Delta {
        self.changed = Delta::default();
        for statement in text.split(['|', '\n']).map(str::trim).filter(|s| !s.is_empty()) {
            let aside = self.view.set_aside();
            self.statement(statement);
            assert_eq!(self.view.set_aside(), aside, "{statement:?} contradicts the view");
        }
        std::mem::take(&mut self.changed)
    }

    /// Folds one event in, as the next revision.
    pub fn record(&mut self, kind: Kind) -> Delta {
        let author = Some(author::manager(MANAGER));
        self.append(Record { author, event: Some(event::event(kind)), ..Record::default() })
    }

    /// Folds a whole record in, as the next revision.
    pub fn append(&mut self, record: Record) -> Delta {
        let revision = self.view.position().revision.next();
        let stamp = Stamp { revision, at: self.now, incarnation: 1 };
        let delta = self.view.apply(stamp, &record).expect("a fixture speaks of known things");
        self.records.push((stamp, record));
        self.changed.merge(&delta);
        delta
    }

    /// A node by its name.
    pub fn node(&self, name: &str) -> NodeIdx {
        self.view.nodes().find(id("node", name)).unwrap_or_else(|| panic!("no node {name}"))
    }

    /// A service by its name.
    pub fn service(&self, name: &str) -> ServiceIdx {
        self.view
            .services()
            .find(id("service", name))
            .unwrap_or_else(|| panic!("no service {name}"))
    }

    /// A task: `web.1` is the newest of its slot, `web.1#2` the second oldest that is in the view.
    pub fn task(&self, name: &str) -> TaskIdx {
        self.find_task(name).unwrap_or_else(|| panic!("no task {name}"))
    }

    /// The id of a task, named as for [`World::task`].
    pub fn task_id(&self, name: &str) -> Id {
        self.view.tasks().get(self.task(name)).expect("an index that was found has a row").id
    }

    /// How a task is called here: `web.1` where it is alone in its slot, otherwise `web.1#2`.
    pub fn task_name(&self, task: TaskIdx) -> String {
        let Some(row) = self.view.tasks().get(task) else { return format!("gone task {}", task.0) };
        let service = self.view.services().get(row.service).map_or("?", |service| service.name());
        let in_slot: Vec<_> =
            self.view.tasks_in_slot(row.service, row.slot).map(|(index, _)| index).collect();
        match in_slot.iter().position(|index| *index == task) {
            Some(at) if in_slot.len() > 1 => format!("{service}.{}#{}", row.slot, at + 1),
            Some(_) | None => format!("{service}.{}", row.slot),
        }
    }

    fn find_task(&self, name: &str) -> Option<TaskIdx> {
        let (name, nth) = name
            .split_once('#')
            .map_or((name, None), |(name, nth)| (name, nth.parse::<usize>().ok()));
        let (service, slot) = name.rsplit_once('.')?;
        let service = self.view.services().find(id("service", service))?;
        let mut in_slot =
            self.view.tasks_in_slot(service, slot.parse().ok()?).map(|(index, _)| index);
        match nth {
            Some(nth) => in_slot.nth(nth.checked_sub(1)?),
            None => in_slot.last(),
        }
    }
}
