//! Before and after, between two moments of one story.

use skep_projections::{
    audit::{diff, diff_object},
    fixture::{World, id},
};
use skep_proto::v1::{ChangeKind, ObjectChange};

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
