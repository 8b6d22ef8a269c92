//! Several managers: an agent whose manager goes away goes on at another one.

use super::*;
use skep_agent::{ContactedAddress, core::WantedMembership};
use skep_proto::{Lineage, Position};
use std::fs;

/// Waits until the status is as wanted, and returns it.
async fn until(agent: &mut RunningAgent, is_wanted: impl Fn(&AgentStatus) -> bool) -> AgentStatus {
    let waited = timeout(PATIENCE, agent.status.wait_for(|status| is_wanted(status))).await;
    waited.expect("it comes to that").expect("it lives").clone()
}

fn contact<'a>(status: &'a AgentStatus, endpoint: &ManagerEndpoint) -> &'a ContactedAddress {
    let found = status.managers.iter().find(|manager| manager.endpoint == *endpoint);
    found.unwrap_or_else(|| panic!("no {endpoint} in {:?}", status.managers))
}

#[tokio::test]
async fn an_agent_whose_manager_goes_away_goes_on_at_another_where_it_was() {
    let JoinedAgent { folder, manager, engine, mut agent, mut line } = joined().await;
    let mut other = ManagerStub::on_network(folder.path()).await;
    line.managers(&[&other.address], v1::NodeRole::Worker).await;
    line.assign(set(5, &[(Id(1), container("run"))])).await;
    until_reported(&mut line, &[(Id(1), v1::TaskState::Running)]).await;
    let first = ManagerEndpoint::Unix(manager.socket.clone());
    let second = ManagerEndpoint::Network(other.address.clone());
    let status = until(&mut agent, |status| status.managers.len() == 2).await;
    assert!(contact(&status, &first).attached && !contact(&status, &second).attached);
    assert_eq!(contact(&status, &second).problem, "", "it was not tried");

    drop(line);
    manager.stop().await;
    let mut line = other.line().await;
    let hello = line.hello().await;
    assert_eq!((hello.incarnation, hello.revision), (1, 5), "it goes on where it was");
    line.welcome(Id(77)).await;
    let status = until(&mut agent, |status| status.attached && status.managers[1].attached).await;
    assert!(!contact(&status, &first).attached);
    assert_ne!(contact(&status, &first).problem, "", "why it was left");
    assert_eq!((status.manager_problem.as_str(), &*contact(&status, &second).problem), ("", ""));
    line.assign(change(5, 6, Id(1), v1::TaskState::Shutdown)).await;
    until_reported(&mut line, &[(Id(1), v1::TaskState::Shutdown)]).await;
    assert_eq!(engine.starts(), BTreeMap::from([(Id(1), 1)]));
    agent.stopped().await;
}

#[tokio::test]
async fn a_manager_that_stops_sends_its_agents_to_the_others() {
    let JoinedAgent { folder, manager: _manager, engine: _engine, agent, line } = joined().await;
    let mut other = ManagerStub::on_network(folder.path()).await;
    line.managers(&["127.0.0.1:1", &other.address], v1::NodeRole::Worker).await;
    line.turn(v1::TurnedCode::Stopping, "the manager is stopping").await;
    // It may try the one that nobody listens at, or its first one, before.
    other.line().await.hello().await;
    agent.stopped().await;
}

#[tokio::test]
async fn an_agent_finds_the_others_after_a_restart_while_its_first_manager_is_gone() {
    let JoinedAgent { folder, manager, engine, agent, line } = joined().await;
    let mut other = ManagerStub::on_network(folder.path()).await;
    line.managers(&[&other.address], v1::NodeRole::Worker).await;
    let file = folder.path().join("agent/agent/managers");
    timeout(PATIENCE, async {
        while !file.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("it is written");
    agent.stopped().await;
    let expected = format!("{} {}\n", Id(900), other.address);
    assert_eq!(fs::read_to_string(&file).unwrap(), expected);
    drop(line);
    let config = config(&folder.path().join("agent"), &manager, &engine);
    manager.stop().await;
    let mut agent = start_as(config);
    let mut line = other.line().await;
    line.hello().await;
    line.welcome(Id(77)).await;
    until(&mut agent, |status| status.managers[1].attached).await;
    fs::remove_file(&file).unwrap();
    line.managers(&[&other.address], v1::NodeRole::Manager).await;
    until(&mut agent, |status| status.membership.is_some()).await;
    agent.stopped().await;
    assert!(!file.exists(), "the same list again is not written again");
}

#[tokio::test]
async fn a_list_on_the_disk_that_is_garbage_keeps_no_agent_from_its_manager() {
    let JoinedAgent { folder, mut manager, engine, agent, line } = joined().await;
    agent.stopped().await;
    drop(line);
    let file = folder.path().join("agent/agent/managers");
    for garbage in [&b"\xff\xfe\x00"[..], b"nonsense\n\n127.0.0.1:1\n"] {
        fs::write(&file, garbage).unwrap();
        let mut agent = start(&folder.path().join("agent"), &manager, &engine);
        let mut line = manager.line().await;
        line.hello().await;
        line.welcome(Id(77)).await;
        let status = until(&mut agent, |status| status.attached).await;
        assert_eq!(status.managers.len(), 1);
        line.managers(&["127.0.0.1:1"], v1::NodeRole::Worker).await;
        until(&mut agent, |status| status.managers.len() == 2).await;
        agent.stopped().await;
        assert_eq!(fs::read_to_string(&file).unwrap(), format!("{} 127.0.0.1:1\n", Id(900)));
    }
}

#[tokio::test]
async fn what_the_node_is_to_be_is_known_and_stays_known() {
    let JoinedAgent { folder: _folder, manager, engine: _engine, mut agent, line } = joined().await;
    assert_eq!(agent.status.borrow().membership, None);
    line.managers(&[], v1::NodeRole::Manager).await;
    until(&mut agent, |status| status.membership.is_some()).await;
    drop(line);
    manager.stop().await;
    let status = until(&mut agent, |status| !status.attached).await;
    let role = v1::NodeRole::Manager;
    let as_of = Position::default();
    let expected = WantedMembership { role, raft_id: 3, lineage: Lineage(9), as_of };
    assert_eq!(status.membership, Some(expected));
    agent.stopped().await;
}

#[tokio::test]
async fn a_managers_own_agent_goes_to_another_manager_and_comes_back() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), FakeEngine::new(EPOCH));
    let mut manager = ManagerStub::start(folder.path()).await;
    let mut other = ManagerStub::on_network(folder.path()).await;
    let is_own = AgentConfig {
        is_managers_own: true,
        ..config(&folder.path().join("agent"), &manager, &engine)
    };
    let mut agent = start_as(is_own);
    let mut line = manager.line().await;
    line.hello().await;
    line.welcome(Id(77)).await;
    line.managers(&[&other.address], v1::NodeRole::Manager).await;
    until(&mut agent, |status| status.managers.len() == 2).await;
    line.turn(v1::TurnedCode::Retry, "there is no leader").await;
    let mut far = other.line().await;
    far.hello().await;
    far.welcome(Id(77)).await;
    until(&mut agent, |status| status.managers[1].attached).await;
    // Until its first beat it could be one that ends each session.
    while !matches!(far.next().await, v1::from_agent::Message::Heartbeat(_)) {}
    let status = agent.status.borrow().clone();
    assert_eq!(status.managers[0].problem, "there is no leader");
    far.turn(v1::TurnedCode::Retry, "this one has none either").await;
    let mut line = manager.line().await;
    line.hello().await;
    line.welcome(Id(77)).await;
    let status = until(&mut agent, |status| status.managers[0].attached).await;
    let problems = status.managers.iter().map(|manager| manager.problem.as_str());
    assert_eq!(problems.collect::<Vec<_>>(), ["", "this one has none either"]);
    agent.stopped().await;
}
