//! Stories about engines that are away, and about what is noticed of nodes and tasks.

use super::*;

#[test]
fn a_node_whose_engine_is_away_says_so_at_once_and_when_it_is_back() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         engine no answer -> conditions [ENGINE_UNREACHABLE: no answer]
         engine connection refused -> -
         break -> -
         attach -> dial, hello 0.0 [ENGINE_UNREACHABLE: connection refused]
         engine -> conditions []
         break -> -
         engine no answer -> -
         engine -> -
         attach -> dial, hello 0.0",
    );
}

#[test]
fn a_failed_listing_that_is_heard_of_again_after_a_good_one_says_nothing_new() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         list-failed -> -",
    );
}

#[test]
fn an_agent_that_starts_without_its_engine_is_announced_as_it_was_and_reports_nothing_ended() {
    check(
        "bigger -> dial
         connected -> hello 0.0 at elsewhere
         welcome -> joined, list
         listed -> -
         set 1.5 a=RUNNING -> prepare a, report a=PREPARING
         prepared a -> start a
         started a -> await-end a, await-ready a
         ready a -> -
         ack -> report a=RUNNING
         restart -> list
         engine no answer -> -
         list-fails -> -
         away -> dial
         connected -> hello 1.5 at without [ENGINE_UNREACHABLE: no answer, TASKS_UNLISTED: no engine]
         welcome -> report a=RUNNING
         set 1.6 a=RUNNING -> -
         engine -> conditions [TASKS_UNLISTED: no engine]
         later 600 -> list
         listed a:running -> await-end a, conditions []",
    );
}

#[test]
fn an_agent_that_never_had_an_engine_is_announced_with_what_is_known_without_it() {
    check(
        "engine no answer -> -
         away -> dial
         connected -> hello 0.0 at without [ENGINE_UNREACHABLE: no answer]
         welcome -> joined, list
         away -> -
         engine -> conditions []
         bigger -> hang-up
         away -> -
         later 100 -> dial
         connected -> hello 0.0 at elsewhere",
    );
}

#[test]
fn a_node_that_cannot_pull_says_so_until_it_can() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.5 {web} a=RUNNING{web} -> prepare a, report a=PREPARING
         ack -> -
         prepared a unpulled -> conditions [PULL_FAILING: web:1: no route], report a=REJECTED(cannot pull web:1: no route)
         ack -> -
         later 300000 -> beat, conditions []",
    );
}

#[test]
fn a_failed_pull_is_over_when_no_task_has_the_image_any_more() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.5 {web} a=RUNNING{web} -> prepare a, report a=PREPARING
         ack -> -
         prepared a unpulled -> conditions [PULL_FAILING: web:1: no route], report a=REJECTED(cannot pull web:1: no route)
         ack -> -
         change 1.5>6 a- -> remove a
         removed a -> conditions []",
    );
}

#[test]
fn a_node_whose_own_files_cannot_be_written_says_so_until_they_can() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         disk no space left -> conditions [STATE_UNWRITABLE: no space left]
         disk -> conditions []
         break -> -
         disk no space left -> -
         attach -> dial, hello 0.0 [STATE_UNWRITABLE: no space left]
         disk -> conditions []",
    );
}

#[test]
fn what_is_noticed_about_a_task_is_said_of_it_and_taken_back() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.5 a=RUNNING -> prepare a, report a=PREPARING
         prepared a -> start a
         started a -> await-end a, await-ready a
         ack -> report a=STARTING
         ack -> -
         noticed a its container is paused -> report a=STARTING(its container is paused)
         ack -> -
         ready a -> report a=RUNNING(its container is paused)
         ack -> -
         noticed a its container is paused -> -
         noticed a -> report a=RUNNING
         ack -> -
         ended a 0 -> report a=COMPLETE
         ack -> -
         noticed a its container is paused -> -
         noticed x its container is paused -> -",
    );
}

#[test]
fn a_node_whose_containers_cannot_be_listed_says_so_until_they_can() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         unlisted too slow -> conditions [TASKS_UNLISTED: too slow]
         unlisted -> conditions []",
    );
}

#[test]
fn a_node_whose_engine_starts_nothing_says_so_until_it_does() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         stuck no containerd -> conditions [ENGINE_STUCK: no containerd]
         break -> -
         attach -> dial, hello 0.0 [ENGINE_STUCK: no containerd]
         stuck -> conditions []",
    );
}

#[test]
fn a_failed_pull_is_over_when_another_task_has_got_the_image() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.5 {web} a=RUNNING{web} b=READY{web} -> prepare a, prepare b, report a=PREPARING b=PREPARING
         ack -> -
         prepared a unpulled -> conditions [PULL_FAILING: web:1: no route], report a=REJECTED(cannot pull web:1: no route)
         ack -> -
         prepared b -> conditions [], report b=READY",
    );
}

#[test]
fn a_step_that_is_tried_again_is_said_rather_than_what_was_noticed_before() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.5 a=RUNNING -> prepare a, report a=PREPARING
         prepared a -> start a
         started a -> await-end a, await-ready a
         ack -> report a=STARTING
         ack -> -
         noticed a its container is paused -> report a=STARTING(its container is paused)
         ack -> -
         change 1.5>6 a=SHUTDOWN -> stop a
         stopped a unreachable -> report a=STARTING(stopping, trying again: no engine)",
    );
}
