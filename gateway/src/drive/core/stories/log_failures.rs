//! What happens when the log gives up an entry, or stops working.

use super::super::world::{DriveWorld, LEADING, check};
use skep_log::chain::Hash;
use skep_projections::snapshot;

#[test]
fn after_a_failed_proposal_the_tip_is_thrown_away_and_the_next_tenure_begins_on_what_is_committed()
{
    check(&format!(
        "{LEADING}
         a: create web
         turn -> p2 service_created task_created placement_blocked
         fail -> a=unknown
         turn -> no turn
         next -> in 250 ms
         later 250
         b: create web
         turn -> p3 tenure_begun service_created task_created placement_blocked
         commit -> show 7, b=done 5"
    ));
}

#[test]
fn the_tip_is_kept_until_the_log_has_spoken_of_everything_in_flight() {
    check(&format!(
        "{LEADING}
         a: create web
         turn -> p2 service_created task_created placement_blocked
         b: create db
         turn -> p3 service_created task_created placement_blocked
         fail
         c: create third
         turn -> no turn
         later 1000
         turn -> no turn
         fail -> a=unknown, b=unknown
         later 250
         turn -> p4 tenure_begun service_created task_created placement_blocked
         commit -> show 7, c=done 5"
    ));
}

#[test]
fn an_entry_that_failed_and_is_committed_after_all_is_answered() {
    check(&format!(
        "{LEADING}
         a: create web
         turn -> p2 service_created task_created placement_blocked
         b: create db
         turn -> p3 service_created task_created placement_blocked
         fail
         commit 2 -> show 6, a=done 4
         fail 3 -> b=unknown"
    ));
}

#[test]
fn an_entry_that_was_given_up_and_is_committed_later_is_taken_and_closes_the_tip() {
    check(&format!(
        "{LEADING}
         a: create web
         turn -> p2 service_created task_created placement_blocked
         fail -> a=unknown
         later 250
         turn -> p3 tenure_begun
         commit 2 -> show 6
         b: create db
         turn -> no turn
         fail 3
         later 250
         turn -> p4 tenure_begun service_created task_created placement_blocked"
    ));
}

#[test]
fn a_turn_that_ends_after_its_tenure_is_not_proposed() {
    check(&format!(
        "{LEADING}
         a: create web
         begin
         depose
         end -> a=unknown
         lead 2
         turn -> p2 tenure_begun"
    ));
}

#[test]
fn a_turn_whose_tip_failed_meanwhile_is_not_proposed() {
    check(&format!(
        "{LEADING}
         a: create web
         turn -> p2 service_created task_created placement_blocked
         b: create db
         begin
         fail
         end -> b=unknown, a=unknown"
    ));
}

#[test]
fn a_deposed_leader_waits_for_what_is_in_flight_before_it_leads_again() {
    check(&format!(
        "{LEADING}
         a: create web
         turn -> p2 service_created task_created placement_blocked
         depose
         lead 2
         turn -> no turn
         commit -> show 6, a=done 4
         turn -> p3 tenure_begun"
    ));
}

#[test]
fn an_entry_of_another_manager_closes_the_tip() {
    let mut other = DriveWorld::new();
    other.play(&format!(
        "{LEADING}a: create web\nturn -> p2 service_created task_created placement_blocked"
    ));
    let mut world = DriveWorld::new();
    world.play(LEADING);
    world.core.handle_committed(&other.proposed(2)).expect("it is taken");
    world.play(
        "announce -> show 6
         a: create db
         turn -> no turn
         later 250
         turn -> p2 tenure_begun service_created task_created placement_blocked",
    );
}

#[test]
fn a_log_that_hangs_leaves_people_with_the_outcome_unknown_after_ten_seconds() {
    check(&format!(
        "{LEADING}
         a: create web
         s: join n1
         turn -> p2 service_created node_joined certificate_issued task_created placement_blocked
         next -> in 2500 ms
         later 9999
         later 1 -> a=unknown
         turn -> no turn
         commit -> show 8, s=done 5"
    ));
}

#[test]
fn a_restored_fold_names_the_head_that_the_next_entry_must_name() {
    let mut world = DriveWorld::new();
    world.play(LEADING);
    let view = world.core.committed().clone();
    let head = Hash([7; 32]);
    let mut restarted = DriveWorld::new();
    restarted.core.handle_restored(head, &snapshot::encode(&view)).unwrap();
    restarted.play(
        "lead 2
         turn -> p1 tenure_begun",
    );
    assert_eq!(restarted.proposed(1).parent(), head);
    assert_eq!(restarted.proposed(1).first(), view.position().revision.next());
}
