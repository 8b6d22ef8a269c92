//! Each semantic fault of `tests/faults` can be planted: its snippet occurs exactly once.

use skep_tests::faults;

/// At least so many faults are in the list.
const FAULTS_MIN: usize = 40;

#[test]
fn each_semantic_fault_can_be_planted() {
    let root = super::root();
    let all = faults::all(&root).unwrap();
    assert!(all.len() >= FAULTS_MIN, "only {} faults are listed", all.len());
    let unplaced = faults::plant(&all, &root).unplaced;
    assert!(unplaced.is_empty(), "{}", unplaced.join("\n"));
}
