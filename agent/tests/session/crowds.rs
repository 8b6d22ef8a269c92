//! Many tasks at once: they come to run, are stopped and removed, and none holds up the others.

use super::*;
use skep_proto::v1::to_agent;

#[tokio::test]
async fn slow_pulls_hold_up_no_task_that_needs_none() {
    let JoinedAgent { folder: _folder, manager: _manager, engine, agent, mut line } =
        joined().await;
    let mut tasks: Vec<_> = (1..=40).map(|n| (Id(n), container("pull:86400000,run"))).collect();
    tasks.push((Id(99), container("run")));
    line.assign(set(5, &tasks)).await;
    until_reported(&mut line, &[(Id(99), v1::TaskState::Running)]).await;
    assert_eq!(engine.running(), [Id(99)]);
    agent.stopped().await;
}

#[tokio::test]
async fn hundreds_of_tasks_at_once_all_come_to_run() {
    let JoinedAgent { folder: _folder, manager: _manager, engine, agent, mut line } =
        joined().await;
    let tasks: Vec<_> = (1..=500).map(|n| (Id(n), container("run"))).collect();
    line.assign(set(5, &tasks)).await;
    let wanted: Vec<_> = tasks.iter().map(|(id, _)| (*id, v1::TaskState::Running)).collect();
    until_reported(&mut line, &wanted).await;
    assert_eq!(engine.running().len(), 500);
    agent.stopped().await;
}

#[tokio::test]
async fn hundreds_of_tasks_that_are_removed_at_once_are_stopped_a_few_at_a_time() {
    let JoinedAgent { folder: _folder, manager: _manager, engine, agent, mut line } =
        joined().await;
    let mut tasks: Vec<_> = (1..=300).map(|n| (Id(n), container("run,stop:20"))).collect();
    // One that uses its grace holds up no other for long.
    tasks.extend((301..=400).map(|n| (Id(n), container("stubborn"))));
    line.assign(set(5, &tasks)).await;
    let wanted: Vec<_> = tasks.iter().map(|(id, _)| (*id, v1::TaskState::Running)).collect();
    until_reported(&mut line, &wanted).await;
    line.assign(set(6, &[])).await;
    let quick = |ids: Vec<Id>| ids.iter().filter(|id| **id <= Id(300)).count();
    while quick(engine.running()) > 0 {
        line.next().await;
    }
    assert!(engine.most_stopping() <= 64 + 100, "{} at once", engine.most_stopping());
    agent.stopped().await;
}

#[tokio::test]
async fn one_reader_too_many_gets_a_message_until_another_leaves() {
    let JoinedAgent { folder: _folder, mut manager, engine: _engine, agent, mut line } =
        joined().await;
    let mut talks = container("print,run");
    running(&mut talks).args = vec!["hello".into()];
    line.assign(set(5, &[(Id(1), talks)])).await;
    until_reported(&mut line, &[(Id(1), v1::TaskState::Running)]).await;
    let order = |request, follow| {
        let task_ids = vec![Id(1).to_bytes()];
        to_agent::Message::Logs(v1::LogOrder { request, task_ids, follow, ..Default::default() })
    };
    for request in 1..=64 {
        line.send(order(request, true)).await;
    }
    line.send(order(65, false)).await;
    let (lines, message) = manager.output(65).await;
    assert_eq!(
        (lines.len(), message.as_str()),
        (0, "too many clients read the output of this node now")
    );
    line.send(to_agent::Message::Cancel(v1::LogCancel { request: 1 })).await;
    line.send(order(66, false)).await;
    let (lines, message) = manager.output(66).await;
    assert_eq!((lines, message.as_str()), (vec!["web.1 alpha hello".to_owned()], ""));
    agent.stopped().await;
}
