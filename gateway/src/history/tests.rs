//! Stories about the past, on a real log.

use super::{
    select::Selection,
    tell::RecordFeed,
    testing::{WrittenLog, agent, alice, say, write},
    why::why,
    *,
};
use skep_projections::fixture::{World, id};
use skep_proto::{
    Id, author,
    time::SECOND_NS,
    v1::{self, event::Kind},
};

const LIFE: &str = "node alpha | node beta | service web replicas=2 | wait 10s \
    | task web.1 on alpha running | task web.2 on beta running | wait 10s | scale web 3 | task web.3";

fn log_of(written: &WrittenLog, request: &v1::LogRequest) -> Result<Vec<v1::LogRecord>, PastError> {
    let past = written.past();
    let newest = past.newest().revision;
    let view = past.view_at(newest)?;
    let selection = Selection::of(request, &past, &view)?;
    let mut found = Vec::new();
    let tail = usize::try_from(request.tail).unwrap();
    RecordFeed::new(past, &view, selection).tell(
        &view,
        Revision(request.from_revision.max(1)),
        newest,
        tail,
        |record| {
            found.push(record);
            true
        },
    )?;
    Ok(found)
}

fn lines(written: &WrittenLog, request: &v1::LogRequest) -> Vec<String> {
    log_of(written, request).unwrap().into_iter().map(|record| record.summary).collect()
}

fn ask(written: &WrittenLog, reference: &str) -> v1::WhyReply {
    let past = written.past();
    let view = past.view_at(past.newest().revision).unwrap();
    why(&past, &view, reference).unwrap()
}

fn refusal(error: PastError) -> Refusal {
    match error {
        PastError::Refused(refusal) => refusal,
        PastError::Read(_) | PastError::Unfoldable(_) => panic!("{error}"),
    }
}

/// A task that failed on alpha, killed by somebody, and the one that took its place.
fn killed() -> World {
    let mut world = World::of(
        "node alpha | node beta | service web replicas=3 | wait 5s | task web.3 on alpha running",
    );
    let first = world.task_id("web.3");
    let container = v1::ContainerStatus {
        exit_code: Some(137),
        signal: 9,
        end_cause: v1::EndCause::KilledOutside as i32,
        ..v1::ContainerStatus::default()
    };
    let failed = v1::TaskObserved {
        task_id: first.to_bytes(),
        state: v1::TaskState::Failed as i32,
        container: Some(container),
        ..v1::TaskObserved::default()
    };
    let failed = say(&mut world, agent("alpha"), Revision::ZERO, Kind::TaskObserved(failed));
    let restart = author::reconciler(v1::Reconciler::Restart);
    let desired = v1::TaskState::Shutdown as i32;
    let reason = v1::DesireReason::Ended as i32;
    let ended = v1::TaskDesired { task_id: first.to_bytes(), desired, reason };
    say(&mut world, restart.clone(), failed, Kind::TaskDesired(ended));
    let service = world.view.services().get(world.service("web")).unwrap();
    let created = v1::TaskCreated {
        task_id: Id(7).to_bytes(),
        service_id: service.id.to_bytes(),
        slot: 3,
        spec_version: service.spec_version.0,
        desired: v1::TaskState::Running as i32,
        replaces_id: first.to_bytes(),
        attempt: 1,
        ..v1::TaskCreated::default()
    };
    let created = say(&mut world, restart, failed, Kind::TaskCreated(created));
    let service_id = id("service", "web").to_bytes();
    let refused = vec![v1::FilterCount {
        filter: v1::PlacementFilter::Resources as i32,
        nodes: 1,
        ..v1::FilterCount::default()
    }];
    let spec_version = world.view.services().get(world.service("web")).unwrap().spec_version.0;
    let explained = v1::PlacementExplained { service_id, spec_version, nodes: 2, refused };
    let placement = author::reconciler(v1::Reconciler::Placement);
    say(&mut world, placement.clone(), created, Kind::PlacementExplained(explained));
    let node_id = id("node", "beta").to_bytes();
    let assigned = v1::TaskAssigned {
        task_id: Id(7).to_bytes(),
        node_id,
        candidates: 1,
        ..v1::TaskAssigned::default()
    };
    say(&mut world, placement, created, Kind::TaskAssigned(assigned));
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn every_past_view_is_what_it_was_then() {
    let world = World::of(LIFE);
    let written = write(&world).await;
    let past = written.past();
    let mut view = View::default();
    for (stamp, record) in &world.records {
        view.apply(*stamp, record).unwrap();
        let then = past.view_at(stamp.revision).unwrap();
        assert_eq!((then.position(), then.digest()), (view.position(), view.digest()));
    }
    // From what is kept, and from nothing, the same.
    let third = past.view_at(Revision(3)).unwrap().digest();
    assert_eq!(Past::new(written.log.history()).view_at(Revision(3)).unwrap().digest(), third);
}

/// Reading backwards finds the same as reading everything, for objects that are there, that are
/// gone, and whose tasks come and go, wherever the question begins and ends.
#[tokio::test(flavor = "multi_thread")]
async fn the_newest_records_are_the_end_of_all_records() {
    let story = "node alpha | node beta | service web replicas=2 | service db replicas=1 | wait 1s \
        | task web.1 on alpha running | task db.1 on beta running | wait 1s | task web.2 on beta running \
        | wait 1s | web.1 failed | web.1 wanted shutdown | wait 1s | task web.1 on beta running | wait 1s \
        | db.1 failed | db.1 wanted shutdown | remove db | wait 1s | scale web 1 | wait 1s | drain beta | wait 1s | stray s1 running alpha";
    let mut world = World::of(story);
    // The older task of web.1, and the task of db.1: both leave the view.
    for (task, service) in [(first_task(&world, "web"), "web"), (first_task(&world, "db"), "db")] {
        let service_id = id("service", service).to_bytes();
        let reaped = v1::TaskReaped { task_id: task.to_bytes(), service_id };
        say(
            &mut world,
            author::reconciler(v1::Reconciler::History),
            Revision::ZERO,
            Kind::TaskReaped(reaped),
        );
    }
    let written = write(&world).await;
    let newest = written.past().newest().revision.0;
    for object in ["web", "db", "alpha", "web.1"] {
        let whole =
            v1::LogRequest { all: true, objects: vec![object.into()], ..v1::LogRequest::default() };
        let all: Vec<u64> = revisions(&written, &whole);
        assert!(all.len() > 3, "{object}: {all:?}");
        for tail in 1..=all.len() as u32 + 1 {
            for from in [1, newest / 2] {
                let asked = v1::LogRequest { tail, from_revision: from, ..whole.clone() };
                let within: Vec<u64> =
                    all.iter().copied().filter(|revision| *revision >= from).collect();
                let wanted = &within[within.len().saturating_sub(tail as usize)..];
                assert_eq!(
                    revisions(&written, &asked),
                    wanted,
                    "{object}, the newest {tail} from {from}"
                );
            }
        }
    }
}

fn revisions(written: &WrittenLog, request: &v1::LogRequest) -> Vec<u64> {
    log_of(written, request).unwrap().into_iter().map(|record| record.revision).collect()
}

/// The first task that a service was given.
fn first_task(world: &World, service: &str) -> Id {
    let service = id("service", service).to_bytes();
    let created = world.records.iter().find_map(|(_, record)| {
        let Some(Kind::TaskCreated(e)) = record.event.as_ref()?.kind.as_ref() else { return None };
        (e.service_id == service).then(|| Id::from_bytes(&e.task_id))
    });
    created.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_leads_to_everything_that_ever_had_it() {
    let mut world =
        World::of("node alpha | service web replicas=1 | wait 1s | remove web | wait 1s");
    let renamed = id("service", "other");
    let mut spec = skep_projections::fixture::service_spec("Web");
    let kind = Kind::ServiceCreated(Box::new(v1::ServiceCreated {
        service_id: renamed.to_bytes(),
        spec: Some(spec.clone()),
    }));
    say(&mut world, alice(), Revision::ZERO, kind);
    spec.annotations.get_or_insert_default().labels.insert("a".into(), "b".into());
    let updated = v1::ServiceUpdated {
        service_id: renamed.to_bytes(),
        spec: Some(spec),
        ..v1::ServiceUpdated::default()
    };
    say(&mut world, alice(), Revision::ZERO, Kind::ServiceUpdated(Box::new(updated)));
    let written = write(&world).await;
    let past = written.past();
    assert_eq!(super::names::named(&past, "WEB").unwrap(), [id("service", "web"), renamed]);
    assert_eq!(super::names::named(&past, "alpha").unwrap(), [id("node", "alpha")]);
    assert_eq!(super::names::named(&past, "").unwrap(), []);
    assert_eq!(super::names::named(&past, "nobody").unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn moments_are_revisions_times_or_so_long_ago() {
    let world = World::of(LIFE);
    let written = write(&world).await;
    let past = written.past();
    let began = world.records[0].0.at;
    let moment = |moment| Some(Moment { moment: Some(moment) });
    let at = |m| past.revision(moment(m).as_ref(), world.now);
    assert_eq!(past.revision(None, world.now).unwrap(), None);
    assert_eq!(at(moment::Moment::Revision(4)).unwrap(), Some(Revision(4)));
    let last_at_start = world.records.iter().filter(|(stamp, _)| stamp.at == began).count() as u64;
    assert_eq!(
        at(moment::Moment::TimeAt((began + 9 * SECOND_NS).0)).unwrap(),
        Some(Revision(last_at_start))
    );
    assert_eq!(at(moment::Moment::AgoNs(11 * SECOND_NS)).unwrap(), Some(Revision(last_at_start)));
    let newest = past.newest().revision;
    assert_eq!(at(moment::Moment::AgoNs(0)).unwrap(), Some(newest));

    let future = refusal(at(moment::Moment::Revision(newest.0 + 1)).unwrap_err());
    assert_eq!(future.message, format!("revision {} is in the future", newest.0 + 1));
    assert_eq!(future.hint, format!("history holds revisions 1 to {newest}"));
    let tolerated = world.now + super::CLOCKS_DIFFER_MAX_NS;
    assert_eq!(at(moment::Moment::TimeAt(tolerated.0)).unwrap(), Some(newest));
    let future = refusal(at(moment::Moment::TimeAt(tolerated.0 + 1)).unwrap_err());
    assert!(future.message.ends_with(" is in the future"), "{future:?}");
    // Whoever reads since a moment takes "not found" for a moment before the beginning.
    assert_eq!(future.code, v1::RefusalCode::Precondition);
    assert!(future.hint.contains(&format!("the log's time is {}", world.now)), "{future:?}");
    let before = refusal(at(moment::Moment::TimeAt(began.0 - 1)).unwrap_err());
    assert!(before.message.starts_with("there was nothing yet at "), "{before:?}");
    assert!(before.hint.contains("begins with revision 1"), "{before:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_tells_commands_and_failures_and_all_on_demand() {
    let written = write(&killed()).await;
    let short = lines(&written, &v1::LogRequest::default());
    assert!(short.contains(&"service web created: 3 × app".into()), "{short:#?}");
    assert!(
        short.contains(&"web.3 failed on alpha: exit code 137 (killed from outside)".into()),
        "{short:#?}"
    );
    assert!(!short.iter().any(|line| line.contains("assigned")), "{short:#?}");
    let all = lines(&written, &v1::LogRequest { all: true, ..v1::LogRequest::default() });
    assert!(all.contains(&"web.3 assigned to beta (best of 1)".into()), "{all:#?}");
    assert!(
        all.contains(&"web: not all of 2 nodes are suitable: not enough free cpu, memory or other resources on 1 node".into()),
        "{all:#?}"
    );
    assert_eq!(all.len() as u64, written.past().newest().revision.0);
    let tail = lines(&written, &v1::LogRequest { all: true, tail: 2, ..v1::LogRequest::default() });
    assert_eq!(tail, all[all.len() - 2..]);
    let later = lines(
        &written,
        &v1::LogRequest { all: true, from_revision: 4, ..v1::LogRequest::default() },
    );
    assert_eq!(later, all[3..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_removed_service_is_found_by_its_name() {
    let mut world = killed();
    world.tell(
        "task web.1 on beta running | remove web | web.1 shutdown | reap web.1 | reap web.3#1 | service db",
    );
    let written = write(&world).await;
    let of = |object: &str| {
        lines(
            &written,
            &v1::LogRequest {
                all: true,
                objects: vec![object.into()],
                ..v1::LogRequest::default()
            },
        )
    };
    let web = of("WEB");
    assert!(web.contains(&"service web removed".into()), "{web:#?}");
    assert!(
        web.contains(&"web.3 failed on alpha: exit code 137 (killed from outside)".into()),
        "its tasks: {web:#?}"
    );
    assert!(web.contains(&"web.1 left the view".into()), "{web:#?}");
    assert!(!web.iter().any(|line| line.contains("db")), "{web:#?}");
    assert!(of("web.1").contains(&"web.1 left the view".into()));
    assert!(of(&id("service", "web").to_string()).len() > 3);
    let last = v1::LogRequest {
        all: true,
        objects: vec!["web".into()],
        tail: 1,
        ..v1::LogRequest::default()
    };
    assert_eq!(lines(&written, &last), web[web.len() - 1..]);
    let notable = v1::LogRequest { objects: vec!["web".into()], ..v1::LogRequest::default() };
    let told =
        ["created: 3 × app", "failed on alpha: exit code 137 (killed from outside)", "removed"];
    let lines = lines(&written, &notable);
    assert!(
        lines.iter().zip(told).all(|(line, told)| line.ends_with(told)) && lines.len() == 3,
        "{lines:#?}"
    );
    let unknown = v1::LogRequest { objects: vec!["nowhere".into()], ..v1::LogRequest::default() };
    let error = refusal(log_of(&written, &unknown).unwrap_err());
    assert_eq!(error.message, "object \"nowhere\" not found");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_filtered_by_who_wrote_it() {
    let mut world = killed();
    let service_id = id("service", "web").to_bytes();
    say(
        &mut world,
        alice(),
        Revision::ZERO,
        Kind::ServiceRemoved(v1::ServiceRemoved { service_id }),
    );
    let written = write(&world).await;
    let by = |author: &str| {
        lines(
            &written,
            &v1::LogRequest {
                all: true,
                authors: vec![author.into()],
                ..v1::LogRequest::default()
            },
        )
    };
    assert_eq!(by("alice"), ["service web removed"]);
    assert_eq!(by("uid:1000"), ["service web removed"]);
    assert_eq!(by("uid:1"), [""; 0]);
    assert_eq!(by("alpha"), ["web.3 failed on alpha: exit code 137 (killed from outside)"]);
    assert_eq!(by("restart").len(), 2);
    assert_eq!(by("nobody-at-all"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_task_tells_what_it_replaced_and_why_it_stands_there() {
    let written = write(&killed()).await;
    let why = ask(&written, "web.3");
    assert_eq!(
        why.verdict,
        "web.3 is assigned on beta; the task before it failed on alpha: exit code 137 (killed from outside)"
    );
    let kinds: Vec<&str> = why.chain.iter().map(|record| record.kind.as_str()).collect();
    assert_eq!(kinds, ["task_assigned", "task_created", "task_observed"]);
    assert_eq!(
        why.placement,
        [
            "beta was the only node that passed every filter: before, it had no tasks of web, 0 in all",
            "not enough free cpu, memory or other resources on 1 node",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_failed_before_its_time_came_is_named_with_its_failure() {
    let world = World::of(
        "node alpha | service web replicas=1 | task web.1 on alpha hold=60s attempt=2 | web.1 rejected error=gone",
    );
    let written = write(&world).await;
    let reply = ask(&written, "web");
    assert_eq!(
        reply.verdict,
        "web runs 0 of 1: web.1 keeps failing, 3 failures in a row; it was rejected on alpha: gone"
    );
    assert_eq!(
        reply.chain.first().map(|record| record.kind.as_str()),
        Some("task_observed"),
        "{reply:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_was_moved_names_the_node_that_went_down() {
    let mut world = World::of(
        "node n1 | node n2 | service web | task web.1 on n2 running | close n2 | down n2",
    );
    let down = world.view.position().revision;
    let reason = v1::DesireReason::NodeDown as i32;
    let stop = v1::TaskDesired {
        task_id: world.task_id("web.1").to_bytes(),
        desired: v1::TaskState::Shutdown as i32,
        reason,
    };
    say(&mut world, author::reconciler(v1::Reconciler::Fitness), down, Kind::TaskDesired(stop));
    world.tell("task web.1 on n1 running");
    let written = write(&world).await;
    let why = ask(&written, "web.1");
    assert_eq!(
        why.verdict,
        "web.1 runs on n1 since 2026-01-01T00:00:00Z; it was moved because node n2 went down"
    );
    let old = ask(&written, &world.task_id("web.1#1").to_string());
    assert!(
        old.verdict.starts_with("web.1 is being stopped on n2: node n2 went down; "),
        "{}",
        old.verdict
    );
    assert!(old.chain.iter().any(|record| record.kind == "node_down"), "{:#?}", old.chain);
    let node = ask(&written, "n2");
    assert_eq!(
        node.verdict,
        "node n2 is down since 2026-01-01T00:00:00Z: heartbeat failure; no live tasks"
    );
    assert_eq!(node.chain[0].kind, "node_down");
}

#[tokio::test(flavor = "multi_thread")]
async fn pending_tasks_and_their_service_say_what_is_missing() {
    let mut world = World::of("node n1 | service web replicas=2 | task web.1 | task web.2");
    let service_id = id("service", "web").to_bytes();
    let spec_version = world.view.services().get(world.service("web")).unwrap().spec_version.0;
    let blocked = v1::PlacementBlocked {
        service_id,
        spec_version,
        nodes: 1,
        refused: vec![v1::FilterCount {
            filter: v1::PlacementFilter::Constraints as i32,
            nodes: 1,
            constraint: "node.labels.zone==a".into(),
            ..v1::FilterCount::default()
        }],
        message: "no suitable node (scheduling constraints not satisfied on 1 node)".into(),
    };
    say(
        &mut world,
        author::reconciler(v1::Reconciler::Placement),
        Revision(5),
        Kind::PlacementBlocked(blocked),
    );
    let written = write(&world).await;
    let task = ask(&written, "web.2");
    let missing = "no suitable node (scheduling constraints not satisfied on 1 node)";
    assert_eq!(task.verdict, format!("web.2 is pending: {missing}"));
    assert_eq!(task.placement, ["constraint node.labels.zone==a not met by 1 node"]);
    assert_eq!(task.chain[0].kind, "placement_blocked");
    let service = ask(&written, "service/web");
    assert_eq!(service.verdict, format!("web runs 0 of 2: 2 pending: {missing}"));
    assert!(service.chain.iter().any(|record| record.kind == "service_created"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_left_the_view_is_explained_as_it_was() {
    let mut world = killed();
    world.tell("reap web.3#1 | service db | node n9");
    let first = world.records.iter().find_map(|(_, record)| {
        let Kind::TaskReaped(e) = record.event.as_ref()?.kind.as_ref()? else {
            return None;
        };
        Some(Id::from_bytes(&e.task_id))
    });
    let service_id = id("service", "db").to_bytes();
    say(
        &mut world,
        alice(),
        Revision::ZERO,
        Kind::ServiceRemoved(v1::ServiceRemoved { service_id }),
    );
    let written = write(&world).await;
    let task = ask(&written, &first.unwrap().to_string());
    assert!(task.verdict.starts_with("web.3 left the view at revision "), "{}", task.verdict);
    assert!(task.verdict.contains("failed on alpha: exit code 137"), "{}", task.verdict);
    let service = ask(&written, "db");
    assert!(service.verdict.starts_with("service db removed at revision "), "{}", service.verdict);
    assert!(
        service.verdict.contains("by alice; before that: db runs 0 of 1"),
        "{}",
        service.verdict
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_nobody_has_or_several_have_are_refused() {
    let written = write(&World::of("node web | service web")).await;
    let past = written.past();
    let view = past.view_at(past.newest().revision).unwrap();
    let error = |reference| refusal(why(&past, &view, reference).unwrap_err()).message;
    assert_eq!(error("web"), "object \"web\" is ambiguous: it could be service/web, node/web");
    assert_eq!(error("nowhere"), "object \"nowhere\" not found");
    assert_eq!(ask(&written, "node/web").kind, "node");
}

mod renamed;
