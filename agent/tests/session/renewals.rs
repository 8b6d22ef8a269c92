//! A node that is to have another role gets a certificate that says it.

use super::*;
use v1::NodeRole::{Manager, Worker};

/// Long enough for several renewals, if nothing held them back.
const WHILE: Duration = Duration::from_millis(1_500);

#[tokio::test]
async fn another_role_is_asked_for_at_once_and_each_time_that_it_changes() {
    let JoinedAgent { folder: _folder, manager, engine: _engine, agent, line } = joined().await;
    assert_eq!(agent.handle.role(), Some(Worker));
    line.managers(&[], Worker).await;
    tokio::time::sleep(WHILE).await;
    assert_eq!(manager.renewals.borrow().asked, 0, "it has that role");
    for role in [Manager, Worker] {
        manager.renewals.send_modify(|renewals| renewals.gives = Some(role));
        line.managers(&[], role).await;
        let certified = agent.handle.certified_as(role);
        timeout(PATIENCE / 2, certified).await.expect("long before it is due");
        assert_eq!(agent.handle.role(), Some(role));
    }
    assert_eq!(manager.renewals.borrow().asked, 2);
    agent.stopped().await;
}

#[tokio::test]
async fn a_certificate_that_still_has_the_old_role_is_not_asked_for_again_and_again() {
    let JoinedAgent { folder: _folder, manager, engine: _engine, agent, line } = joined().await;
    manager.renewals.send_modify(|renewals| renewals.gives = Some(Worker));
    line.managers(&[], Manager).await;
    let mut renewals = manager.renewals.subscribe();
    let asked = renewals.wait_for(|renewals| renewals.asked == 1);
    timeout(PATIENCE, asked).await.expect("it asks").expect("the stub lives");
    tokio::time::sleep(WHILE).await;
    assert_eq!(manager.renewals.borrow().asked, 1);
    assert_eq!(agent.handle.role(), Some(Worker));
    agent.stopped().await;
}

#[tokio::test]
async fn a_manager_that_renews_nothing_is_passed_over_for_the_next() {
    let JoinedAgent { folder, manager, engine: _engine, mut agent, line } = joined().await;
    let other = ManagerStub::on_network(folder.path()).await;
    other.renewals.send_modify(|renewals| renewals.gives = Some(Manager));
    line.managers(&["127.0.0.1:1", &other.address], Worker).await;
    let listed = agent.status.wait_for(|status| status.managers.len() == 3);
    timeout(PATIENCE, listed).await.expect("they are listed").expect("it lives");
    line.managers(&["127.0.0.1:1", &other.address], Manager).await;
    let certified = agent.handle.certified_as(Manager);
    timeout(PATIENCE, certified).await.expect("the other one renews it");
    let asked = (manager.renewals.borrow().asked, other.renewals.borrow().asked);
    assert_eq!(asked, (1, 1), "the one of the session first");
    agent.stopped().await;
}
