//! Services with more tasks than an entry holds: the others do not wait for them.

use crate::telling::Teller;
use skep_projections::Delta;
use skep_proto::v1::TaskState;
use skep_reconcilers::{Brain, Settled, plan::SERVED_FIRST_TASKS_MAX};

/// Records of an entry in these stories.
const SMALL_ROOM: usize = 10;

fn placed(teller: &Teller, service: &str) -> usize {
    let index = teller.world.service(service);
    teller.world.view.tasks_of(index).filter(|(_, task)| task.node.is_some()).count()
}

fn tasks(teller: &Teller, service: &str) -> usize {
    teller.world.view.tasks_of(teller.world.service(service)).count()
}

/// Entries until nothing is left, with what was decided before.
fn to_the_end(teller: &mut Teller, first: Settled, room: usize) -> usize {
    let (mut settled, mut entries) = (first, 1);
    while !settled.left.is_empty() {
        assert_eq!(settled.records.len(), room, "a turn is cut only when its entry is full");
        settled = teller.settle(settled.left, room);
        entries += 1;
    }
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
        assert!(!settled.left.is_empty() && tasks(&teller, "large") < 20, "{large}");
        // One that is created meanwhile.
        let mut left = settled.left;
        left.add(&teller.world.tell("service later"));
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
    left.add(&teller.world.tell("small.1 failed exit=137"));
    let settled = teller.settle(left, SMALL_ROOM);
    let settled = teller.settle(settled.left, SMALL_ROOM);
    assert_eq!(placed(&teller, "small"), 2, "the one that failed, and its successor");
    to_the_end(&mut teller, settled, SMALL_ROOM);
    let large = teller.world.service("large");
    let wanted = teller.world.view.tasks_of(large).filter(|(_, task)| task.is_wanted()).count();
    assert_eq!(wanted, 0);
    assert!(teller.world.view.tasks_of(large).all(|(_, task)| task.desired == TaskState::Remove));
}

#[test]
fn small_services_come_before_large_ones_in_one_plan() {
    let most = skep_reconcilers::plan::PLAN_DECISIONS_MAX;
    let few = SERVED_FIRST_TASKS_MAX;
    let mut teller = Teller::new(Brain::new());
    let delta = teller
        .world
        .tell(&format!("node n1 | service large replicas={most} | service small replicas={few}"));
    let settled = teller.settle(delta, most);
    assert_eq!((tasks(&teller, "small"), placed(&teller, "small")), (few, few));
    assert!(tasks(&teller, "large") > 0 && placed(&teller, "large") > 0);
    to_the_end(&mut teller, settled, most);
}

#[test]
fn a_reconciler_that_is_up_to_date_is_shown_nothing_again() {
    for large in [
        "service large replicas=2000",
        "service large replicas=2000 constraint=node.labels.disk==ssd",
    ] {
        let mut teller = Teller::new(Brain::new());
        let delta = teller.world.tell(&format!("node n1 | {large}"));
        let mut settled = teller.settle(delta, 100);
        let mut entries = 1;
        while !settled.left.is_empty() {
            // Each of the seven is shown at most what one entry created.
            let shown = settled.left.tasks_to_show();
            assert!(shown <= 7 * 100, "{large}: {shown} tasks after {entries} entries");
            settled = teller.settle(settled.left, 100);
            entries += 1;
        }
        assert!(entries >= 20, "{large}");
    }
}

#[test]
fn what_a_new_leader_finds_is_left_to_those_who_found_it() {
    let mut teller = Teller::new(Brain::new());
    let delta =
        teller.world.tell("node n1 | service large replicas=1000 constraint=node.labels.disk==ssd");
    let settled = teller.settle(delta, 500);
    assert!(!settled.left.is_empty());
    let found = teller.brain.resume(&teller.world.view);
    let waiting = teller.world.view.pending().count();
    assert_eq!(found.tasks_to_show(), waiting, "only placement has a reason to look at them");
    let settled = teller.settle(found, 100);
    let shown = settled.left.tasks_to_show();
    assert!(shown <= 7 * 100, "{shown}");
    to_the_end(&mut teller, settled, 100);
    assert_eq!(teller.world.view.pending().count(), 1000);
    assert!(teller.settle(Delta::default(), 100).records.is_empty());
}
