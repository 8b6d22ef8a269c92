//! Stories about the core: what happens, and what it does then.

mod conditions;
mod joins;
mod leaving;
mod lineage;
mod managers;
mod parts;
mod records;

use super::world::check;

#[test]
fn a_task_goes_through_its_life() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.5 a=RUNNING -> prepare a, report a=PREPARING
         prepared a -> start a
         ack -> report a=STARTING
         started a -> await-end a, await-ready a
         ready a -> -
         ack -> report a=RUNNING
         ack -> -
         ended a 0 -> report a=COMPLETE
         ack -> -
         change 1.5>6 a- -> remove a
         removed a -> -",
    );
}

#[test]
fn what_the_cluster_says_about_a_new_node_is_shown_when_it_joins() {
    check(
        "join -> dial
         connected -> hello 0.0
         welcome the name is taken -> joined, warn the name is taken, list",
    );
}

#[test]
fn what_the_cluster_says_about_a_node_that_comes_back_is_shown_once() {
    check(
        "attach -> dial, hello 0.0, joined, list
         break -> -
         later 1000 -> dial
         connected -> hello 0.0
         welcome it has another name -> warn it has another name
         break -> -
         later 1000 -> dial
         connected -> hello 0.0
         welcome it has another name -> -",
    );
}

#[test]
fn a_connection_is_greeted_over_once() {
    check(
        "join -> dial
         connected -> hello 0.0
         connected -> -
         welcome the name is taken -> joined, warn the name is taken, list
         connected -> -",
    );
}

#[test]
fn a_prepared_task_waits_until_it_is_wanted_running() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.5 a=READY -> prepare a, report a=PREPARING
         ack -> -
         prepared a -> report a=READY
         ack -> -
         later 60000 -> beat
         change 1.5>9 a=RUNNING -> start a, report a=STARTING",
    );
}

#[test]
fn how_it_ended_is_told_as_what_it_was() {
    for (how, told) in [
        ("0", "a=COMPLETE"),
        ("3", "a=FAILED(exit code 3)"),
        ("KILLED_OUTSIDE", "a=FAILED(killed by somebody else on the node)"),
        ("ENGINE_STOPPED", "a=FAILED(the container engine stopped, and its containers with it)"),
        ("UNHEALTHY", "a=FAILED(its health check failed too often in a row)"),
        ("ITSELF", "a=FAILED(killed by signal 9)"),
        ("gone", "a=FAILED(removed by somebody else on the node)"),
    ] {
        check(&format!(
            "attach -> dial, hello 0.0, joined, list
             listed -> -
             set 1.5 a=RUNNING -> prepare a, report a=PREPARING
             prepared a -> start a
             started a -> await-end a, await-ready a
             ready a -> -
             ack -> report a=RUNNING
             ack -> -
             ended a {how} -> report {told}"
        ));
    }
}

#[test]
fn what_cannot_run_here_is_rejected_and_what_does_not_start_has_failed() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.5 a=RUNNING b=RUNNING -> prepare a, prepare b, report a=PREPARING b=PREPARING
         prepared a rejected -> -
         prepared b -> start b
         started b failed -> -
         ack -> report a=REJECTED(no such image) b=FAILED(it will not)",
    );
}

#[test]
fn an_engine_that_is_away_is_asked_again_and_again_and_said_to_be_away_once() {
    check(
        "attach -> dial, hello 0.0, joined, list
         list-fails -> conditions [TASKS_UNLISTED: no engine]
         set 1.5 a=RUNNING -> -
         later 600 -> list
         listed -> prepare a, conditions [], report a=PREPARING
         ack -> -
         prepared a unreachable -> report a=PREPARING(preparing, trying again: no engine)
         ack -> -
         later 600 -> prepare a
         prepared a unreachable -> -
         later 600 -> -
         later 600 -> prepare a
         prepared a -> start a, report a=STARTING",
    );
}

#[test]
fn a_running_task_is_stopped_when_that_is_desired() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.5 a=RUNNING -> prepare a, report a=PREPARING
         prepared a -> start a
         started a -> await-end a, await-ready a
         ready a -> -
         ack -> report a=RUNNING
         ack -> -
         change 1.5>6 a=SHUTDOWN -> stop a
         ended a ASKED -> report a=SHUTDOWN
         stopped a -> -",
    );
}

#[test]
fn a_stop_is_told_when_both_stop_and_end_have_been_seen() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.5 a=RUNNING -> prepare a, report a=PREPARING
         prepared a -> start a
         started a -> await-end a, await-ready a
         change 1.5>6 a=SHUTDOWN -> stop a
         ack -> report a=STARTING
         ack -> -
         stopped a unreachable -> report a=STARTING(stopping, trying again: no engine)
         ack -> -
         later 600 -> stop a
         stopped a -> -
         ended a ASKED -> report a=SHUTDOWN",
    );
}

#[test]
fn what_was_never_begun_is_shut_down_without_a_word_to_the_runtime() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.5 a=SHUTDOWN -> report a=SHUTDOWN",
    );
}

#[test]
fn a_start_that_is_overtaken_by_a_stop_changes_nothing_when_it_is_answered() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.5 a=RUNNING -> prepare a, report a=PREPARING
         prepared a -> start a
         change 1.5>6 a=SHUTDOWN -> stop a
         late start a -> -
         stopped a -> -
         ack -> report a=SHUTDOWN",
    );
}

#[test]
fn a_task_that_is_nobodys_business_any_more_is_stopped_removed_and_not_reported() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.5 a=RUNNING b=RUNNING -> prepare a, prepare b, report a=PREPARING b=PREPARING
         prepared a -> start a
         started a -> await-end a, await-ready a
         ready a -> -
         set 1.6 b=RUNNING -> stop a
         ack -> -
         ended a ASKED -> remove a
         removed a unreachable -> -
         later 600 -> remove a
         removed a -> -",
    );
}

#[test]
fn the_same_stream_twice_changes_nothing() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.5 a=RUNNING -> prepare a, report a=PREPARING
         change 1.5>6 b=RUNNING -> prepare b
         change 1.6>7 a=SHUTDOWN -> stop a
         set 1.5 a=RUNNING -> -
         change 1.5>6 b=RUNNING -> -
         change 1.6>7 a=SHUTDOWN -> -",
    );
}

#[test]
fn a_position_that_goes_back_changes_nothing_and_one_that_skips_starts_the_session_again() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 3.9 a=RUNNING -> prepare a, report a=PREPARING
         set 3.4 b=RUNNING -> -
         set 2.90 b=RUNNING -> -
         change 3.11>12 b=RUNNING -> hang-up
         attach -> dial, hello 3.9, report a=PREPARING
         change 3.9>12 b=RUNNING -> prepare b",
    );
}

#[test]
fn desired_state_never_goes_down() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.5 a=RUNNING -> prepare a, report a=PREPARING
         change 1.5>6 a=READY -> -
         prepared a -> start a",
    );
}

#[test]
fn after_a_restart_everything_is_found_again_and_told_again() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.5 a=RUNNING b=RUNNING c=READY -> prepare a, prepare b, prepare c, report a=PREPARING b=PREPARING c=PREPARING
         prepared a -> start a
         started a -> await-end a, await-ready a
         ready a -> -
         prepared b -> start b
         started b -> await-end b, await-ready b
         restart -> list
         listed a:running b:ended:3 c:created -> await-end a
         attach -> dial, hello 1.5, report a=RUNNING b=FAILED(exit code 3) c=READY
         ack -> -
         change 1.5>6 c=RUNNING -> start c, report c=STARTING",
    );
}

#[test]
fn a_container_that_vanished_while_nobody_looked_has_failed() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.5 a=RUNNING -> prepare a, report a=PREPARING
         prepared a -> start a
         started a -> await-end a, await-ready a
         ready a -> -
         restart -> list
         listed -> -
         attach -> dial, hello 1.5, report a=FAILED(what was started is not there any more: removed by somebody else on the node)",
    );
}

#[test]
fn an_agent_that_forgot_does_not_report_below_what_is_recorded_and_starts_nothing_twice() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed a:running b:ended:0 -> -
         set 1.5 a=RUNNING[RUNNING] b=RUNNING[STARTING] c=RUNNING[COMPLETE] -> await-end a, report b=COMPLETE
         ack -> -",
    );
}

#[test]
fn what_still_runs_of_a_task_that_is_over_for_the_cluster_is_stopped_before_it_is_removed() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed a:running b:ended:0 -> -
         set 1.5 a=SHUTDOWN[REJECTED] b=SHUTDOWN[COMPLETE] -> stop a
         stopped a -> -
         change 1.5>6 a- b- -> remove a, remove b",
    );
    check(
        "attach -> dial, hello 0.0, joined, list
         listed a:running -> -
         set 1.5 a=SHUTDOWN[REJECTED] -> stop a
         change 1.5>6 a- -> -
         stopped a -> remove a",
    );
}

#[test]
fn what_the_cluster_does_not_name_is_cleared_away_but_only_once_it_has_spoken() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed x:running -> -
         later 1000 -> -
         set 1.5 a=READY -> prepare a, stop x, report a=PREPARING
         stopped x -> remove x
         removed x -> -",
    );
}

#[test]
fn a_manager_that_is_away_stops_nothing_and_hears_the_end_when_it_is_back() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.5 a=RUNNING -> prepare a, report a=PREPARING
         break -> -
         prepared a -> start a
         started a -> await-end a, await-ready a
         ready a -> -
         ended a 3 -> -
         attach -> dial, hello 1.5, report a=FAILED(exit code 3)
         break -> -
         attach -> dial, hello 1.5, report a=FAILED(exit code 3)
         ack -> -
         break -> -
         attach -> dial, hello 1.5",
    );
}

#[test]
fn a_new_history_stops_nothing_by_its_silence() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.50 a=RUNNING b=RUNNING -> prepare a, prepare b, report a=PREPARING b=PREPARING
         ack -> -
         prepared a -> start a, report a=STARTING
         started a -> await-end a, await-ready a
         ready a -> -
         ack -> report a=RUNNING
         ack -> -
         set 2.30 b=RUNNING -> report a=RUNNING b=PREPARING
         ack -> -
         set 2.31 b=RUNNING -> -
         change 2.31>32 a=SHUTDOWN -> stop a
         ended a ASKED -> report a=SHUTDOWN",
    );
}

#[test]
fn what_a_new_history_does_not_know_goes_when_it_says_so() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.50 a=READY -> prepare a, report a=PREPARING
         prepared a -> -
         restart -> list
         listed a:created -> -
         attach -> dial, hello 1.50, report a=READY
         change 2.30>31 b=RUNNING -> hang-up
         attach -> dial, hello 1.50, report a=READY
         set 2.31 -> -
         change 2.31>33 a- -> stop a
         stopped a -> remove a
         removed a -> -",
    );
}

#[test]
fn a_removed_node_clears_everything_away_before_it_ends() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.5 a=RUNNING -> prepare a, report a=PREPARING
         turned NODE_REMOVED -> stop a, hang-up
         stopped a -> remove a
         removed a -> halt NodeRemoved
         later 60000 -> -",
    );
}

#[test]
fn a_node_that_was_removed_while_it_was_away_clears_up_too_but_only_for_its_own_cluster() {
    let before = "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.5 a=RUNNING -> prepare a, report a=PREPARING
         prepared a -> start a
         break -> -
         later 8000 -> dial
         connected -> hello 1.5";
    check(&format!(
        "{before}
         turned NODE_REMOVED -> stop a, hang-up
         stopped a -> remove a
         removed a -> halt NodeRemoved"
    ));
    check(&format!("{before}\n turned NODE_REMOVED elsewhere -> hang-up, halt Elsewhere"));
}

#[test]
fn who_is_not_believed_ends_and_who_is_asked_to_wait_waits() {
    check(
        "join -> dial
         connected -> hello 0.0
         turned CLAIMED -> hang-up
         later 100 -> dial
         connected -> hello 0.0
         turned RETRY -> hang-up
         later 200 -> dial
         connected -> hello 0.0
         welcome -> joined, list
         break -> -
         later 8000 -> dial
         connected -> hello 0.0
         turned WRONG_KEY -> hang-up, halt WrongKey",
    );
    check(
        "attach -> dial, hello 0.0, joined, list
         break -> -
         later 8000 -> dial
         connected -> hello 0.0
         welcome-as-another -> hang-up, halt Elsewhere",
    );
}

#[test]
fn a_manager_that_does_not_answer_is_left() {
    check(
        "join -> dial
         later 10000 -> hang-up
         later 100 -> dial
         connected -> hello 0.0
         later 10000 -> hang-up
         later 200 -> dial
         break -> -
         later 100 -> -
         later 400 -> dial",
    );
}

#[test]
fn beats_come_every_period_and_a_changed_node_begins_a_new_session() {
    check(
        "attach -> dial, hello 0.0, joined, list
         later 4000 -> -
         later 1000 -> beat
         later 4000 -> -
         later 1000 -> beat
         bigger -> hang-up
         later 100 -> dial
         connected -> hello 0.0 at elsewhere",
    );
}

#[test]
fn what_only_its_name_speaks_for_is_taken_for_an_assigned_task_and_never_cleared_away() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed a?:running x?:running y:running -> -
         set 1.5 a=RUNNING[RUNNING] -> await-end a, stop y",
    );
}

#[test]
fn one_that_could_not_be_looked_at_costs_nobody_else_anything_and_is_not_reported_ended() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.5 a=RUNNING b=RUNNING -> prepare a, prepare b, report a=PREPARING b=PREPARING
         prepared a -> start a
         started a -> await-end a, await-ready a
         ready a -> -
         prepared b -> start b
         restart -> list
         listed a:unreadable b:unreadable -> await-end a, start b
         attach -> dial, hello 1.5, report a=RUNNING(it could not be inspected after the agent's start: its shim hangs) b=STARTING(it could not be inspected after the agent's start: its shim hangs)",
    );
}
