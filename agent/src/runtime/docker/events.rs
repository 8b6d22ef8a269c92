//! One stream of the engine's events for all containers, instead of a question or a connection for each.
//!
//! Whoever waits for a container subscribes, looks at it, and sleeps until something is said about it. When
//! the stream breaks, the engine may have gone: the time it was away is kept, everybody looks again when it
//! is back, and the events that the engine still remembers are asked for, so that nothing is missed between
//! two streams.

use super::{
    engine::{Engine, within},
    judgement::{Outage, Trace},
    mapping::LABEL_TASK_ID,
};
use bollard::{models::EventMessage, query_parameters::EventsOptions};
use futures::StreamExt;
use nix::sys::signal::Signal;
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};
use tokio::{sync::watch, task::JoinHandle};

/// Outages that are remembered; the oldest is forgotten, and an end in it is then taken for the container's
/// own.
const OUTAGES_MAX: usize = 16;
/// An engine that hangs, or is cut off, does not break its stream: so it is asked now and then.
const CHECK_PERIOD: Duration = Duration::from_secs(30);
/// Between two tries to reach an engine that is away: from, and up to.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// What has been seen of the engine and its containers.
#[derive(Default)]
pub(super) struct Sightings(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    containers: BTreeMap<String, Sighting>,
    outages: VecDeque<Outage>,
    /// Set while the engine is away.
    away_since: Option<u64>,
    live_restore: bool,
    /// Time of the newest event: where a new stream begins, and how an engine that lost its memory is known.
    newest: u64,
}

#[derive(Default)]
struct Sighting {
    trace: Trace,
    news: watch::Sender<u64>,
}

impl Sightings {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes whenever it is worth looking at the container again.
    pub(super) fn subscribe(&self, container: &str) -> watch::Receiver<u64> {
        self.lock().containers.entry(container.to_owned()).or_default().news.subscribe()
    }

    pub(super) fn trace(&self, container: &str) -> Trace {
        self.lock().containers.get(container).map(|sighting| sighting.trace.clone()).unwrap_or_default()
    }

    pub(super) fn forget(&self, container: &str) {
        self.lock().containers.remove(container);
    }

    pub(super) fn outages(&self) -> Vec<Outage> {
        self.lock().outages.iter().copied().collect()
    }

    pub(super) fn is_away(&self) -> bool {
        self.lock().away_since.is_some()
    }

    pub(super) fn live_restore(&self) -> bool {
        self.lock().live_restore
    }

    fn wake_all(&self) {
        for sighting in self.lock().containers.values() {
            sighting.news.send_modify(|version| *version += 1);
        }
    }

    fn went_away(&self) {
        self.lock().away_since.get_or_insert(now_ns());
        self.wake_all();
    }

    fn came_back(&self, live_restore: bool, lost_memory: bool) {
        let mut seen = self.lock();
        seen.live_restore = live_restore;
        if let Some(from) = seen.away_since.take()
            && lost_memory
        {
            if seen.outages.len() == OUTAGES_MAX {
                seen.outages.pop_front();
            }
            seen.outages.push_back(Outage { from, until: now_ns() });
        }
        drop(seen);
        self.wake_all();
    }

    fn note(&self, event: &EventMessage) {
        let (Some(actor), Some(action)) = (&event.actor, &event.action) else { return };
        let Some(id) = &actor.id else { return };
        let at = event.time_nano.and_then(|at| u64::try_from(at).ok()).unwrap_or(0);
        let attribute =
            |name: &str| actor.attributes.as_ref().and_then(|all| all.get(name)).map(String::as_str);
        let mut seen = self.lock();
        if at <= seen.newest {
            return;
        }
        seen.newest = at;
        let sighting = seen.containers.entry(id.clone()).or_default();
        let trace = &mut sighting.trace;
        match action.as_str() {
            "start" => trace.started(),
            "kill" => trace.signal(at, attribute("signal").map_or(0, signal_number)),
            "die" => {
                trace.died = Some((at, attribute("exitCode").and_then(|code| code.parse().ok()).unwrap_or(0)))
            }
            "stop" => trace.stopped_at = Some(at),
            "destroy" => trace.destroyed = true,
            _ => {}
        }
        sighting.news.send_modify(|version| *version += 1);
        if action == "destroy" && sighting.news.receiver_count() == 0 {
            seen.containers.remove(id);
        }
    }
}

/// Engines tell signals by number; some by name.
fn signal_number(text: &str) -> i32 {
    text.parse().unwrap_or_else(|_| Signal::from_str(text).map_or(0, |signal| signal as i32))
}

pub(super) fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Follows the engine's events until it is aborted.
pub(super) fn follow(engine: Arc<Engine>, seen: Arc<Sightings>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut pause = RETRY_MIN;
        loop {
            if let Some(live_restore) = reach(&engine).await {
                pause = RETRY_MIN;
                stream(&engine, &seen, live_restore).await;
            }
            seen.went_away();
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    })
}

/// Whether the engine answers, and then whether its containers outlive it.
async fn reach(engine: &Engine) -> Option<bool> {
    let client = engine.client().await.ok()?;
    let about = within(client.info()).await.ok()?;
    Some(about.live_restore_enabled.unwrap_or(false))
}

/// Follows one stream until it breaks.
async fn stream(engine: &Engine, seen: &Sightings, live_restore: bool) {
    let Ok(client) = engine.patient_client().await else { return };
    let newest = seen.lock().newest;
    // An engine keeps its last few hundred events in memory. One that does not remember the newest one that
    // was seen here is a new one.
    let mut lost_memory = true;
    if newest > 0 {
        let at = |ns: u64| Some(format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000));
        let options = EventsOptions { since: at(newest - 1), until: at(newest), filters: Some(filters()) };
        let mut again = client.events(Some(options));
        let found = within(async { Ok(again.next().await) }).await;
        lost_memory = !matches!(found, Ok(Some(Ok(_))));
    }
    let since = if newest > 0 { newest / 1_000_000_000 } else { 1 };
    let options = EventsOptions { since: Some(since.to_string()), until: None, filters: Some(filters()) };
    let mut events = client.events(Some(options));
    seen.came_back(live_restore, lost_memory);
    let mut check = tokio::time::interval(CHECK_PERIOD);
    check.tick().await;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(event)) => seen.note(&event),
                Some(Err(_)) | None => return,
            },
            _ = check.tick() => {
                if within(client.ping()).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn filters() -> HashMap<String, Vec<String>> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    HashMap::from([
        ("type".to_owned(), words(&["container"])),
        ("label".to_owned(), words(&[LABEL_TASK_ID])),
        ("event".to_owned(), words(&["start", "kill", "die", "stop", "destroy", "health_status"])),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::EventActor;

    fn event(at: i64, action: &str, attributes: &[(&str, &str)]) -> EventMessage {
        let attributes =
            attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        EventMessage {
            action: Some(action.into()),
            time_nano: Some(at),
            actor: Some(EventActor { id: Some("c".into()), attributes: Some(attributes) }),
            ..EventMessage::default()
        }
    }

    #[test]
    fn events_make_a_trace_and_wake_who_waits_once_each() {
        let seen = Sightings::default();
        let news = seen.subscribe("c");
        for event in [
            event(5, "kill", &[("signal", "15")]),
            event(6, "die", &[("exitCode", "143")]),
            event(6, "die", &[("exitCode", "143")]),
            event(7, "stop", &[]),
        ] {
            seen.note(&event);
        }
        assert_eq!(*news.borrow(), 3, "one that was told twice is news once");
        let trace = seen.trace("c");
        assert_eq!((trace.signals, trace.died, trace.stopped_at), (vec![(5, 15)], Some((6, 143)), Some(7)));
        seen.note(&event(8, "start", &[]));
        assert_eq!(seen.trace("c"), Trace::default(), "a new run");
    }

    #[test]
    fn only_an_engine_that_forgot_was_really_away() {
        let seen = Sightings::default();
        seen.went_away();
        assert!(seen.is_away());
        seen.came_back(false, false);
        assert!(!seen.is_away() && seen.outages().is_empty());
        seen.went_away();
        seen.came_back(true, true);
        assert_eq!(seen.outages().len(), 1);
        assert!(seen.live_restore());
    }
}
