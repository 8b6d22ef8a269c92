//! Stories about two histories that claim one incarnation.

use super::check;

#[test]
fn an_incarnation_is_followed_under_one_lineage_and_a_second_claimant_changes_nothing() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1/5.9 a=RUNNING -> prepare a, report a=PREPARING
         change 1/6.9>10 a=SHUTDOWN -> hang-up
         attach -> dial, hello 1/5.9, report a=PREPARING
         set 1/6.12 b=RUNNING -> hang-up
         attach -> dial, hello 1/5.9, report a=PREPARING
         set 2/6.4 a=RUNNING -> -
         change 2/6.4>5 b=RUNNING -> prepare b
         set 1/5.12 c=RUNNING -> -
         change 2/6.5>6 c=RUNNING -> prepare c",
    );
}

#[test]
fn an_incarnation_of_an_older_cluster_is_named_once_and_remembered() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.5 a=READY -> prepare a, report a=PREPARING
         change 1/7.5>6 a=RUNNING -> -
         restart -> list
         attach -> dial, hello 1/7.6, report a=PREPARING
         change 1/8.6>7 a=SHUTDOWN -> hang-up",
    );
}
