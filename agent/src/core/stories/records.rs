//! Stories about what is written down, what survives a restart, and what is sent in which session.

use super::super::world::{AgentWorld, check, id_of};
use crate::core::{AgentOutput, Input, memory::TaskStanding};
use skep_proto::v1::{NodeDescription, TaskState};

fn after(lines: &[&str]) -> AgentWorld {
    let mut world = AgentWorld::new();
    for line in ["attach", "listed"].iter().chain(lines) {
        world.act(line);
    }
    world
}

#[test]
fn what_is_wanted_of_a_task_is_remembered_until_nothing_is_left_of_it() {
    let mut world = after(&["set 1.5 a=READY", "change 1.5>6 a=RUNNING"]);
    let kept = &world.memory.tasks[&id_of('a')];
    assert_eq!((kept.desired, kept.standing), (TaskState::Running, TaskStanding::Wanted));
    world.act("change 1.6>7 a-");
    assert_eq!(world.memory.tasks[&id_of('a')].standing, TaskStanding::Dropped);
    world.act("stopped a");
    world.act("removed a");
    assert!(world.memory.tasks.is_empty());
}

#[test]
fn each_request_has_a_ticket_of_its_own() {
    let mut world = AgentWorld::new();
    let asked = ["attach", "listed", "set 1.5 a=RUNNING b=RUNNING"].map(|line| world.act(line));
    assert!(asked[2].starts_with("prepare a, prepare b"));
    let tickets: std::collections::BTreeSet<u64> = world.tickets().collect();
    assert_eq!(tickets.len(), 2);
}

#[test]
fn the_core_says_who_it_is_what_it_runs_and_when_it_wants_to_be_asked() {
    let mut world = AgentWorld::new();
    assert!(!world.core.is_attached());
    assert_eq!(world.core.poll_timeout(), None, "nobody has said what this node is");
    for line in ["attach", "listed", "set 1.5 {web} a=RUNNING{web}"] {
        world.act(line);
    }
    assert!(world.core.is_attached());
    assert!(world.core.task_name(id_of('a')).is_some_and(|name| name.starts_with("web")));
    assert_eq!(world.core.task_name(id_of('b')), None);
    assert!(world.core.has_to_report(id_of('a')) && !world.core.has_to_report(id_of('b')));
    assert!(world.core.poll_timeout().is_some(), "it beats");
    world.act("break");
    assert!(!world.core.is_attached());
    assert!(world.core.poll_timeout().is_some(), "it dials again");
}

#[test]
fn nothing_is_reported_while_there_is_no_session_however_it_ended() {
    let ends = [
        "break -> -",
        "bigger -> hang-up",
        "change 1.7>9 b=READY -> hang-up",
        "turned RETRY -> hang-up",
    ];
    for end in ends {
        check(&format!(
            "attach -> dial, hello 0.0, joined, list
             listed -> -
             set 1.5 a=RUNNING -> prepare a, report a=PREPARING
             ack -> -
             {end}
             prepared a -> start a"
        ));
    }
}

#[test]
fn what_was_only_assigned_or_was_dropped_is_not_reported_after_a_restart() {
    check(
        "attach -> dial, hello 0.0, joined, list
         set 1.5 a=RUNNING -> -
         restart -> list
         attach -> dial, hello 1.5
         listed -> prepare a, report a=PREPARING
         set 1.6 -> stop a
         restart -> list
         attach -> dial, hello 1.6",
    );
}

#[test]
fn what_nobody_claims_is_cleared_away_whenever_the_cluster_has_spoken() {
    // The cluster speaks before the runtime.
    check(
        "attach -> dial, hello 0.0, joined, list
         set 1.5 a=READY -> -
         listed x:running -> prepare a, stop x, report a=PREPARING",
    );
    // It says again what was known before a restart.
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.5 -> -
         restart -> list
         listed x:running -> -
         attach -> dial, hello 1.5
         set 1.4 -> -
         set 1.5 -> stop x",
    );
    // It removes the node.
    check(
        "attach -> dial, hello 0.0, joined, list
         listed x:running -> -
         turned NODE_REMOVED -> stop x, hang-up",
    );
}

#[test]
fn a_new_history_is_obeyed_in_what_it_names() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.50 a=RUNNING b=RUNNING -> prepare a, prepare b, report a=PREPARING b=PREPARING
         ack -> -
         set 2.30 b=SHUTDOWN -> stop b, report a=PREPARING b=PREPARING
         change 2.30>31 a=RUNNING -> -
         set 2.40 b=SHUTDOWN -> stop a",
    );
}

#[test]
fn the_first_set_counts_even_at_the_beginning_of_a_history() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 0.0 a=RUNNING -> prepare a, report a=PREPARING",
    );
}

#[test]
fn a_service_must_be_described_again_on_a_new_stream() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.5 {web} a=RUNNING{web} -> prepare a, report a=PREPARING
         break -> -
         attach -> dial, hello 1.5, report a=PREPARING
         change 1.5>6 b=RUNNING{web} -> hang-up",
    );
}

#[test]
fn removals_count_in_every_part() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.5 a=RUNNING b=RUNNING -> prepare a, prepare b, report a=PREPARING b=PREPARING
         change 1.5>6 part:0+ a- -> part 0 taken
         change 1.5>6 part:1 b- -> stop a, stop b",
    );
}

#[test]
fn one_that_does_not_get_healthy_is_stopped_and_has_failed() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.5 a=RUNNING -> prepare a, report a=PREPARING
         prepared a -> start a
         started a -> await-end a, await-ready a
         ready a failed -> stop a
         ack -> report a=STARTING
         ack -> -
         stopped a -> -
         ended a ASKED -> report a=FAILED(it will not)",
    );
}

#[test]
fn health_that_comes_after_the_stop_was_asked_for_changes_nothing() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.5 a=RUNNING -> prepare a, report a=PREPARING
         prepared a -> start a
         started a -> await-end a, await-ready a
         ack -> report a=STARTING
         ack -> -
         change 1.5>6 a=SHUTDOWN -> stop a
         ready a -> -
         stopped a -> -
         ended a ASKED -> report a=SHUTDOWN",
    );
}

#[test]
fn a_description_is_written_down_when_it_is_another_one() {
    let mut world = AgentWorld::new();
    let mut written = |addr: &str| {
        let description = NodeDescription { addr: addr.into(), ..NodeDescription::default() };
        world.input(Input::Described(Box::new(description)));
        let outputs = std::iter::from_fn(|| world.core.poll_output());
        let mut count = 0;
        for output in outputs {
            if let AgentOutput::Write(notes) = output {
                notes.iter().for_each(|note| world.memory.apply(note));
                count += notes.len();
            }
        }
        let addr = world.memory.description.as_ref().map(|d| d.addr.clone());
        (count, addr.unwrap_or_default())
    };
    assert_eq!(written("here"), (1, "here".to_owned()));
    assert_eq!(written("here"), (0, "here".to_owned()));
    assert_eq!(written("there"), (1, "there".to_owned()));
}
