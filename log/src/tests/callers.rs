//! Callers that run the log's tasks themselves.

use super::*;
use crate::{LogTasks, Proposal};
use futures::FutureExt;
use std::{sync::Mutex, thread};

/// Takes the log's tasks once it is idle. A commit that was slow on a busy machine is followed by
/// one that the log makes by itself.
async fn take(log: &Log, chain: &mut EntryChain) -> LogTasks {
    loop {
        for _ in 0..100 {
            if let Some(tasks) = log.take_tasks() {
                return tasks;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        write(log, chain, 1).await;
    }
}

#[tokio::test]
async fn an_entry_is_synced_and_applied_when_its_callers_run_ends() {
    let disk = ModelDisk::default();
    let (log, hashes) = open_on(&disk).await;
    let mut chain = chain(&log);
    for _ in 0..100 {
        let tasks = take(&log, &mut chain).await;
        let before = log.counters();
        let entry = chain.entry(1);
        let hash = entry.hash;
        let proposal = log.propose(entry);
        tasks.run();
        assert!(proposal.now_or_never().is_some_and(|answer| answer.is_ok()));
        assert_eq!((log.counters().syncs, stands(&log).1), (before.syncs + 1, hash));
        assert_eq!(hashes.list().last(), Some(&hash));
    }
    log.close().await;
}

#[tokio::test]
async fn what_was_proposed_while_nobody_ran_the_log_is_not_lost() {
    let disk = ModelDisk::default();
    let (log, _) = open_on(&disk).await;
    let mut chain = chain(&log);
    let tasks = take(&log, &mut chain).await;
    let proposal = log.propose(chain.entry(1));
    drop(tasks);
    assert!(proposal.await.is_ok());
    log.close().await;
}

#[tokio::test]
async fn the_tasks_of_a_closed_log_are_not_given_away() {
    let disk = ModelDisk::default();
    let (log, _) = open_on(&disk).await;
    let mut chain = chain(&log);
    let tasks = take(&log, &mut chain).await;
    let other = log.clone();
    let closing = tokio::spawn(log.close());
    // The log waits until it can be stopped in order.
    tokio::time::sleep(Duration::from_millis(20)).await;
    tasks.run();
    closing.await.unwrap();
    assert!(other.take_tasks().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_and_the_logs_own_thread_alternate() {
    let dir = tempfile::tempdir().unwrap();
    let (log, hashes) = open(dir.path()).await;
    let chain = Arc::new(Mutex::new(chain(&log)));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (log, chain) = (log.clone(), chain.clone());
            thread::spawn(move || {
                let propose = || {
                    let mut chain = chain.lock().unwrap();
                    let tasks = log.take_tasks();
                    let proposal = log.propose(chain.entry(1));
                    drop(chain);
                    tasks.into_iter().for_each(LogTasks::run);
                    proposal
                };
                (0..500).map(|_| propose()).collect::<Vec<Proposal>>()
            })
        })
        .collect();
    for caller in callers {
        for proposal in caller.join().unwrap() {
            tokio::time::timeout(PATIENCE, proposal).await.unwrap().unwrap();
        }
    }
    assert_eq!(hashes.list().len(), 2000);
    assert_eq!(verify(&log.history()), 2000);
    log.close().await;
}
