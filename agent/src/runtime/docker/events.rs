//! Follows an engine: one stream of its events for all containers, a listing of them now and then,
//! a ping every few seconds, and a question that needs containerd.
//!
//! Whoever watches a container subscribes, looks at it, and sleeps until it is worth looking again;
//! the [`engine`](super::engine) says when. When the stream breaks or a ping is not answered, the
//! engine may have gone: that is said at once, the connection is made again with its API version
//! negotiated again, and the events that the engine still remembers are asked for.

use super::{
    creation::Creations,
    engine::{Engine, PROBE_LIMIT, within},
    engine_state::EventMemory,
    ledger::ContainerFate,
    listing,
    mapping::LABEL_TASK_ID,
    records::ContainerRecords,
    sightings::EngineSightings,
    trace::ContainerEvent,
};
use bollard::{Docker, models::EventMessage, query_parameters::EventsOptions};
use futures::StreamExt;
use skep_proto::Id;
use std::{collections::HashMap, str::FromStr, sync::Arc, time::Duration};

/// Between two pings of an engine: one that hangs, or is cut off, does not break its stream.
const PROBE_PERIOD: Duration = Duration::from_secs(2);
/// Between two tries to reach an engine that is away, at first; doubled with each.
const ENGINE_RETRY_DELAY_MIN: Duration = Duration::from_millis(50);
/// Between two tries to reach an engine that is away, at most.
const ENGINE_RETRY_DELAY_MAX: Duration = Duration::from_secs(2);
/// A new stream begins so long before the newest event that was seen, since events may come out of
/// order.
const OVERLAP_S: u64 = 5;

/// Passes an event on, if it is about a container. That one was created is news only where its task
/// was removed meanwhile.
fn note(seen: &EngineSightings, records: &ContainerRecords, event: &EventMessage) {
    if event.action.as_deref() == Some("create")
        && let Some(task) = attribute(event, LABEL_TASK_ID).and_then(Id::parse)
        && records.read(|ledger| ledger.entry(task).map(|entry| entry.fate))
            == Some(ContainerFate::Kept)
    {
        return;
    }
    if let Some((container, at, happening)) = read(event) {
        seen.note(container, at, happening);
    }
}

/// The container, the time, and what happened to it.
fn read(event: &EventMessage) -> Option<(&str, u64, ContainerEvent)> {
    let (actor, action) = (event.actor.as_ref()?, event.action.as_ref()?);
    let attribute = |name: &str| attribute(event, name);
    let happening = match action.as_str() {
        "start" => ContainerEvent::Started,
        "kill" => ContainerEvent::Signal(attribute("signal").map_or(0, signal_number)),
        "die" => ContainerEvent::Died(
            attribute("exitCode").and_then(|code| code.parse().ok()).unwrap_or(0),
        ),
        "oom" => ContainerEvent::WantedMemory,
        "stop" => ContainerEvent::Stopped,
        "destroy" => ContainerEvent::Destroyed,
        _ => ContainerEvent::Changed,
    };
    let at = event.time_nano.and_then(|at| u64::try_from(at).ok()).unwrap_or(0);
    Some((actor.id.as_deref()?, at, happening))
}

fn attribute<'a>(event: &'a EventMessage, name: &str) -> Option<&'a str> {
    event.actor.as_ref()?.attributes.as_ref()?.get(name).map(String::as_str)
}

/// Engines tell signals by number; some by name.
fn signal_number(text: &str) -> i32 {
    text.parse().unwrap_or_else(|_| {
        nix::sys::signal::Signal::from_str(text).map_or(0, |signal| signal as i32)
    })
}

/// Follows the engine until it is aborted.
pub(super) fn follow(
    engine: Arc<Engine>,
    seen: Arc<EngineSightings>,
    records: Arc<ContainerRecords>,
    creations: Creations,
) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let mut pause = ENGINE_RETRY_DELAY_MIN;
        loop {
            let end = match engine.client().await {
                Ok(client) => {
                    pause = ENGINE_RETRY_DELAY_MIN;
                    stream(&client, &engine, &seen, &records, &creations).await
                }
                Err(error) => StreamEnd::Away(error.to_string()),
            };
            // Whatever answers next may be another version of the engine.
            engine.forget();
            let StreamEnd::Away(reason) = end else { continue };
            seen.went_away(&reason);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(ENGINE_RETRY_DELAY_MAX);
        }
    })
}

/// Why a stream is followed no more.
enum StreamEnd {
    /// It broke, or the engine stopped answering.
    Away(String),
    /// The engine tells its version, which it did not when it was connected to: version and facts
    /// of the connection are those of an earlier one, and are asked for anew.
    VersionTold,
}

/// Follows one stream; says why it ends.
async fn stream(
    client: &Docker,
    engine: &Arc<Engine>,
    seen: &Arc<EngineSightings>,
    records: &Arc<ContainerRecords>,
    creations: &Creations,
) -> StreamEnd {
    let client = client.clone().with_timeout(super::engine::LONG_CALL_LIMIT);
    let newest = seen.newest();
    let memory =
        if remembers(&client, newest).await { EventMemory::Kept } else { EventMemory::Lost };
    let since = (newest / 1_000_000_000).saturating_sub(OVERLAP_S).max(1);
    let options =
        EventsOptions { since: Some(since.to_string()), until: None, filters: Some(filters()) };
    let mut events = client.events(Some(options));
    seen.came_back(engine.about().live_restore, memory, engine.told_version());
    let following = async {
        loop {
            match events.next().await {
                Some(Ok(event)) => note(seen, records, &event),
                Some(Err(error)) => return engine.say(&error).to_string(),
                None => {
                    return format!("the engine at {} ended its stream of events", engine.host());
                }
            }
        }
    };
    tokio::select! {
        reason = following => StreamEnd::Away(reason),
        reason = probe(&client, engine) => StreamEnd::Away(reason),
        () = keep_asking_version(&client, engine, seen) => StreamEnd::VersionTold,
        () = listing::keep_listing(engine, seen, records, creations) => {
            StreamEnd::Away(String::new())
        }
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

/// Asks the engine for its version now and then, which it does not know without containerd. Ends
/// only where it is told after a connection was made without it.
async fn keep_asking_version(client: &Docker, engine: &Engine, seen: &EngineSightings) {
    use super::start_health::CallReply;
    loop {
        tokio::time::sleep_until(seen.instant(seen.version_at())).await;
        let reply = match tokio::time::timeout(PROBE_LIMIT, client.version()).await {
            Ok(_) => CallReply::InTime,
            Err(_) => CallReply::Missing,
        };
        if (engine.told_version(), reply) == (CallReply::Missing, CallReply::InTime) {
            return;
        }
        seen.on_version(reply);
    }
}

/// Whether the engine remembers its newest event that was seen here. It keeps the last few hundred
/// in memory, so one that does not was restarted.
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
    let events = [
        "create",
        "start",
        "kill",
        "oom",
        "die",
        "stop",
        "destroy",
        "health_status",
        "pause",
        "unpause",
    ];
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
        let seen = EngineSightings::new();
        let dir = tempfile::tempdir().unwrap();
        let records = ContainerRecords::open(dir.path()).unwrap();
        let news = seen.subscribe("c");
        for event in [
            event("other", 9, "die", &[("exitCode", "1")]),
            event("c", 5, "kill", &[("signal", "SIGTERM")]),
            event("c", 6, "die", &[("exitCode", "143")]),
            event("c", 6, "oom", &[]),
            event("c", 7, "stop", &[]),
        ] {
            note(&seen, &records, &event);
        }
        assert_eq!(*news.borrow(), 4, "those of the other container are not for it");
        let trace = seen.trace("c");
        assert_eq!(
            (trace.signals, trace.died, trace.wanted_memory_at, trace.stopped_at),
            (vec![(5, 15)], Some((6, 143)), Some(6), Some(7))
        );
    }
}
