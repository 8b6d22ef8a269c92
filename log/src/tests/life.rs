//! The usual life: propose, be answered, follow, close, open again.

use super::*;
use crate::{OpenError, ProposeError, SubscribeError};
use skep_proto::Revision;

#[tokio::test]
async fn an_empty_folder_becomes_a_log_that_leads() {
    let dir = tempfile::tempdir().unwrap();
    let (log, hashes) = open(dir.path()).await;
    let status = log.status().borrow().clone();
    assert!(status.leader && status.term > 0);
    assert_eq!(stands(&log), (Position::default(), Hash::ZERO));
    let entry = EntryChain::default().entry(3);
    let hash = entry.hash;
    let position = log.propose(entry).await.unwrap();
    assert_eq!(position, Position { incarnation: 1, revision: Revision(3) });
    assert_eq!(log.barrier().await.unwrap(), position);
    assert_eq!(stands(&log), (position, hash));
    assert_eq!(hashes.list(), [hash]);
    log.close().await;
}

#[tokio::test]
async fn entries_in_flight_keep_their_order_and_share_syncs() {
    let dir = tempfile::tempdir().unwrap();
    let (log, hashes) = open(dir.path()).await;
    let before = log.counters();
    let mut chain = chain(&log);
    write(&log, &mut chain, 2000).await;
    let after = log.counters();
    assert_eq!(after.entries - before.entries, 2000);
    assert!(after.syncs - before.syncs < 500, "{} syncs", after.syncs - before.syncs);
    assert_eq!(hashes.list().len(), 2000);
    assert_eq!(stands(&log).1, chain.head);
    assert_eq!(verify(&log.history()), 2000);
    log.close().await;
}

#[tokio::test]
async fn what_does_not_follow_on_the_head_does_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (log, hashes) = open(dir.path()).await;
    let (mut one, mut other) = (EntryChain::default(), EntryChain::default());
    let first = one.entry(1);
    let answers = [
        log.propose(first.clone()),
        log.propose(first.clone()),
        log.propose(other.entry(2)),
        log.propose(other.entry(1)),
        log.propose(one.entry(1)),
    ];
    let answers = futures::future::join_all(answers).await;
    let fenced = Err(ProposeError::Fenced);
    assert_eq!(answers[1..4], [fenced.clone(), fenced.clone(), fenced]);
    assert_eq!(answers[4].as_ref().unwrap().revision, Revision(2));
    assert_eq!(hashes.list().len(), 2);
    log.close().await;
    let (log, again) = open(dir.path()).await;
    assert_eq!(again.list(), hashes.list(), "fenced entries are fenced again at every replay");
    assert_eq!(verify(&log.history()), 2);
    log.close().await;
}

#[tokio::test]
async fn a_log_that_is_opened_again_goes_on_where_it_stood() {
    let dir = tempfile::tempdir().unwrap();
    let mut chain = EntryChain::default();
    let mut term = 0;
    for round in 0..4 {
        let (log, hashes) = open(dir.path()).await;
        assert_eq!(hashes.list().len(), round * 50);
        assert_eq!(stands(&log).1, chain.head);
        let now = log.status().borrow().term;
        assert!(now > term, "a restarted leader leads in a new term");
        term = now;
        write(&log, &mut chain, 50).await;
        log.close().await;
    }
}

#[tokio::test]
async fn the_model_disk_does_it_too() {
    let disk = ModelDisk::default();
    for round in 0..2u64 {
        let (log, _) = open_on(&disk).await;
        write(&log, &mut chain(&log), 20).await;
        assert_eq!(verify(&log.history()), (round + 1) * 20);
        log.close().await;
    }
}

#[tokio::test]
async fn a_follower_catches_up_from_the_store_and_then_follows_live() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path()).await;
    let mut chain = EntryChain::default();
    write(&log, &mut chain, 300).await;
    log.close().await;
    let (log, _) = open(dir.path()).await;
    let mut follower = log.subscribe(Revision(42));
    let mut seen = Vec::new();
    while seen.len() < 259 {
        seen.push(follower.next().await.unwrap().first().0);
    }
    assert_eq!(seen, (42..=300).collect::<Vec<_>>());
    write(&log, &mut chain, 3).await;
    for revision in 301..=303 {
        assert_eq!(follower.next().await.unwrap().first(), Revision(revision));
    }
    let waiting = tokio::spawn(async move { follower.next().await.map(|entry| entry.first()) });
    tokio::task::yield_now().await;
    write(&log, &mut chain, 1).await;
    assert_eq!(waiting.await.unwrap().unwrap(), Revision(304));
    let mut last = log.subscribe(Revision(305));
    log.close().await;
    assert!(matches!(last.next().await, Err(SubscribeError::Closed)));
}

#[tokio::test]
async fn a_follower_gets_the_entry_that_holds_its_revision() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path()).await;
    let mut chain = EntryChain::default();
    for _ in 0..3 {
        log.propose(chain.entry(10)).await.unwrap();
    }
    let mut follower = log.subscribe(Revision(15));
    assert_eq!(follower.next().await.unwrap().first(), Revision(11));
    assert_eq!(follower.next().await.unwrap().first(), Revision(21));
    log.close().await;
}

#[tokio::test]
async fn a_log_is_opened_once_and_by_its_own_node() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path()).await;
    let second = Log::open(config(dir.path()), Hashes::default()).await.err().unwrap();
    assert!(matches!(second, OpenError::Locked { .. }), "{second}");
    log.close().await;
    let other = Config { node_id: Id(8), ..config(dir.path()) };
    let error = Log::open(other, Hashes::default()).await.err().unwrap();
    assert!(matches!(error, OpenError::OtherNode { found: Id(7), wanted: Id(8), .. }), "{error}");
}

#[tokio::test]
async fn a_closed_log_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path()).await;
    let handle = log.clone();
    log.close().await;
    assert!(matches!(
        handle.propose(EntryChain::default().entry(1)).await,
        Err(ProposeError::Failed(_))
    ));
    assert!(handle.barrier().await.is_err());
    assert!(!handle.status().borrow().leader);
    assert!(handle.history().entry_at(Revision(1)).is_err());
}

#[tokio::test]
async fn a_fold_that_can_not_go_on_halts_the_manager_with_its_words() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path()).await;
    let mut chain = EntryChain::default();
    write(&log, &mut chain, 10).await;
    log.close().await;
    let old = Hashes { refuse_at: Some(6), ..Hashes::default() };
    let error = Log::open(config(dir.path()), old).await.err().unwrap();
    let message = error.to_string();
    assert!(
        matches!(error, OpenError::Halted { applied, .. } if applied.revision == Revision(5)),
        "{message}"
    );
    assert!(message.contains("run a newer skep"), "{message}");
    let (log, hashes) = open(dir.path()).await;
    assert_eq!(hashes.list().len(), 10, "nothing was harmed");
    log.close().await;
    let old = Hashes { refuse_at: Some(11), ..Hashes::default() };
    let log = Log::open(config(dir.path()), old).await.unwrap();
    let answer = log.propose(chain.entry(1)).await;
    assert_eq!(answer, Err(ProposeError::Unknown));
    let mut status = log.status();
    let failed = status.wait_for(|status| status.health != crate::Health::Ok);
    let failed = tokio::time::timeout(PATIENCE, failed).await.unwrap().unwrap().clone();
    assert!(format!("{:?}", failed.health).contains("run a newer skep"));
    assert!(
        matches!(failed.health, crate::Health::Stopped(_)),
        "it does not promise to go on by itself"
    );
    assert!(matches!(log.propose(chain.entry(1)).await, Err(ProposeError::Stopped(_))));
    log.close().await;
}

/// A fold that reads status and history when it announces, as a caller that it answers would.
struct Looks {
    log: Arc<std::sync::OnceLock<Log>>,
    applied: Vec<(Revision, Hash)>,
    seen: Arc<std::sync::Mutex<Vec<Revision>>>,
}

impl crate::Fold for Looks {
    fn apply(&mut self, entry: &Arc<crate::Entry>) -> Result<(), crate::Halt> {
        self.applied.push((entry.last(), entry.hash));
        Ok(())
    }

    fn announce(&mut self) {
        let Some(log) = self.log.get() else { return };
        for (revision, hash) in std::mem::take(&mut self.applied) {
            let found = log.history().entry_at(revision).unwrap().map(|entry| entry.hash);
            assert_eq!(found, Some(hash), "history does not hold revision {revision} yet");
            assert!(stands(log).0.revision >= revision, "the status is older than {revision}");
            let mut follower = log.subscribe(revision);
            let next = futures::FutureExt::now_or_never(follower.next());
            assert!(
                next.is_some_and(|entry| entry.unwrap().hash == hash),
                "no follower sees {revision}"
            );
            self.seen.lock().unwrap().push(revision);
        }
    }

    fn freeze(&self) -> crate::Frozen {
        Box::new(Vec::new)
    }

    fn restore(&mut self, _: Position, _: Hash, _: &[u8]) -> Result<(), crate::RestoreError> {
        Ok(())
    }
}

#[tokio::test]
async fn whoever_is_answered_finds_the_entry_wherever_they_look() {
    let dir = tempfile::tempdir().unwrap();
    let (cell, seen) = (Arc::new(std::sync::OnceLock::new()), Arc::default());
    let fold = Looks { log: Arc::clone(&cell), applied: Vec::new(), seen: Arc::clone(&seen) };
    let log = Log::open(config(dir.path()), fold).await.unwrap();
    assert!(cell.set(log.clone()).is_ok());
    write(&log, &mut EntryChain::default(), 200).await;
    assert_eq!(seen.lock().unwrap().len(), 200, "each was announced once");
    log.close().await;
}
