//! The named invariants, each a checker in a file of its own.
//!
//! A checker sees every committed record once, in order, with the view before it; everything that
//! happened; and the world after each step. It changes nothing.

#![allow(clippy::wildcard_enum_match_arm, reason = "a checker is about a few kinds of records")]

mod acknowledged;
mod answered;
mod answers;
mod assigned;
mod attempts;
mod beats;
mod best;
mod budget;
mod causes;
mod delays;
mod early;
mod farewells;
mod full;
mod gaps;
mod held;
mod in_flight;
mod indexed;
mod journals;
mod leaving;
mod meaning;
mod observers;
mod once;
mod one_session;
mod orders;
mod overlaps;
mod owners;
mod patient;
mod periods;
mod placed;
mod policies;
mod reasons;
mod redials;
mod reports;
mod resting;
mod resumed;
mod rollouts;
mod silence;
mod states;
mod stop_first;
mod surplus;
mod terms;

use super::{
    disk,
    repeated::RepeatedTurns,
    world::{SimulatedWorld, happening::Occurrence},
};
use skep_log::chain::Hash;
use skep_projections::{View, snapshot};
use skep_proto::{
    Revision, Timestamp,
    v1::{Record, event::Kind},
};

/// What a checker says: nothing, or what does not hold.
pub type Check = Result<(), String>;

/// After so many entries the view goes through a snapshot and on from there.
const SNAPSHOT_ENTRIES: usize = 50;

/// One committed record.
pub struct CommittedRecord<'a> {
    /// Its revision.
    pub revision: Revision,
    /// The newest revision of its entry.
    pub entry_end: Revision,
    /// The log's time of its entry.
    pub at: Timestamp,
    /// When its turn was taken, by the true time.
    pub decided_at: Timestamp,
    /// The record.
    pub record: &'a Record,
    /// What it says.
    pub kind: &'a Kind,
    /// The view before it.
    pub before: &'a View,
}

/// Keeps watch over one invariant.
pub trait Checker {
    /// The invariant's name.
    fn name(&self) -> &'static str;

    /// A record was committed.
    fn on_record(&mut self, _seen: &CommittedRecord<'_>, _world: &SimulatedWorld) -> Check {
        Ok(())
    }

    /// Something happened.
    fn on_happening(&mut self, _happening: &Occurrence, _world: &SimulatedWorld) -> Check {
        Ok(())
    }

    /// A step is over.
    fn on_step(&mut self, _world: &SimulatedWorld) -> Check {
        Ok(())
    }

    /// Nothing changes any more.
    fn at_rest(&mut self, _view: &View, _world: &SimulatedWorld) -> Check {
        Ok(())
    }

    /// The run is over.
    fn at_end(&mut self, _world: &SimulatedWorld) -> Check {
        Ok(())
    }
}

/// All checkers, and the view that the committed records make.
pub struct Checkers {
    all: Vec<Box<dyn Checker>>,
    view: View,
    entries: Vec<Hash>,
    repeated: RepeatedTurns,
}

impl Checkers {
    /// Nothing was seen yet.
    pub fn new() -> Checkers {
        let all: Vec<Box<dyn Checker>> = vec![
            Box::new(acknowledged::Acknowledged),
            Box::new(answered::Answered::default()),
            Box::new(answers::Answers::default()),
            Box::new(assigned::Assignments),
            Box::new(attempts::AttemptCounts),
            Box::new(beats::Beats::default()),
            Box::new(best::BestNode),
            Box::new(budget::Budget),
            Box::new(causes::RecordCauses),
            Box::new(delays::Delays::default()),
            Box::new(early::Early),
            Box::new(farewells::Farewells::default()),
            Box::new(full::FullDisk),
            Box::new(gaps::Gaps),
            Box::new(held::HeldReports),
            Box::new(in_flight::InFlight),
            Box::new(one_session::OneSession),
            Box::new(indexed::IndexedRecords),
            Box::new(journals::Journals),
            Box::new(leaving::Leaving),
            Box::new(observers::Observers),
            Box::new(once::Once::default()),
            Box::new(orders::Orders::default()),
            Box::new(overlaps::Overlaps::default()),
            Box::new(owners::Owners),
            Box::new(patient::Patient::default()),
            Box::new(periods::Periods::default()),
            Box::new(placed::Placements),
            Box::new(policies::Policies::default()),
            Box::new(reasons::Reasons),
            Box::new(redials::Redials::default()),
            Box::new(reports::Reports::default()),
            Box::new(resting::Resting),
            Box::new(resumed::Resumed::default()),
            Box::new(rollouts::RolloutSteps),
            Box::new(silence::Silence::default()),
            Box::new(states::States),
            Box::new(stop_first::StopFirst::default()),
            Box::new(surplus::Surplus),
            Box::new(terms::Terms::default()),
        ];
        Checkers {
            all,
            view: View::default(),
            entries: Vec::new(),
            repeated: RepeatedTurns::default(),
        }
    }

    /// Records seen so far.
    pub fn records(&self) -> u64 {
        self.view.position().revision.0
    }

    /// Looks at what the last step did.
    pub fn look(&mut self, world: &mut SimulatedWorld) -> Check {
        let happenings = std::mem::take(&mut world.happenings);
        self.follow(world)?;
        for happening in &happenings {
            self.each(|checker| checker.on_happening(happening, world))?;
        }
        self.each(|checker| checker.on_step(world))
    }

    /// Nothing changes any more.
    pub fn at_rest(&mut self, world: &SimulatedWorld) -> Check {
        let view = self.view.clone();
        self.each(|checker| checker.at_rest(&view, world))
    }

    /// The run is over.
    pub fn at_end(&mut self, world: &SimulatedWorld) -> Check {
        self.each(|checker| checker.at_end(world))
    }

    fn each(&mut self, mut look: impl FnMut(&mut dyn Checker) -> Check) -> Check {
        for checker in &mut self.all {
            look(checker.as_mut()).map_err(|what| format!("{}: {what}", checker.name()))?;
        }
        Ok(())
    }

    /// Takes up what was committed since the last look. What was committed before must still be
    /// there.
    fn follow(&mut self, world: &SimulatedWorld) -> Check {
        let safe = world.disk.safe();
        let newest = self.entries.len().checked_sub(1);
        if newest
            .is_some_and(|at| safe.get(at).map(|w| w.entry.hash) != self.entries.last().copied())
        {
            return Err("LOG-1: an entry that was committed is lost or was replaced".into());
        }
        if safe.len() == self.entries.len() {
            return Ok(());
        }
        for written in &safe[self.entries.len()..] {
            let entry = &written.entry;
            self.entries.push(entry.hash);
            self.repeated.repeat(&self.view, entry, world.entry_records())?;
            let count = u64::from(entry.header.record_count);
            let entry_end = Revision(entry.header.first_revision + count - 1);
            for (stamp, record) in disk::records(entry) {
                let record = record?;
                let event = record.event.as_ref().and_then(|event| event.kind.as_ref());
                let kind = event.ok_or("LOG-2: a record without an event")?;
                let decided_at = written.decided_at;
                let before = self.view.clone();
                let revision = stamp.revision;
                if revision != before.position().revision.next() {
                    return Err(format!(
                        "LOG-2: revision {revision} follows {}",
                        before.position()
                    ));
                }
                let seen = CommittedRecord {
                    revision,
                    entry_end,
                    at: stamp.at,
                    decided_at,
                    record: &record,
                    kind,
                    before: &before,
                };
                self.each(|checker| checker.on_record(&seen, world))?;
                self.view.replay(stamp, &record).map_err(|error| format!("VIEW-2: {error}"))?;
            }
            if self.entries.len().is_multiple_of(SNAPSHOT_ENTRIES) {
                self.thaw()?;
            }
        }
        self.compare(world)
    }

    /// The view goes through a snapshot: what is folded after it must give the same as everywhere
    /// else.
    fn thaw(&mut self) -> Check {
        let thawed = snapshot::decode(&snapshot::encode(&self.view));
        let thawed =
            thawed.map_err(|error| format!("VIEW-1: a snapshot cannot be read: {error}"))?;
        if thawed.digest() != self.view.digest() {
            return Err("VIEW-1: a snapshot gives another digest than its view".into());
        }
        self.view = thawed;
        Ok(())
    }

    /// The same records give the same digest, folded one by one or taken over from the leader's
    /// tip.
    fn compare(&self, world: &SimulatedWorld) -> Check {
        if self.view.set_aside() > 0 {
            let at = self.view.position();
            return Err(format!(
                "LOG-5: a record up to {at} contradicts the view and was set aside"
            ));
        }
        let Some(manager) = &world.manager else { return Ok(()) };
        let committed = &manager.committed;
        let same_place = committed.position() == self.view.position();
        if same_place && committed.digest() != self.view.digest() {
            return Err(format!("VIEW-1: at {} the manager's view differs", self.view.position()));
        }
        Ok(())
    }
}

impl Default for Checkers {
    fn default() -> Checkers {
        Checkers::new()
    }
}
