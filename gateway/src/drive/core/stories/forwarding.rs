//! A manager that does not lead has the leader decide, and answers when it sees what that rests on.

use super::super::world::{DriveWorld, LEADING, check};

/// One that follows a leader that has begun; both have the same history.
fn pair() -> (DriveWorld, DriveWorld) {
    let (mut leader, mut follower) = (DriveWorld::new(), DriveWorld::new());
    leader.play(LEADING);
    follower.play("follow");
    assert_eq!(follower.catch_up(&leader), "show 3");
    (leader, follower)
}

#[test]
fn a_request_goes_to_the_leader_and_is_answered_when_its_record_is_visible_here() {
    let (mut leader, mut follower) = pair();
    follower.play("a: create web -> forward a");
    leader.play(
        "forwarded a: create web
         turn -> p2 service_created task_created placement_blocked
         commit -> show 6, a=done 4",
    );
    follower.play("answer 6");
    assert_eq!(follower.catch_up(&leader), "show 6, a=done 6");
    follower.play("next -> never");
}

#[test]
fn an_answer_that_rests_on_what_is_visible_is_given_at_once() {
    let (_, mut follower) = pair();
    follower.play(
        "a: create web -> forward a
         answer 3 -> a=done 3",
    );
}

#[test]
fn one_message_is_on_its_way_and_what_comes_meanwhile_is_the_next_one() {
    let (_, mut follower) = pair();
    follower.play(
        "a: create web -> forward a
         b: create db
         s: join n1
         answer 3 -> a=done 3, forward b s
         answer 3 3 -> b=done 3, s=done 3",
    );
}

#[test]
fn what_no_leader_has_taken_is_sent_again_in_its_order() {
    let (_, mut follower) = pair();
    follower.play(
        "a: create web -> forward a
         b: create db
         untaken
         next -> in 50 ms
         later 50 -> forward a b
         answer none 3 -> b=done 3
         later 50 -> forward a
         depose
         untaken
         later 5000 -> a=refused(this manager does not lead)",
    );
}

#[test]
fn what_may_have_been_decided_is_unknown_to_people_and_said_again_for_machines() {
    let (_, mut follower) = pair();
    follower.play(
        "a: create web -> forward a
         s: join n1
         lost -> a=unknown, forward s
         lost
         later 50 -> forward s
         answer 3 -> s=done 3",
    );
}

#[test]
fn a_manager_far_behind_tells_people_and_has_sessions_start_over() {
    let (_, mut follower) = pair();
    follower.play(
        "a: create web -> forward a
         answer 9
         s: join n1 -> forward s
         answer 9
         next -> in 5000 ms
         later 5000 -> a=done 9, s=unknown",
    );
}

#[test]
fn a_manager_that_begins_to_lead_decides_what_waits() {
    let (_, mut follower) = pair();
    follower.play(
        "a: create web -> forward a
         untaken
         lead 2
         turn -> p1 tenure_begun service_created task_created placement_blocked",
    );
}

#[test]
fn what_was_forwarded_goes_back_where_this_manager_does_not_lead() {
    check(
        "forwarded a: create web -> a returned
         follow
         forwarded b: create web -> b returned",
    );
    check(&format!(
        "{LEADING}
         forwarded a: create web
         b: create db
         depose -> a returned
         follow -> forward b"
    ));
}

#[test]
fn what_a_turn_left_over_goes_back_too_where_the_lead_is_lost_meanwhile() {
    check(&format!(
        "{LEADING}
         begin -> no turn
         forwarded a: create web
         begin
         depose
         end -> a=unknown"
    ));
}

#[test]
fn a_manager_that_stops_sends_nothing_more() {
    let (_, mut follower) = pair();
    follower.play(
        "a: create web -> forward a
         b: create db
         stop -> b=refused(the manager is stopping), stopped
         untaken -> a=refused(the manager is stopping), stopped",
    );
}
