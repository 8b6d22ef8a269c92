//! Follows an engine: one stream of its events for all containers, a listing of them now and then,
//! and a ping every few seconds.
//!
//! Whoever watches a container subscribes, looks at it, and sleeps until it is worth looking again;
//! the [`lookout`](super::lookout) says when. When the stream breaks or a ping is not answered, the
//! engine may have gone: that is said at once, the connection is made anew with its API version
//! negotiated again, and the events that the engine still remembers are asked for.

use super::{
    engine::{Engine, PROBE_LIMIT, within},
    judgement::{Happening, Outage, Trace},
    ledger::ListedContainer,
    listing,
    lookout::{EngineAnswers, EventMemory, Lookout},
    mapping::LABEL_TASK_ID,
    records::ContainerRecords,
    remarks::{About, Remarks},
};
use crate::runtime::Noticed;
use bollard::{Docker, models::EventMessage, query_parameters::EventsOptions};
use futures::StreamExt;
use nix::sys::signal::Signal;
use skep_proto::Id;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};

/// Between two pings of an engine: one that hangs, or is cut off, does not break its stream.
const PROBE_PERIOD: Duration = Duration::from_secs(2);
/// Between two tries to reach an engine that is away, at first; doubled with each.
const RETRY_MIN: Duration = Duration::from_millis(50);
/// Between two tries to reach an engine that is away, at most.
const RETRY_MAX: Duration = Duration::from_secs(2);
/// A new stream begins so long before the newest event that was seen, since events may come out of
/// order.
const OVERLAP_S: u64 = 5;

/// What has been seen of the engine and its containers.
pub(super) struct Sightings {
    seen: Mutex<SeenEngine>,
    noticed: watch::Sender<Noticed>,
    /// A listing became due earlier.
    hint: Notify,
    began: Instant,
}

#[derive(Default)]
struct SeenEngine {
    lookout: Lookout,
    remarks: Remarks,
    /// For each container that somebody watches.
    news: BTreeMap<String, watch::Sender<u64>>,
    /// Other people's containers with labels of our tasks that the log names already.
    copies: BTreeSet<String>,
}

impl Sightings {
    pub(super) fn new() -> Sightings {
        Sightings {
            seen: Mutex::default(),
            noticed: watch::Sender::default(),
            hint: Notify::new(),
            began: Instant::now(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, SeenEngine> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nanoseconds by a clock that nobody sets.
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
        self.lock().lookout.trace(container)
    }

    pub(super) fn forget(&self, task: Id, container: &str) {
        self.lock().lookout.forget(container);
        self.remark(|remarks| remarks.forget(task));
    }

    pub(super) fn outages(&self) -> Vec<Outage> {
        self.lock().lookout.outages()
    }

    pub(super) fn is_away(&self) -> bool {
        matches!(self.lock().lookout.answering(), EngineAnswers::No { .. })
    }

    pub(super) fn live_restore(&self) -> bool {
        self.lock().lookout.live_restore()
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
        self.lock().lookout.list_at()
    }

    /// Resolves when a listing has become due earlier than it was.
    pub(super) async fn hinted(&self) {
        self.hint.notified().await;
    }

    /// The containers were listed, which took since `began`.
    pub(super) fn on_listed(&self, rows: &[ListedContainer], began: u64) {
        let now = self.now();
        let mut seen = self.lock();
        seen.news.retain(|_, news| news.receiver_count() > 0);
        let watched = seen.news.keys().cloned().collect();
        for id in seen.lookout.on_listed(rows, &watched, now.saturating_sub(began), now) {
            seen.wake(&id);
        }
    }

    /// The containers could not be listed: each that is watched is looked at by itself. The reason
    /// is empty where that costs nothing else.
    pub(super) fn on_unlisted(&self, began: u64, reason: &str) {
        let now = self.now();
        let mut seen = self.lock();
        seen.lookout.on_unlisted(now.saturating_sub(began), now);
        seen.wake_all();
        drop(seen);
        self.remark(|remarks| remarks.listing(reason));
    }

    /// What the newest listing shows of our containers: which are paused, and which are other
    /// people's copies.
    pub(super) fn on_compared(
        &self,
        paused: &BTreeMap<Id, String>,
        copies: &BTreeMap<String, (Id, String)>,
    ) {
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

    fn went_away(&self, reason: &str) {
        let mut seen = self.lock();
        seen.lookout.went_away(reason, now_ns());
        seen.wake_all();
        drop(seen);
        self.remark(|remarks| remarks.engine(reason));
    }

    fn came_back(&self, live_restore: bool, memory: EventMemory) {
        let mut seen = self.lock();
        seen.lookout.came_back(live_restore, memory, now_ns());
        seen.wake_all();
        drop(seen);
        self.remark(|remarks| remarks.engine(""));
        self.hint.notify_one();
    }

    fn note(&self, event: &EventMessage) {
        let Some((container, at, happening)) = read(event) else { return };
        let now = self.now();
        let mut seen = self.lock();
        let before = seen.lookout.list_at();
        seen.lookout.note(container, at, happening, now);
        seen.wake(container);
        if seen.lookout.list_at() < before {
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

/// The container, the time, and what happened to it.
fn read(event: &EventMessage) -> Option<(&str, u64, Happening)> {
    let (actor, action) = (event.actor.as_ref()?, event.action.as_ref()?);
    let attribute =
        |name: &str| actor.attributes.as_ref().and_then(|all| all.get(name)).map(String::as_str);
    let happening = match action.as_str() {
        "start" => Happening::Started,
        "kill" => Happening::Signal(attribute("signal").map_or(0, signal_number)),
        "die" => {
            Happening::Died(attribute("exitCode").and_then(|code| code.parse().ok()).unwrap_or(0))
        }
        "stop" => Happening::Stopped,
        "destroy" => Happening::Destroyed,
        _ => Happening::Changed,
    };
    let at = event.time_nano.and_then(|at| u64::try_from(at).ok()).unwrap_or(0);
    Some((actor.id.as_deref()?, at, happening))
}

/// Engines tell signals by number; some by name.
fn signal_number(text: &str) -> i32 {
    text.parse().unwrap_or_else(|_| Signal::from_str(text).map_or(0, |signal| signal as i32))
}

pub(super) fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Follows the engine until it is aborted.
pub(super) fn follow(
    engine: Arc<Engine>,
    seen: Arc<Sightings>,
    records: Arc<ContainerRecords>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut pause = RETRY_MIN;
        loop {
            let reason = match engine.client().await {
                Ok(client) => {
                    pause = RETRY_MIN;
                    stream(&client, &engine, &seen, &records).await
                }
                Err(error) => error.to_string(),
            };
            // Whatever answers next may be another version of the engine.
            engine.forget();
            seen.went_away(&reason);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    })
}

/// Follows one stream until it breaks or the engine stops answering; says why.
async fn stream(
    client: &Docker,
    engine: &Arc<Engine>,
    seen: &Arc<Sightings>,
    records: &Arc<ContainerRecords>,
) -> String {
    let client = client.clone().with_timeout(super::engine::LONG_CALL_LIMIT);
    let newest = seen.lock().lookout.newest();
    let memory =
        if remembers(&client, newest).await { EventMemory::Kept } else { EventMemory::Lost };
    let since = (newest / 1_000_000_000).saturating_sub(OVERLAP_S).max(1);
    let options =
        EventsOptions { since: Some(since.to_string()), until: None, filters: Some(filters()) };
    let mut events = client.events(Some(options));
    seen.came_back(engine.about().live_restore, memory);
    let following = async {
        loop {
            match events.next().await {
                Some(Ok(event)) => seen.note(&event),
                Some(Err(error)) => return engine.say(&error).to_string(),
                None => {
                    return format!("the engine at {} ended its stream of events", engine.host());
                }
            }
        }
    };
    tokio::select! {
        reason = following => reason,
        reason = probe(&client, engine) => reason,
        () = listing::keep_listing(engine, seen, records) => String::new(),
    }
}

/// Pings the engine until it does not answer; says why.
async fn probe(client: &Docker, engine: &Engine) -> String {
    loop {
        tokio::time::sleep(PROBE_PERIOD).await;
        match tokio::time::timeout(PROBE_LIMIT, client.ping()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return engine.say(&error).to_string(),
            Err(_) => return engine.silence(PROBE_LIMIT),
        }
    }
}

/// Whether the engine remembers its newest event that was seen here. It keeps the last few hundred
/// in memory, so one that does not was started anew.
async fn remembers(client: &Docker, newest: u64) -> bool {
    if newest == 0 {
        return false;
    }
    let at = |ns: u64| Some(format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000));
    let options =
        EventsOptions { since: at(newest - 1), until: at(newest), filters: Some(filters()) };
    let mut again = client.events(Some(options));
    let found = within(async { Ok(again.next().await) }).await;
    matches!(found, Ok(Some(Ok(_))))
}

fn filters() -> HashMap<String, Vec<String>> {
    let values = |values: &[&str]| values.iter().map(|word| (*word).to_owned()).collect();
    let events =
        ["create", "start", "kill", "die", "stop", "destroy", "health_status", "pause", "unpause"];
    HashMap::from([
        ("type".to_owned(), values(&["container"])),
        ("label".to_owned(), values(&[LABEL_TASK_ID])),
        ("event".to_owned(), values(&events)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::EventActor;

    fn event(container: &str, at: i64, action: &str, attributes: &[(&str, &str)]) -> EventMessage {
        let attributes = attributes
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        EventMessage {
            action: Some(action.into()),
            time_nano: Some(at),
            actor: Some(EventActor { id: Some(container.into()), attributes: Some(attributes) }),
            ..EventMessage::default()
        }
    }

    #[test]
    fn events_make_a_trace_and_wake_whoever_watches() {
        let seen = Sightings::new();
        let news = seen.subscribe("c");
        for event in [
            event("other", 9, "die", &[("exitCode", "1")]),
            event("c", 5, "kill", &[("signal", "SIGTERM")]),
            event("c", 6, "die", &[("exitCode", "143")]),
            event("c", 7, "stop", &[]),
        ] {
            seen.note(&event);
        }
        assert_eq!(*news.borrow(), 3, "those of the other container are not for it");
        let trace = seen.trace("c");
        assert_eq!(
            (trace.signals, trace.died, trace.stopped_at),
            (vec![(5, 15)], Some((6, 143)), Some(7))
        );
    }

    #[test]
    fn what_is_noticed_changes_when_it_does_and_not_before() {
        let seen = Sightings::new();
        let mut noticed = seen.noticed();
        seen.went_away("no answer");
        assert_eq!(noticed.borrow_and_update().engine_problem, "no answer");
        seen.went_away("no answer");
        assert!(!noticed.has_changed().unwrap());
        seen.came_back(false, EventMemory::Kept);
        assert_eq!(noticed.borrow_and_update().engine_problem, "");
        seen.on_compared(&BTreeMap::from([(Id(1), "it is paused".to_owned())]), &BTreeMap::new());
        assert_eq!(noticed.borrow_and_update().tasks[&Id(1)], "it is paused");
        seen.forget(Id(1), "c");
        assert_eq!(*noticed.borrow_and_update(), Noticed::default());
    }
}
