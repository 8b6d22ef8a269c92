//! Services with more tasks than an entry holds: the others do not wait for them.

use crate::telling::Teller;
use skep_projections::Delta;
use skep_proto::v1::TaskState;
use skep_reconcilers::{Brain, Settled};

/// Records of an entry in these stories, and how many more it may have because decisions that
/// belong together are not torn apart.
const SMALL_ROOM: usize = 10;
const JOINED_MAX: usize = 2;

fn placed(teller: &Teller, service: &str) -> usize {
    let index = teller.world.service(service);
    teller.world.view.tasks_of(index).filter(|(_, task)| task.node.is_some()).count()
}

fn tasks(teller: &Teller, service: &str) -> usize {
    teller.world.view.tasks_of(teller.world.service(service)).count()
}

/// Entries until nothing is left, with the one before; each is full but the last one.
fn to_the_end(teller: &mut Teller, first: Settled, room: usize) -> usize {
    let (mut settled, mut entries) = (first, 1);
    while !settled.left.is_empty() {
        let full = room..=room + JOINED_MAX;
        assert!(full.contains(&settled.records.len()), "{} records", settled.records.len());
        // What is left does not grow with what was done.
        let shown = settled.left.tasks.len();
        assert!(shown <= 2 * (room + JOINED_MAX), "{shown} tasks after {entries} entries");
        settled = teller.settle(settled.left, room);
        entries += 1;
        assert!(entries < 10_000, "it never ends");
    }
    assert_eq!(teller.left_undone(), [], "a new leader finds nothing more");
    entries
}

#[test]
fn a_task_is_placed_while_a_large_service_is_created() {
    for large in [
        "service large replicas=1000",
        "service large replicas=1000 constraint=node.labels.disk==ssd",
    ] {
        let mut teller = Teller::new(Brain::new());
        let delta = teller.world.tell(&format!("node n1 | {large} | service small"));
        let mut settled = teller.settle(delta, SMALL_ROOM);
        settled = teller.settle(settled.left, SMALL_ROOM);
        assert_eq!(placed(&teller, "small"), 1, "{large}");
        assert!(tasks(&teller, "large") < 2 * SMALL_ROOM, "{large}");
        // One that is created meanwhile.
        let mut left = settled.left;
        left.merge(&teller.world.tell("service later"));
        settled = teller.settle(left, SMALL_ROOM);
        settled = teller.settle(settled.left, SMALL_ROOM);
        assert_eq!(placed(&teller, "later"), 1, "{large}");
        to_the_end(&mut teller, settled, SMALL_ROOM);
        assert_eq!(tasks(&teller, "large"), 1000, "{large}");
    }
}

#[test]
fn an_ended_task_is_replaced_while_a_large_service_is_removed() {
    let mut teller = Teller::new(Brain::new());
    teller.tell("given node n1 | service large replicas=1000 | service small delay=0s");
    teller.tell("given run");
    let delta = teller.world.tell("remove large");
    let settled = teller.settle(delta, SMALL_ROOM);
    let mut left = settled.left;
    left.merge(&teller.world.tell("small.1 failed exit=137"));
    let settled = teller.settle(left, SMALL_ROOM);
    let settled = teller.settle(settled.left, SMALL_ROOM);
    assert_eq!(placed(&teller, "small"), 2, "the one that failed, and its successor");
    to_the_end(&mut teller, settled, SMALL_ROOM);
    let large = teller.world.service("large");
    assert!(teller.world.view.tasks_of(large).all(|(_, task)| task.desired == TaskState::Remove));
}

#[test]
fn an_ended_task_is_replaced_while_all_tasks_of_a_large_service_end() {
    let mut teller = Teller::new(Brain::new());
    teller.tell("given node n1 | service large replicas=300 delay=0s | service small delay=0s");
    teller.tell("given run");
    let mut ends: Vec<String> =
        (1..=300).map(|slot| format!("large.{slot} failed exit=1")).collect();
    ends.push("small.1 failed exit=137".into());
    let delta = teller.world.tell(&ends.join(" | "));
    let settled = teller.settle(delta, SMALL_ROOM);
    let settled = teller.settle(settled.left, SMALL_ROOM);
    assert_eq!(placed(&teller, "small"), 2, "the one that failed, and its successor");
    assert!(tasks(&teller, "large") < 320, "most of the others wait");
    let mut settled = settled;
    while !settled.left.is_empty() {
        settled = teller.settle(settled.left, SMALL_ROOM);
    }
    assert_eq!(tasks(&teller, "large"), 600);
    assert_eq!(teller.left_undone(), []);
}

#[test]
fn a_large_service_is_scaled_down_from_the_top_where_tasks_have_no_node() {
    let mut teller = Teller::new(Brain::new());
    teller.tell("given node n1 cpus=2 | service large replicas=1000 cpus=1 | service small");
    teller.tell("given run");
    // The two that run stay, wherever they are.
    let delta = teller.world.tell("scale large 3");
    let settled = teller.settle(delta, 100);
    to_the_end(&mut teller, settled, 100);
    let large = teller.world.service("large");
    let kept = teller.world.view.tasks_of(large).filter(|(_, task)| task.is_wanted());
    let kept: Vec<(u32, bool)> =
        kept.map(|(_, task)| (task.slot, task.state == TaskState::Running)).collect();
    assert_eq!(kept, [(1, true), (2, true), (3, false)]);
}

#[test]
fn a_removed_service_without_a_node_leaves_the_view_as_it_is_given_up() {
    let mut teller = Teller::new(Brain::new());
    teller.tell("given node n1 | service large replicas=1000 constraint=node.labels.disk==ssd");
    let delta = teller.world.tell("remove large");
    let settled = teller.settle(delta, 100);
    assert!(tasks(&teller, "large") < 1000, "history has its share too");
    let entries = to_the_end(&mut teller, settled, 100);
    assert_eq!(teller.world.view.tasks().len(), 0);
    assert!(entries <= 21, "two records for each task: {entries} entries");
}

#[test]
fn small_services_come_before_large_ones_in_one_plan() {
    let (few, room) = (200, 1_600);
    let mut teller = Teller::new(Brain::new());
    let delta = teller
        .world
        .tell(&format!("node n1 | service large replicas={room} | service small replicas={few}"));
    let settled = teller.settle(delta, room);
    assert_eq!((tasks(&teller, "small"), placed(&teller, "small")), (few, few));
    assert!(tasks(&teller, "large") > 0 && placed(&teller, "large") > 0);
    to_the_end(&mut teller, settled, room);
    assert_eq!(placed(&teller, "large"), room);
}

#[test]
fn nothing_is_left_of_a_change_that_nobody_answers() {
    let mut teller = Teller::new(Brain::new());
    let delta = teller.world.tell("node n1");
    assert_eq!(teller.settle(delta, SMALL_ROOM).left, Delta::default());
}
