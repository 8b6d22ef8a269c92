//! Before and after, between two moments of one story.

use skep_projections::{
    audit::{diff, diff_object},
    fixture::{World, id},
};
use skep_proto::v1::{
    ChangeKind, ContainerStatus, ObjectChange, PlacementBlocked, TaskObserved, TaskState,
    event::Kind,
};

fn lines(changes: &[ObjectChange]) -> Vec<String> {
    let sign = |change: &ObjectChange| match change.change() {
        ChangeKind::Added => '+',
        ChangeKind::Removed => '-',
        ChangeKind::Changed => '~',
    };
    let fields = |change: &ObjectChange| {
        let fields = change.fields.iter().map(|f| format!(" {}:{}>{}", f.path, f.before, f.after));
        fields.collect::<String>()
    };
    changes
        .iter()
        .map(|change| format!("{}{} {}{}", sign(change), change.kind, change.name, fields(change)))
        .collect()
}

fn check(before: &str, story: &str, expected: &[&str]) {
    let mut world = World::of(before);
    let was = world.view.clone();
    world.tell(story);
    let changes = diff(&was, &world.view);
    assert_eq!(lines(&changes), expected, "after {story:?}");
    for change in &changes {
        let object = skep_proto::Id::from_bytes(&change.id);
        assert_eq!(
            diff_object(&was, &world.view, object).as_ref(),
            Some(change),
            "one object alone"
        );
    }
    assert_eq!(diff(&world.view, &world.view.clone()), vec![]);
}

#[test]
fn a_change_is_told_by_its_fields() {
    check("node n1", "drain n1", &["~node n1 spec.availability:active>drain"]);
    check("node n1", "label n1 zone:b", &["~node n1 spec.annotations.labels.zone:>b"]);
    check("service web", "scale web 3", &["~service web spec.mode.replicated.replicas:1>3"]);
    check("node n1", "level 2", &["~cluster cluster feature_level:1>2"]);
    check("node n1", "close n1", &["~node n1 status.state:ready>disconnected"]);
    check("history 3", "history 4", &["~cluster cluster spec.task_history_limit:3>4"]);
}

#[test]
fn a_task_and_what_follows_for_its_service() {
    check(
        "node n1 | service web | task web.1",
        "assign web.1 n1 | web.1 running message=up",
        &[
            "~service web status.running_tasks:0>1",
            "~task web.1 node_name:>n1 status.message:>up status.state:pending>running",
        ],
    );
}

#[test]
fn defaults_of_what_has_just_appeared_are_left_out() {
    let mut world = World::of("node n1 | service web | task web.1 on n1");
    let was = world.view.clone();
    let task_id = world.view.tasks().iter().next().unwrap().1.id.to_bytes();
    let container = ContainerStatus { container_ref: "c1".into(), ..ContainerStatus::default() };
    world.record(Kind::TaskObserved(TaskObserved {
        task_id,
        state: TaskState::Running as i32,
        container: Some(container),
        ..TaskObserved::default()
    }));
    let changes = diff(&was, &world.view);
    let expected = "~task web.1 status.container.container_ref:>c1 status.state:assigned>running";
    assert_eq!(lines(&changes)[1], expected);
    let was = world.view.clone();
    world.tell("service db");
    let added = diff(&was, &world.view).remove(0);
    let words: Vec<_> = added.fields.iter().map(|field| field.after.as_str()).collect();
    assert!(!words.contains(&"default") && !words.contains(&"vip"), "{words:?}");
}

#[test]
fn a_removed_service_is_gone_while_its_tasks_are_not() {
    let mut world = World::of("node n1 | service web | task web.1 on n1 running");
    let was = world.view.clone();
    world.tell("remove web | node n2");
    let changes = diff(&was, &world.view);
    let heads: Vec<_> = changes
        .iter()
        .map(|change| (change.kind.as_str(), change.name.as_str(), change.change()))
        .collect();
    assert_eq!(heads, [("node", "n2", ChangeKind::Added), ("service", "web", ChangeKind::Removed)]);
    assert!(
        changes[1].fields.iter().all(|field| field.after.is_empty() && !field.before.is_empty())
    );
    assert_eq!(diff_object(&was, &world.view, id("node", "n1")), None, "nothing changed in it");
    assert_eq!(diff_object(&was, &world.view, id("node", "n9")), None, "nobody knows it");
}

#[test]
fn a_state_without_a_message_is_a_change() {
    check(
        "node n1 | service web | task web.1 on n1",
        "web.1 running",
        &["~service web status.running_tasks:0>1", "~task web.1 status.state:assigned>running"],
    );
    check(
        "node n1 | service web | task web.1 on n1 running message=up",
        "web.1 running message=well",
        &["~task web.1 status.message:up>well"],
    );
}

#[test]
fn the_reason_why_a_service_waits_is_a_change() {
    let mut world = World::of("service web | task web.1");
    let was = world.view.clone();
    world.record(blocked("no node"));
    assert_eq!(lines(&diff(&was, &world.view)), ["~service web blocked.message:>no node"]);
}

fn blocked(message: &str) -> Kind {
    Kind::PlacementBlocked(PlacementBlocked {
        service_id: id("service", "web").to_bytes(),
        message: message.into(),
        ..PlacementBlocked::default()
    })
}

#[test]
fn only_a_task_that_has_to_wait_shows_when_it_starts() {
    let fields = |story: &str| {
        let mut world = World::of("service web");
        let was = world.view.clone();
        world.tell(story);
        diff(&was, &world.view)[0].fields.iter().filter(|field| field.path == "start_at").count()
    };
    assert_eq!((fields("task web.1"), fields("task web.1 desired=ready hold=5s")), (0, 1));
}
