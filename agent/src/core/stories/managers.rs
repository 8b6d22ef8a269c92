//! Which manager is dialed, and when.

use super::{super::world::AgentWorld, check};

#[test]
fn what_the_cluster_says_of_its_managers_is_kept() {
    check(
        "attach -> dial, hello 0.0, joined, list
         managers b:1 c:1 as MANAGER 3/9 -> keep b:1 c:1 as MANAGER 3/9
         managers b:1 -> keep b:1
         managers -> keep b:1
         managers as MANAGER 4/9 -> keep b:1 as MANAGER 4/9",
    );
}

#[test]
fn an_older_word_than_the_newest_one_is_not_obeyed() {
    check(
        "attach -> dial, hello 0.0, joined, list
         managers @7 b:1 as MANAGER 3/9 -> keep b:1 as MANAGER 3/9
         managers @6 c:1 -> -
         managers @7 b:1 c:1 as MANAGER 3/9 -> keep b:1 c:1 as MANAGER 3/9
         managers @8 c:1 -> keep c:1",
    );
}

#[test]
fn nobody_else_is_believed_about_managers() {
    check(
        "managers b:1 -> -
         join -> dial
         connected -> hello 0.0
         managers b:1 -> -
         welcome -> joined, list
         break -> -
         managers b:1 -> -",
    );
}

/// The waits: between half and all of 100 ms before another manager of the round, and twice as
/// long after each round.
#[test]
fn each_manager_is_tried_once_before_any_wait_grows() {
    check(
        "follow a:1 b:1 c:1 -> -
         join -> dial b:1
         break -> -
         later 48 -> -
         later 51 -> dial c:1
         break -> -
         later 48 -> -
         later 51 -> dial
         break -> -
         later 48 -> -
         later 51 -> dial c:1
         break -> -
         later 99 -> dial
         break -> -
         later 99 -> dial b:1
         break -> -
         later 98 -> -
         later 101 -> dial",
    );
}

#[test]
fn the_one_that_worked_last_begins_each_round() {
    check(
        "follow a:1 b:1 c:1 d:1 -> -
         join -> dial b:1
         break -> -
         later 100 -> dial c:1
         connected -> hello 0.0
         welcome -> joined, list
         later 5000 -> beat
         later 5000 -> beat
         break -> -
         later 100 -> dial b:1
         break -> -
         later 100 -> dial d:1
         break -> -
         later 100 -> dial
         break -> -
         later 100 -> dial c:1
         break -> -
         later 100 -> dial
         break -> -
         later 100 -> dial b:1
         break -> -
         later 100 -> dial d:1
         break -> -
         later 200 -> dial c:1",
    );
}

/// A manager that welcomes agents and loses them before their first beat works for nobody.
#[test]
fn a_welcome_alone_makes_no_wait_short() {
    let mut world = AgentWorld::new();
    world.act("follow a:1 b:1");
    world.act("join");
    let mut waits = Vec::new();
    for _ in 0..8 {
        world.act("connected");
        world.act("welcome");
        world.act("managers b:1");
        world.act("break");
        waits.push((1..).find(|_| world.act("later 10").starts_with("dial")).expect("it dials"));
    }
    assert!(waits[7] > 4 * waits[0], "{waits:?}");
}

#[test]
fn a_manager_that_ends_the_session_is_left_for_another() {
    for (end, hears) in [
        ("turned RETRY", "hang-up"),
        ("turned STOPPING", "hang-up"),
        ("turned OTHER_HISTORY", "hang-up"),
        ("break", "-"),
        ("untrusted another cluster", "-"),
    ] {
        check(&format!(
            "follow a:1 b:1 -> -
             attach -> dial, hello 0.0, joined, list
             {end} -> {hears}
             later 100 -> dial b:1"
        ));
    }
    check(
        "follow a:1 b:1 -> -
         join -> dial
         connected -> hello 0.0
         later 9990 -> -
         later 10 -> hang-up
         later 100 -> dial b:1
         later 9990 -> -
         later 10 -> hang-up
         later 100 -> dial",
    );
}

/// Another manager would say the same, or the same manager is as good as before.
#[test]
fn what_is_not_the_managers_fault_is_told_to_the_same_one_again() {
    for (what, wait) in [("turned CLAIMED", 100), ("turned SUPERSEDED", 100), ("bigger", 100)] {
        check(&format!(
            "follow a:1 b:1 c:1 -> -
             attach -> dial b:1, hello 0.0, joined, list
             {what} -> hang-up
             later {wait} -> dial b:1"
        ));
    }
    check(
        "follow a:1 b:1 c:1 -> -
         attach -> dial b:1, hello 0.0, joined, list
         turned CLAIMED -> hang-up
         later 100 -> dial b:1
         connected -> hello 0.0
         turned CLAIMED -> hang-up
         later 99 -> -
         later 101 -> dial b:1",
    );
}

#[test]
fn the_agent_of_a_manager_tries_its_own_socket_first() {
    check(
        "follow own b:1 =m:1 c:1 -> -
         join -> dial
         connected -> hello 0.0
         welcome -> joined, list
         later 5000 -> beat
         break -> -
         later 100 -> dial b:1
         connected -> hello 0.0
         welcome -> -
         later 5000 -> beat
         break -> -
         later 100 -> dial
         break -> -
         later 100 -> dial c:1
         break -> -
         later 100 -> dial
         break -> -
         later 100 -> dial b:1
         break -> -
         later 100 -> dial c:1
         break -> -
         later 200 -> dial",
    );
}

#[test]
fn one_address_is_one_candidate() {
    check(
        "follow a:1 a:1 b:1 -> -
         attach -> dial, hello 0.0, joined, list
         break -> -
         later 100 -> dial b:1
         break -> -
         later 100 -> dial",
    );
}

#[test]
fn a_node_joins_at_the_endpoint_that_it_was_started_with() {
    check(
        "follow a:1 b:1 c:1 -> -
         uncertified token -> -
         join -> dial
         break -> -
         later 100 -> dial
         connected -> ask to join with token
         turned RETRY -> hang-up
         later 200 -> dial
         connected -> ask to join with token
         certified -> certified, dial
         break -> -
         later 400 -> dial c:1",
    );
}

#[test]
fn a_managers_own_agent_joins_again_at_its_own_socket() {
    check(
        "follow own b:1 -> -
         attach -> dial, hello 0.0, joined, list
         own -> -
         break -> -
         later 100 -> dial b:1
         connected -> hello 0.0
         turned WRONG_KEY -> hang-up
         later 100 -> dial
         connected -> ask to join
         turned RETRY -> hang-up
         later 200 -> dial",
    );
}

#[test]
fn a_new_list_holds_for_the_next_dial() {
    check(
        "follow a:1 b:1 c:1 -> -
         join -> dial b:1
         connected -> hello 0.0
         welcome -> joined, list
         managers d:1 -> keep d:1
         break -> -
         later 100 -> dial d:1
         break -> -
         later 100 -> dial
         break -> -
         later 100 -> dial d:1",
    );
}

#[test]
fn a_list_that_names_the_same_managers_brings_none_of_them_back_into_the_round() {
    check(
        "follow a:1 b:1 c:1 -> -
         join -> dial b:1
         break -> -
         later 100 -> dial c:1
         connected -> hello 0.0
         welcome -> joined, list
         managers b:1 c:1 d:1 -> keep b:1 c:1 d:1
         break -> -
         later 100 -> dial
         break -> -
         later 100 -> dial d:1
         break -> -
         later 100 -> dial b:1",
    );
}
