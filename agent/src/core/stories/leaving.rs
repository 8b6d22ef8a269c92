//! Stories about a node that somebody takes out of its cluster.

use super::super::world::check;

#[test]
fn a_node_that_leaves_clears_everything_away_before_it_ends() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.5 a=RUNNING -> prepare a, report a=PREPARING
         leave -> stop a, hang-up
         stopped a -> remove a
         removed a -> halt Left
         later 60000 -> -",
    );
}

/// A start that remembers tasks of before leaves nothing of them, and nobody is asked.
#[test]
fn a_node_leaves_without_its_manager() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.5 a=RUNNING -> prepare a, report a=PREPARING
         prepared a -> start a
         started a -> await-end a, await-ready a
         restart -> list
         leave -> hang-up
         listed a:running -> stop a
         stopped a -> remove a
         removed a -> halt Left",
    );
}

#[test]
fn a_node_whose_engine_is_gone_leaves_when_it_is_asked_not_to_wait() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.5 a=RUNNING -> prepare a, report a=PREPARING
         leave -> stop a, hang-up
         leave-at-once -> halt Left",
    );
}

#[test]
fn who_has_not_joined_yet_leaves_at_once() {
    check(
        "join -> dial
         leave -> hang-up, halt Left",
    );
}

/// What was dropped here is wanted again by the cluster, which must say so.
#[test]
fn a_node_that_dies_while_it_leaves_asks_for_everything_again() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.5 a=RUNNING -> prepare a, report a=PREPARING
         leave -> stop a, hang-up
         restart -> list
         join -> dial
         connected -> hello 0.0
         welcome -> -
         listed -> stop a
         set 1.5 a=RUNNING -> report a=PREPARING
         stopped a -> -
         ack -> report a=SHUTDOWN",
    );
}
