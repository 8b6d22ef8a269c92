//! The teller: one line of a story is one turn.
//!
//! A line holds statements of the projections' fixture, parted by `|`; they are folded in, and then
//! the brain settles. `given` before them means that what is said is of no interest; `run` lets the
//! agents do what is wanted of them, turn by turn, until nothing changes. After each turn it is
//! checked that the brain has fallen silent and that one which only just woke up, knowing nothing
//! but the view, has nothing to add and the same deadline.

use crate::names::Names;
use skep_projections::{Delta, Stamp, View, fixture::World};
use skep_proto::{
    Id, Timestamp,
    v1::{NodeState, Record, TaskObserved, TaskState, event::Kind},
};
use skep_reconcilers::{Brain, Entropy, Settled, Turn};

/// More than any story needs.
pub(crate) const ROOM: usize = 100_000;

/// A world and the brain that keeps it true.
pub(crate) struct Teller {
    pub world: World,
    pub brain: Brain,
    pub wake_at: Option<Timestamp>,
    names: Names,
    turns: u8,
    left: Delta,
}

/// Tells a story and compares what is said with what it says is said.
pub(crate) fn check(story: &str) -> Teller {
    let mut teller = Teller::new(Brain::new());
    teller.tell(story);
    teller
}

impl Teller {
    pub(crate) fn new(brain: Brain) -> Teller {
        let world = World::empty();
        Teller {
            world,
            brain,
            wake_at: None,
            names: Names::default(),
            turns: 0,
            left: Delta::default(),
        }
    }

    /// Goes on with a story.
    pub(crate) fn tell(&mut self, story: &str) {
        let lines: Vec<&str> =
            story.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let mut told = String::new();
        let mut at = 0;
        while at < lines.len() {
            let line = lines[at];
            let expected = lines[at + 1..].iter().take_while(|line| line.starts_with('>')).count();
            let (given, rest) =
                line.strip_prefix("given ").map_or((false, line), |rest| (true, rest));
            let said = if rest == "run" { self.run() } else { self.happen(rest) };
            told += &format!("{line}\n");
            if !given && rest != "run" {
                said.iter().for_each(|said| told += &format!("> {said}\n"));
            } else {
                lines[at + 1..at + 1 + expected]
                    .iter()
                    .for_each(|line| told += &format!("{line}\n"));
            }
            at += 1 + expected;
        }
        let wanted: String = lines.iter().map(|line| format!("{line}\n")).collect();
        assert!(told == wanted, "the story goes otherwise:\n{told}\nand not:\n{wanted}");
    }

    /// One turn in which these statements happen; answers what is said.
    pub(crate) fn happen(&mut self, statements: &str) -> Vec<String> {
        let delta = self.world.tell(statements);
        self.names.learn(&self.world);
        self.turn(delta)
    }

    pub(crate) fn turn(&mut self, mut delta: Delta) -> Vec<String> {
        delta.merge(&std::mem::take(&mut self.left));
        let settled = self.settle(delta.clone(), ROOM);
        self.check_silence(&delta);
        settled.records.iter().map(|record| self.names.said(&self.world, record)).collect()
    }

    /// These statements happen while nobody leads; answers what the next leader says, who knows
    /// nothing but the view.
    pub(crate) fn take_over(&mut self, statements: &str) -> Vec<String> {
        self.world.tell(statements);
        self.names.learn(&self.world);
        let found = self.brain.resume(&self.world.view);
        self.turn(found)
    }

    /// In how many milliseconds the next turn is wanted although nothing happens.
    pub(crate) fn wakes_in_ms(&self) -> Option<u64> {
        Some(self.wake_at?.since(self.world.now) / 1_000_000)
    }

    /// Settles with so much room, without looking at the result.
    pub(crate) fn settle(&mut self, delta: Delta, room: usize) -> Settled {
        self.turns = self.turns.wrapping_add(1);
        let aside = self.world.view.set_aside();
        let turn = self.moment();
        let mut revision = self.world.view.position().revision;
        let settled = self.brain.settle(&mut self.world.view, delta, &turn, room);
        for record in &settled.records {
            revision = revision.next();
            assert!(
                0 < record.cause && record.cause < revision.0,
                "a cause lies before what it causes: {record:#?}"
            );
            self.world
                .records
                .push((Stamp { revision, at: turn.now, incarnation: 1 }, record.clone()));
        }
        self.names.learn(&self.world);
        let said: Vec<_> =
            settled.records.iter().map(|record| self.names.said(&self.world, record)).collect();
        assert_eq!(
            self.world.view.set_aside(),
            aside,
            "a decision contradicted the view: {said:#?}"
        );
        self.wake_at = settled.wake_at;
        self.left = settled.left.clone();
        settled
    }

    fn moment(&self) -> Turn {
        Turn { now: self.world.now, entropy: Entropy::new([self.turns; 32]) }
    }

    /// Silence, and nothing that only the brain's past could tell.
    fn check_silence(&self, delta: &Delta) {
        let mut view = self.world.view.clone();
        let again = self.brain.settle(&mut view, delta.clone(), &self.moment(), ROOM);
        assert_eq!(again.records, [], "not silent about the same change");
        let mut view: View = self.world.view.clone();
        let found = self.brain.resume(&view);
        let resumed = self.brain.settle(&mut view, found, &self.moment(), ROOM);
        assert_eq!(resumed.records, [], "one that woke up has more to say");
        assert_eq!(resumed.wake_at, self.wake_at, "one that woke up has another deadline");
        assert!(self.wake_at.is_none_or(|at| at > self.world.now), "a deadline that has passed");
    }

    /// What one that knows nothing but the view has to say.
    pub(crate) fn left_undone(&self) -> Vec<Record> {
        let mut view = self.world.view.clone();
        let found = self.brain.resume(&view);
        self.brain.settle(&mut view, found, &self.moment(), ROOM).records
    }

    /// Agents do what is wanted of them until nothing changes.
    fn run(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        loop {
            let reports = self.reports();
            if reports.is_empty() {
                return said;
            }
            let mut delta = Delta::default();
            for (task, state) in reports {
                let task_id = task.to_bytes();
                let seen = TaskObserved { task_id, state: state as i32, ..TaskObserved::default() };
                delta.merge(&self.world.record(Kind::TaskObserved(seen)));
            }
            said.extend(self.turn(delta));
        }
    }

    /// What the agents of ready nodes have to report.
    fn reports(&self) -> Vec<(Id, TaskState)> {
        let view = &self.world.view;
        let mut reports = Vec::new();
        for (_, task) in view.tasks().iter() {
            let node = task.node.and_then(|node| view.nodes().get(node));
            if task.has_ended()
                || !node.is_some_and(|node| node.state == NodeState::Ready && !node.removed)
            {
                continue;
            }
            let is_up = matches!(task.desired, TaskState::Ready | TaskState::Running);
            let next = if is_up { task.desired } else { TaskState::Shutdown };
            if task.state < next {
                reports.push((task.id, next));
            }
        }
        reports
    }
}
