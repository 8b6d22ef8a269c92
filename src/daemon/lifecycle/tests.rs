//! Tables of what a machine may be asked, and of what it becomes.

use super::*;
use LocalNodeState::{Alone, Joining, Leaving, Locked, Manager, Worker};

#[test]
fn a_machine_joins_and_founds_where_it_belongs_to_no_cluster_and_leaves_where_it_does() {
    let found = LocalRequest::Found(Box::default());
    let join = LocalRequest::Join(JoinCluster::default());
    let leave = LocalRequest::Leave(LeaveCluster { force: false });
    let forced = LocalRequest::Leave(LeaveCluster { force: true });
    let judged = |state| {
        [&found, &join, &leave, &forced]
            .map(|request| may(state, 0, request).err().map_or(String::new(), |it| it.message))
    };
    let none = "this node is not part of a cluster";
    assert_eq!(judged(Alone), ["", "", none, none]);
    let member = "this node is already part of a cluster";
    assert_eq!(judged(Worker), [member, member, "", ""]);
    let last = "this node knows of no other manager: when the last manager leaves, the cluster's state goes with it";
    assert_eq!(judged(Manager), [member, member, last, ""]);
    let one_of_two = may(Manager, 1, &leave).expect_err("the other one counts on it");
    assert!(one_of_two.message.starts_with("this node is one of the managers"));
    assert!(one_of_two.hint.contains("node demote"), "{}", one_of_two.hint);
    assert!(may(Manager, 1, &forced).is_ok());
    let joining = "this node is joining a cluster already";
    assert_eq!(judged(Joining), [joining, joining, "", ""]);
    let leaving = "this node is leaving its cluster, and its tasks are ending";
    assert_eq!(judged(Leaving), [leaving, leaving, "", ""]);
    assert_eq!(judged(Locked), [LOCKED; 4]);
}

#[test]
fn a_locked_manager_alone_is_unlocked() {
    let key = "SWMKEY-1-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".parse().expect("it is a key");
    let unlock = LocalRequest::Unlock(key);
    let judged = |state| may(state, 3, &unlock).err().map_or(String::new(), |it| it.message);
    assert_eq!(judged(Locked), "");
    assert_eq!(judged(Manager), "this manager is not locked");
    for state in [Alone, Joining, Leaving, Worker] {
        assert_eq!(judged(state), "this node is not a manager, and is not locked");
    }
    let other = no_manager(Locked, "");
    assert_eq!((&*other.message, &*other.hint), (LOCKED, UNLOCK_HINT));
}

#[test]
fn a_start_goes_on_with_what_the_machine_was() {
    let empty = StartFacts::default();
    let joins = StartFacts { asks_to_join: true, ..empty };
    let manager = StartFacts { is_manager: true, has_certificate: true, ..empty };
    let worker = StartFacts { follows: true, has_certificate: true, ..empty };
    let table = [
        (empty, Start::Found),
        (StartFacts { waits: true, ..empty }, Start::Wait),
        (StartFacts { has_left: true, ..empty }, Start::Wait),
        (joins, Start::Join),
        (StartFacts { has_left: true, ..joins }, Start::Join),
        (StartFacts { follows: true, ..joins }, Start::Join),
        (manager, Start::Manage),
        (StartFacts { waits: true, has_left: true, ..manager }, Start::Manage),
        (StartFacts { asks_to_join: true, ..manager }, Start::RefuseManagersFolder),
        (StartFacts { asks_to_join: true, joined_as_manager: true, ..manager }, Start::Manage),
        (worker, Start::Follow),
        (StartFacts { waits: true, has_left: true, ..worker }, Start::Follow),
        (StartFacts { follows: false, ..worker }, Start::RefuseWorkersFolder),
        (StartFacts { has_certificate: false, ..worker }, Start::GiveUpJoining),
    ];
    for (facts, expected) in table {
        assert_eq!(at_start(facts), expected, "{facts:?}");
    }
}

#[test]
fn a_worker_that_ends_leaves_nothing_half_done() {
    use AgentEnd::{Failed, Left, Removed, Stopped};
    let table = [
        (Worker, Stopped, BegunBy::Request, Afterwards::Stop),
        (Leaving, Stopped, BegunBy::Start, Afterwards::Stop),
        (Leaving, Left, BegunBy::Start, Afterwards::MoveAside),
        (Worker, Removed, BegunBy::Start, Afterwards::MoveAside),
        (Worker, Failed, BegunBy::Request, Afterwards::Fail),
        (Joining, Failed, BegunBy::Start, Afterwards::Fail),
        (Joining, Failed, BegunBy::Request, Afterwards::Forget),
        (Joining, Left, BegunBy::Request, Afterwards::Forget),
        (Joining, Left, BegunBy::Start, Afterwards::Forget),
    ];
    for (state, end, by, expected) in table {
        assert_eq!(after_following(state, end, by), expected, "{state:?} {end:?} {by:?}");
    }
}

#[test]
fn a_manager_leaves_also_where_its_own_agent_has_ended_before() {
    let table = [
        (Manager, AgentEnd::Stopped, Afterwards::Stop),
        (Leaving, AgentEnd::Stopped, Afterwards::Stop),
        (Leaving, AgentEnd::Left, Afterwards::MoveAside),
        (Leaving, AgentEnd::Failed, Afterwards::MoveAside),
        (Manager, AgentEnd::Failed, Afterwards::Fail),
        (Manager, AgentEnd::Removed, Afterwards::Fail),
    ];
    for (state, end, expected) in table {
        assert_eq!(after_managing(state, end), expected, "{state:?} {end:?}");
    }
}

#[test]
fn who_asks_a_machine_that_is_no_manager_hears_what_it_is() {
    let told = |state| no_manager(state, "10.0.0.1:2377").message;
    assert!(told(Worker).ends_with("a worker of the cluster behind 10.0.0.1:2377"));
    assert!(told(Joining).ends_with("joining the cluster behind 10.0.0.1:2377"));
    assert!(told(Leaving).ends_with("is leaving its cluster"));
    assert!(no_manager(Alone, "").hint.contains("skep cluster init"));
}

#[test]
fn a_machine_becomes_what_people_want_when_it_has_what_that_needs() {
    use NodeRole::{Manager, Worker};
    use RoleChange::{BecomeManager, BecomeWorker};
    let table = [
        // A worker, and what it hears: wanted role and number, the role in its certificate.
        (None, (Worker, 0), Some(Worker), None),
        (None, (Manager, 0), Some(Worker), None),
        (None, (Manager, 4), Some(Worker), None),
        (None, (Manager, 4), None, None),
        (None, (Manager, 4), Some(Manager), Some(BecomeManager)),
        // It is being taken out, and has not been a manager since its start.
        (None, (Worker, 4), Some(Manager), None),
        (None, (Worker, 0), Some(Manager), None),
        // A manager with the number 4.
        (Some(4), (Manager, 4), Some(Manager), None),
        (Some(4), (Worker, 4), Some(Manager), None),
        (Some(4), (Worker, 4), Some(Worker), None),
        (Some(4), (Worker, 0), Some(Manager), Some(BecomeWorker)),
        (Some(4), (Worker, 0), Some(Worker), Some(BecomeWorker)),
        (Some(4), (Manager, 5), Some(Manager), Some(BecomeWorker)),
        // Nobody has numbered it: its cluster is of before there were numbers.
        (Some(1), (Manager, 0), Some(Manager), None),
    ];
    for (own, wanted, certified, expected) in table {
        assert_eq!(role_change(own, wanted, certified), expected, "{own:?} {wanted:?}");
    }
}
