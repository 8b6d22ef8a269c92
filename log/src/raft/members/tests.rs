//! Each rule of a change, in the words that an operator reads.

use super::*;

/// Manager 1 leads 2 and 3, which follow well; 4 follows without a vote.
fn view() -> MembersView {
    MembersView {
        leader: 1,
        voters: BTreeSet::from([1, 2, 3]),
        peers: (1..=4).map(|raft_id| (raft_id, Peer::default())).collect(),
        last: 500,
        matched: (1..=4).map(|raft_id| (raft_id, Some(500))).collect(),
        heard: BTreeSet::from([1, 2, 3, 4]),
    }
}

fn voters_after(view: &MembersView, change: MemberChange) -> Result<Vec<u64>, String> {
    let after = view.after(&change).map_err(|error| error.to_string())?;
    Ok(after.0.into_iter().collect())
}

fn refusal(view: &MembersView, change: MemberChange) -> String {
    voters_after(view, change).unwrap_err()
}

fn added(raft_id: u64) -> MemberChange {
    MemberChange::Add { raft_id, node: Id(9), address: String::new() }
}

#[test]
fn one_voter_changes_at_a_time() {
    let view = view();
    assert_eq!(voters_after(&view, MemberChange::Promote { raft_id: 4 }), Ok(vec![1, 2, 3, 4]));
    assert_eq!(voters_after(&view, MemberChange::Demote { raft_id: 3 }), Ok(vec![1, 2]));
    for change in [added(5), MemberChange::Remove { raft_id: 4 }] {
        assert_eq!(voters_after(&view, change), Ok(vec![1, 2, 3]));
    }
}

#[test]
fn what_is_so_already_is_said_to_be_so() {
    let view = view();
    for (change, raft_id) in [
        (added(4), 4),
        (MemberChange::Promote { raft_id: 2 }, 2),
        (MemberChange::Demote { raft_id: 4 }, 4),
        (MemberChange::Remove { raft_id: 9 }, 9),
    ] {
        assert_eq!(view.after(&change).unwrap_err(), NoMemberChange::AlreadySo(raft_id));
    }
    assert_eq!(view.may_lead(1).unwrap_err().to_string(), "manager 1 is so already");
}

#[test]
fn a_vote_is_given_to_who_has_caught_up() {
    let promote = MemberChange::Promote { raft_id: 4 };
    let mut view = view();
    view.matched.insert(4, Some(399));
    assert_eq!(
        refusal(&view, promote.clone()),
        "manager 4 has 400 of 501 entries; try again when it has caught up"
    );
    view.matched.insert(4, Some(400));
    assert!(voters_after(&view, promote.clone()).is_ok());
    (view.last, view.matched) = (3, BTreeMap::from([(4, None)]));
    assert_eq!(
        refusal(&view, promote.clone()),
        "manager 4 has 0 of 4 entries; try again when it has caught up",
        "nothing is not nearly all, however little there is"
    );
    view.heard.remove(&4);
    assert_eq!(refusal(&view, promote), "manager 4 does not answer");
    assert_eq!(refusal(&view, MemberChange::Promote { raft_id: 9 }), "there is no manager 9");
}

#[test]
fn a_demotion_keeps_a_majority_that_can_go_on() {
    let mut view = view();
    assert_eq!(
        refusal(&view, MemberChange::Demote { raft_id: 1 }),
        "manager 1 leads: it must hand over first"
    );
    view.heard.remove(&2);
    let no_majority =
        "only 1 of the 2 voters that would remain answer and have caught up: that is no majority";
    assert_eq!(refusal(&view, MemberChange::Demote { raft_id: 3 }), no_majority);
    assert!(voters_after(&view, MemberChange::Demote { raft_id: 2 }).is_ok(), "who is gone may go");
    view.heard.insert(2);
    view.matched.insert(2, Some(7));
    assert_eq!(refusal(&view, MemberChange::Demote { raft_id: 3 }), no_majority);
    view.voters = BTreeSet::from([1]);
    assert_eq!(
        refusal(&view, MemberChange::Demote { raft_id: 1 }),
        "manager 1 is the last one that votes"
    );
    assert_eq!(
        refusal(&self::view(), MemberChange::Remove { raft_id: 2 }),
        "manager 2 votes: demote it first"
    );
}

#[test]
fn only_a_voter_that_has_caught_up_is_handed_the_lead() {
    let mut view = view();
    assert_eq!(view.may_lead(2), Ok(()));
    let refusal = |view: &MembersView, to| view.may_lead(to).unwrap_err().to_string();
    assert_eq!(refusal(&view, 4), "manager 4 has no vote, and can't lead");
    view.heard.remove(&3);
    assert_eq!(refusal(&view, 3), "manager 3 does not answer");
    view.matched.insert(2, Some(0));
    assert_eq!(
        refusal(&view, 2),
        "manager 2 has 1 of 501 entries; try again when it has caught up"
    );
}
