//! A disk that fills up, and has room again.

use super::super::world::{LEADING, check};

#[test]
fn on_a_nearly_full_disk_additions_are_refused_and_all_else_goes_on() {
    let low = "refused(the disk of the log is nearly full)";
    check(&format!(
        "{LEADING}
         a: create web 2
         turn -> p2 service_created 2xtask_created placement_blocked
         commit -> show 7, a=done 4
         free 4.9
         a: create db -> a={low}
         a: scale web 3 -> a={low}
         a: retry web -> a={low}
         s: join n1
         b: label web
         settle -> s=done, b=done
         c: policy web
         settle -> c=done
         b: scale web 1
         settle -> b=done
         c: remove web
         settle -> c=done
         free 5
         d: create db
         settle -> d=done"
    ));
}

#[test]
fn on_a_full_disk_nothing_is_recorded_and_machines_wait_for_room() {
    let full = "refused(the disk of the log is full)";
    check(&format!(
        "{LEADING}
         free 0.9
         a: remove web -> a={full}
         s: join n1
         turn -> no turn
         next -> never
         depose
         lead 2
         turn -> no turn
         free 1
         turn -> p2 tenure_begun node_joined certificate_issued
         commit -> show 6, s=done 5"
    ));
}

#[test]
fn people_who_waited_when_the_disk_filled_up_are_refused_in_time() {
    check(&format!(
        "{LEADING}
         a: create web
         free 0.5
         turn -> no turn
         later 5000 -> a=refused(the disk of the log is full)"
    ));
}
