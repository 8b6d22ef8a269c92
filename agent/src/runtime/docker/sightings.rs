//! What has been seen of an engine and its containers, shared between those who follow the engine
//! and those who watch a container.

use super::{
    engine_state::{EngineAnswers, EngineState, EventMemory},
    judgement, ledger,
    remarks::{About, Remarks},
    start_health::{CallReply, ContainerCall},
    trace::{ContainerEvent, Trace},
};
use crate::{runtime::Noticed, wall::now_ns};
use skep_proto::Id;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::{Notify, watch};

/// What has been seen of the engine and its containers.
pub(super) struct EngineSightings {
    seen: Mutex<SeenEngine>,
    noticed: watch::Sender<Noticed>,
    /// A listing became due earlier.
    hint: Notify,
    began: Instant,
}

#[derive(Default)]
struct SeenEngine {
    engine: EngineState,
    remarks: Remarks,
    /// For each container that somebody watches.
    news: BTreeMap<String, watch::Sender<u64>>,
    /// Other people's containers with labels of our tasks that the log names already.
    copies: BTreeSet<String>,
}

impl EngineSightings {
    pub(super) fn new() -> EngineSightings {
        EngineSightings {
            seen: Mutex::default(),
            noticed: watch::Sender::default(),
            hint: Notify::new(),
            began: Instant::now(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, SeenEngine> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nanoseconds by the monotonic clock, since the runtime was opened.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The time by that clock, as an instant.
    pub(super) fn instant(&self, at: u64) -> tokio::time::Instant {
        (self.began + Duration::from_nanos(at)).into()
    }

    /// Changes whenever it is worth looking at the container again.
    pub(super) fn subscribe(&self, container: &str) -> watch::Receiver<u64> {
        self.lock().news.entry(container.to_owned()).or_default().subscribe()
    }

    /// What the runtime notices by itself, now and whenever that changes.
    pub(super) fn noticed(&self) -> watch::Receiver<Noticed> {
        self.noticed.subscribe()
    }

    pub(super) fn trace(&self, container: &str) -> Trace {
        self.lock().engine.trace(container)
    }

    pub(super) fn forget(&self, task: Id, container: &str) {
        self.lock().engine.forget(container);
        self.remark(|remarks| remarks.forget(task));
    }

    pub(super) fn outages(&self) -> Vec<judgement::Outage> {
        self.lock().engine.outages()
    }

    pub(super) fn is_away(&self) -> bool {
        matches!(self.lock().engine.answering(), EngineAnswers::No { .. })
    }

    pub(super) fn live_restore(&self) -> judgement::LiveRestore {
        self.lock().engine.live_restore()
    }

    /// Says something about a task; an empty text takes it back.
    pub(super) fn say(&self, task: Id, about: About, text: &str) {
        self.remark(|remarks| remarks.say(task, about, text));
    }

    fn remark(&self, change: impl FnOnce(&mut Remarks)) {
        let mut seen = self.lock();
        change(&mut seen.remarks);
        let noticed = seen.remarks.noticed();
        self.noticed.send_if_modified(|old| {
            let changed = *old != noticed;
            *old = noticed;
            changed
        });
    }

    pub(super) fn list_at(&self) -> u64 {
        self.lock().engine.list_at()
    }

    /// Resolves when a listing has become due earlier than it was.
    pub(super) async fn hinted(&self) {
        self.hint.notified().await;
    }

    /// The containers were listed, which took since `began`.
    pub(super) fn on_listed(&self, rows: &[ledger::ListedContainer], began: u64) {
        let now = self.now();
        let mut seen = self.lock();
        seen.news.retain(|_, news| news.receiver_count() > 0);
        let watched = seen.news.keys().cloned().collect();
        for id in seen.engine.on_listed(rows, &watched, now.saturating_sub(began), now) {
            seen.wake(&id);
        }
    }

    /// The containers could not be listed: each that is watched is looked at by itself. The reason
    /// is empty where that costs nothing else.
    pub(super) fn on_unlisted(&self, began: u64, reason: &str) {
        let now = self.now();
        let mut seen = self.lock();
        seen.engine.on_unlisted(now.saturating_sub(began), now);
        seen.wake_all();
        drop(seen);
        self.remark(|remarks| remarks.listing(reason));
    }

    /// What the newest listing shows of our containers: which are paused, and which are other
    /// people's copies.
    pub(super) fn on_compared(&self, found: &super::comparison::ListingComparison) {
        let (paused, copies) = (&found.paused, &found.copies);
        let mut about: BTreeMap<Id, String> = BTreeMap::new();
        let mut seen = self.lock();
        for (container, (task, name)) in copies {
            if !seen.copies.contains(container) {
                tracing::warn!(%task, container, "container {name} carries a task's labels and is not the task's: it is left alone");
            }
            let text =
                format!("another container, {name}, carries this task's labels; it is left alone");
            about.insert(*task, text);
        }
        seen.copies = copies.keys().cloned().collect();
        drop(seen);
        self.remark(|remarks| {
            remarks.listing("");
            remarks.replace(About::Pause, paused);
            remarks.replace(About::Copy, &about);
        });
    }

    /// The engine does not answer, for this reason.
    pub(super) fn went_away(&self, reason: &str) {
        let mut seen = self.lock();
        seen.engine.went_away(reason, now_ns());
        seen.wake_all();
        drop(seen);
        self.remark(|remarks| remarks.engine(reason));
    }

    /// The engine answers.
    pub(super) fn came_back(
        &self,
        live_restore: judgement::LiveRestore,
        memory: EventMemory,
        version: CallReply,
    ) {
        let mut seen = self.lock();
        seen.engine.came_back(live_restore, memory, now_ns());
        seen.wake_all();
        drop(seen);
        let now = self.now();
        self.remark(|remarks| {
            remarks.engine("");
            remarks.starts().on_reached(version, now);
        });
        self.hint.notify_one();
    }

    /// When to ask the engine for its version.
    pub(super) fn version_at(&self) -> u64 {
        self.lock().remarks.starts().version_at()
    }

    /// The engine was asked for its version.
    pub(super) fn on_version(&self, reply: CallReply) {
        let now = self.now();
        self.remark(|remarks| remarks.starts().on_version(reply, now));
    }

    /// The engine was asked to create or start the container of a task of this service.
    pub(super) fn on_call(&self, call: ContainerCall, of: (Id, Id), reply: CallReply) {
        self.remark(|remarks| remarks.starts().on_call(call, of, reply));
    }

    /// The task is to be removed.
    pub(super) fn forget_calls(&self, task: Id) {
        self.remark(|remarks| remarks.starts().forget(task));
    }

    /// Time of the newest event.
    pub(super) fn newest(&self) -> u64 {
        self.lock().engine.newest()
    }

    /// An event of a container, which happened at `at` by the engine's clock.
    pub(super) fn note(&self, container: &str, at: u64, happening: ContainerEvent) {
        let now = self.now();
        let mut seen = self.lock();
        let before = seen.engine.list_at();
        if seen.engine.note(container, at, happening, now) {
            seen.wake(container);
        }
        if seen.engine.list_at() < before {
            self.hint.notify_one();
        }
    }
}

impl SeenEngine {
    fn wake(&self, container: &str) {
        if let Some(news) = self.news.get(container) {
            news.send_modify(|version| *version += 1);
        }
    }

    fn wake_all(&self) {
        for news in self.news.values() {
            news.send_modify(|version| *version += 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::comparison::ListingComparison, *};

    #[test]
    fn what_is_noticed_changes_when_it_does_and_not_before() {
        let seen = EngineSightings::new();
        let mut noticed = seen.noticed();
        seen.went_away("no answer");
        assert_eq!(noticed.borrow_and_update().engine_problem, "no answer");
        seen.went_away("no answer");
        assert!(!noticed.has_changed().unwrap());
        seen.came_back(judgement::LiveRestore::Off, EventMemory::Kept, CallReply::InTime);
        assert_eq!(noticed.borrow_and_update().engine_problem, "");
        let paused = BTreeMap::from([(Id(1), "it is paused".to_owned())]);
        seen.on_compared(&ListingComparison { paused, ..ListingComparison::default() });
        assert_eq!(noticed.borrow_and_update().tasks[&Id(1)], "it is paused");
        seen.forget(Id(1), "c");
        assert_eq!(*noticed.borrow_and_update(), Noticed::default());
    }
}
