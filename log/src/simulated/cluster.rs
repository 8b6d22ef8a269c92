//! All managers of a run, and what can be done to them.

use super::{
    manager::{Beginning, Life, Manager, node_of},
    report::RaftRun,
    wire::{ManagerNetwork, NetworkQuality},
    witness::Witness,
};
use crate::{
    Fault, ModelDisk,
    raft::{members, virtual_time::VirtualTime},
};
use skep_proto::Id;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Until a cluster that nobody harms any more must have come to rest.
const REST_LIMIT: Duration = Duration::from_secs(60);
/// How often it is looked at.
const LOOK_PERIOD: Duration = Duration::from_millis(250);
/// How long a disk takes to sync that nobody has slowed down, at most.
const USUAL_SYNC_MAX: Duration = Duration::from_millis(5);
/// Entries that must be acknowledged after all harm has ended.
const FRESH_ENTRIES_MIN: u64 = 5;

/// A cluster.
pub(super) struct Cluster {
    pub(super) world: VirtualTime,
    pub(super) wire: ManagerNetwork,
    pub(super) managers: Vec<Manager>,
    pub(super) witness: Witness,
    founders: BTreeMap<u64, Id>,
    /// None is used twice.
    next_raft_id: u64,
}

impl Cluster {
    /// Of one, three or five managers, none of which runs.
    pub(super) fn new(world: &VirtualTime) -> Cluster {
        let size = [1, 3, 3, 3, 5][world.below(5) as usize];
        Cluster::of(world, size)
    }

    /// Of so many managers, none of which runs.
    pub(super) fn of(world: &VirtualTime, size: u64) -> Cluster {
        let founders: BTreeMap<u64, Id> =
            (1..=size).map(|raft_id| (raft_id, node_of(raft_id))).collect();
        let managers = founders
            .keys()
            .map(|raft_id| Manager { raft_id: *raft_id, disk: ModelDisk::default(), life: None })
            .collect();
        let (wire, witness) = (ManagerNetwork::new(world), Witness::default());
        wire.weather(NetworkQuality {
            travels: Duration::from_millis(2),
            ..NetworkQuality::default()
        });
        let next_raft_id = size + 1;
        Cluster { world: world.clone(), wire, managers, witness, founders, next_raft_id }
    }

    pub(super) fn start_all(&mut self) {
        (0..self.managers.len()).for_each(|at| self.start(at));
    }

    /// One more manager, which is not a member yet; its raft id.
    pub(super) fn add(&mut self) -> u64 {
        let raft_id = self.next_raft_id;
        self.next_raft_id += 1;
        self.managers.push(Manager { raft_id, disk: ModelDisk::default(), life: None });
        self.start(self.managers.len() - 1);
        raft_id
    }

    /// Starts a manager that does not run.
    pub(super) fn start(&mut self, at: usize) {
        let manager = &mut self.managers[at];
        let failed = self.witness.seen().failed.remove(&manager.raft_id);
        let failed = manager.life.take_if(|_| failed);
        if manager.life.is_some() {
            return;
        }
        let beginning = Beginning {
            world: self.world.clone(),
            wire: self.wire.clone(),
            witness: self.witness.clone(),
            founders: self.founders.clone(),
            raft_id: manager.raft_id,
            disk: manager.disk.clone(),
        };
        let kept = failed.and_then(|life| {
            end(&self.wire, &self.witness, manager.raft_id, &life);
            let log = life.log.get().cloned()?;
            Some((life.fold, log)).filter(|_| self.world.below(2) == 0)
        });
        let life = match kept {
            None => beginning.start(),
            Some((fold, log)) => match beginning.go_on(fold, &log) {
                Some(life) => {
                    self.witness.seen().went_on += 1;
                    life
                }
                // Its disk does not work yet: the next attempt opens it anew.
                None => return,
            },
        };
        let sync = Duration::from_micros([500, 5_000, 60_000][self.world.below(3) as usize]);
        self.world.slow_disk(life.process, sync);
        manager.life = Some(life);
    }

    /// Kills a manager's process, and cuts its power: its disk keeps some of what was not synced.
    pub(super) fn crash(&mut self, at: usize) {
        let manager = &mut self.managers[at];
        let Some(life) = manager.life.take() else { return };
        end(&self.wire, &self.witness, manager.raft_id, &life);
        let keep = self.world.below(manager.disk.at_risk() as u64 + 1);
        manager.disk.cut_power(keep as usize);
        let mut seen = self.witness.seen();
        seen.crashes += 1;
        // A power cut ends the refusal too.
        seen.refused.remove(&manager.raft_id);
        seen.failed.remove(&manager.raft_id);
    }

    /// A manager's disk takes nothing from now on.
    pub(super) fn refuse(&self, at: usize) {
        self.witness.seen().refused.insert(self.managers[at].raft_id, None);
        self.managers[at].disk.refuse();
    }

    /// One of the coming changes of a manager's disk fails, done or not, and so do all after it.
    pub(super) fn fail_soon(&self, at: usize) {
        let manager = &self.managers[at];
        let fault = [Fault::Refuse, Fault::FailAfter][self.world.below(2) as usize];
        self.witness.seen().refused.insert(manager.raft_id, None);
        manager.disk.fail_at(self.world.below(40), fault);
    }

    /// All disks take changes again.
    pub(super) fn mend_disks(&self) {
        self.managers.iter().for_each(|manager| manager.disk.heal());
        let now = self.world.now();
        let mut seen = self.witness.seen();
        seen.refused.values_mut().for_each(|mended| *mended = mended.or(Some(now)));
    }

    /// Looks at what every manager has applied, and takes away those that have left.
    pub(super) fn look(&mut self) {
        for manager in &self.managers {
            if let Some(life) = &manager.life {
                self.witness.applied(manager.raft_id, &life.fold.list());
            }
        }
        let left = self.witness.seen().removed.clone();
        for manager in self.managers.extract_if(.., |manager| left.contains(&manager.raft_id)) {
            self.wire.close(manager.raft_id);
            manager.life.into_iter().for_each(|life| self.world.kill(life.process));
        }
    }

    /// Ends all harm.
    pub(super) fn heal(&mut self) {
        self.wire.mend();
        self.mend_disks();
        self.wire.weather(NetworkQuality {
            travels: Duration::from_millis(2),
            ..NetworkQuality::default()
        });
        for manager in &self.managers {
            if let Some(life) = &manager.life {
                self.world.resume(life.process);
                self.world.slow_disk(life.process, USUAL_SYNC_MAX);
            }
        }
        self.start_all();
    }

    /// Waits until all managers have applied the same, with fresh entries in it.
    pub(super) async fn come_to_rest(&mut self) {
        let deadline = self.world.now() + REST_LIMIT;
        let wanted = self.witness.newest_acknowledged() + FRESH_ENTRIES_MIN;
        while self.world.now() < deadline {
            self.world.sleep(LOOK_PERIOD).await;
            self.look();
            // A write may have failed just before its disk was mended.
            self.start_all();
            let members = self.members().await;
            let applied = self.applied();
            let rests = |raft_id| applied.get(raft_id).is_some_and(|length| *length >= wanted);
            if !members.is_empty() && members.iter().all(rests) {
                return;
            }
        }
        let (members, applied) = (self.members().await, self.applied());
        self.witness.broke(format!(
            "RAFT-6: of managers {members:?} these entries are applied {REST_LIMIT:?} after all harm ended: {applied:?}; \
             {wanted} were wanted"
        ));
    }

    /// How many entries each manager that runs has applied.
    fn applied(&self) -> BTreeMap<u64, u64> {
        let running = self.managers.iter().filter_map(|manager| {
            let life = manager.life.as_ref()?;
            Some((manager.raft_id, life.fold.list().len() as u64))
        });
        running.collect()
    }

    /// Those who vote or follow, as the one says that has applied most.
    async fn members(&self) -> BTreeSet<u64> {
        let applied = self.applied();
        let Some((most, _)) = applied.into_iter().max_by_key(|(_, length)| *length) else {
            return BTreeSet::new();
        };
        let Some(raft) = self.wire.handle(most) else { return BTreeSet::new() };
        let known = raft.run(|raft| async move { members::members(&raft) }).await;
        let members = known.map(|known| &known.voters | &known.followers).unwrap_or_default();
        // An order to add one may have waited in a manager that stood still until it had left.
        &members - &self.witness.seen().removed
    }

    /// What became of it.
    pub(super) fn report(&mut self) -> RaftRun {
        self.look();
        let mut seen = self.witness.seen();
        seen.check_answers();
        RaftRun {
            broken: seen.broken.clone(),
            entries: seen.history.len() as u64,
            acknowledged: seen.acknowledged.len() as u64,
            reads: seen.reads,
            tenures: seen.leaders.len() as u64,
            crashes: seen.crashes,
            went_on: seen.went_on,
            left: seen.removed.len() as u64,
            managers: self.managers.len() as u64,
            installed: self.wire.installed(),
            took: self.world.now(),
            steps: self.world.steps(),
        }
    }
}

/// A process is gone, with all that it held in memory.
fn end(wire: &ManagerNetwork, witness: &Witness, raft_id: u64, life: &Life) {
    witness.applied(raft_id, &life.fold.list());
    witness.seen().failed.remove(&raft_id);
    wire.close(raft_id);
    wire.world().kill(life.process);
}
