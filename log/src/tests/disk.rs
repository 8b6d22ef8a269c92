//! Disks that fail, fill up and heal.

use super::*;
use crate::{Health, ProposeError};
use skep_proto::Revision;

#[tokio::test]
async fn a_failing_disk_fails_what_is_in_flight_and_work_goes_on_when_it_heals() {
    let disk = ModelDisk::default();
    let (log, hashes) = open_on(&disk).await;
    let mut chain = EntryChain::default();
    write(&log, &mut chain, 10).await;
    let (head, next) = (chain.head, chain.next);
    disk.refuse();
    let flight: Vec<_> = (0..5).map(|_| log.propose(chain.entry(1))).collect();
    for proposal in flight {
        let answer = tokio::time::timeout(PATIENCE, proposal).await.unwrap();
        assert!(
            matches!(answer, Err(ProposeError::Unknown | ProposeError::Failed(_))),
            "{answer:?}"
        );
    }
    let mut status = log.status();
    let failed =
        tokio::time::timeout(PATIENCE, status.wait_for(|s| s.health != Health::Ok)).await.unwrap();
    let failed = failed.unwrap().clone();
    assert_eq!(failed.health, Health::Failed("the disk takes nothing".into()));
    assert!(!failed.leader);
    let refused = log.propose(chain.entry(1)).await;
    assert!(
        matches!(&refused, Err(ProposeError::Failed(message)) if message.contains("takes nothing")),
        "{refused:?}"
    );
    assert_eq!(verify(&log.history()), 10, "reads go on");
    assert_eq!(log.history().entry_at(Revision(10)).unwrap().unwrap().hash, head);

    disk.heal();
    let healed = status.wait_for(|status| status.leader && status.health == Health::Ok);
    tokio::time::timeout(PATIENCE, healed).await.unwrap().unwrap();
    let mut chain = EntryChain { head, next, incarnation: 1 };
    write(&log, &mut chain, 10).await;
    assert_eq!(verify(&log.history()), 20);
    assert_eq!(hashes.list().len(), 20, "each entry was folded once");
    log.close().await;
}

#[tokio::test]
async fn a_failed_log_can_be_closed() {
    let disk = ModelDisk::default();
    let (log, _) = open_on(&disk).await;
    disk.refuse();
    assert!(log.propose(EntryChain::default().entry(1)).await.is_err());
    tokio::time::timeout(PATIENCE, log.close()).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_refuses_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let full = Config { min_free: 1.1, ..config(dir.path()) };
    let log = Log::open(full, Hashes::default()).await.unwrap();
    let before = log.counters();
    let answer = log.propose(EntryChain::default().entry(1)).await;
    let Err(ProposeError::Full(message)) = answer else { panic!("{answer:?}") };
    assert!(
        message.contains("make room") && message.contains(dir.path().to_str().unwrap()),
        "{message}"
    );
    assert_eq!(log.counters(), before);
    let space = log.space();
    assert!(space.total_bytes >= space.free_bytes && space.log_bytes > 0);
    log.close().await;
}

#[tokio::test]
async fn too_much_in_flight_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path()).await;
    let big = crate::testing::sealed_of_bytes(crate::IN_FLIGHT_BYTES_MAX);
    let answer = log.propose(big).await;
    assert!(matches!(answer, Err(ProposeError::Full(_))), "{answer:?}");
    write(&log, &mut EntryChain::default(), 1).await;
    log.close().await;
}

/// Writes a story through the daemon's own threads; says what was acknowledged, and whether
/// anything was refused.
async fn live(log: &Log, entries: u64) -> (Vec<Hash>, bool) {
    let mut chain = chain(log);
    let mut acknowledged = Vec::new();
    for _ in 0..entries {
        let entry = chain.entry(1);
        let hash = entry.hash;
        match tokio::time::timeout(PATIENCE, log.propose(entry)).await.expect("it is answered") {
            Ok(_) => acknowledged.push(hash),
            Err(ProposeError::Unknown | ProposeError::Failed(_) | ProposeError::Fenced) => {
                return (acknowledged, true);
            }
            Err(error) => panic!("{error}"),
        }
    }
    (acknowledged, false)
}

/// From room again to work again, at most.
const HEALED_WITHIN: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_write_that_fails_anywhere_heals_without_a_restart() {
    let stories =
        (0..40).flat_map(|nth| [(nth, crate::Fault::Refuse), (nth, crate::Fault::FailAfter)]);
    let stories = stories.map(|(nth, fault)| async move {
        let at = format!("{fault:?} at change {nth}");
        let disk = ModelDisk::default();
        let often = crate::SnapshotPolicy { records_min: 3, bytes_min: 0 };
        let config = Config { snapshots: often, ..config(Path::new("/")) };
        let hashes = Hashes::default();
        let log =
            Log::open_in(config, Box::new(hashes.clone()), Arc::new(disk.clone())).await.unwrap();
        disk.fail_at(nth, fault);
        let (acknowledged, failed) = live(&log, 10).await;
        let readable = log.history().entries(Revision(1)).all(|entry| entry.is_ok());
        assert!(readable, "{at}: reads go on");
        disk.heal();
        let healed = std::time::Instant::now();
        let mut status = log.status();
        let working = status.wait_for(|status| status.leader && status.health == Health::Ok);
        tokio::time::timeout(PATIENCE, working).await.expect("it heals").unwrap();
        // A busy machine may be late; the bound itself is kept by the period of the attempts.
        assert!(healed.elapsed() < 10 * HEALED_WITHIN, "{at}: {:?}", healed.elapsed());
        let held = hashes.list();
        assert!(acknowledged.iter().all(|hash| held.contains(hash)), "{at}");
        let (again, refused) = live(&log, 3).await;
        // A failure that nobody has noticed yet, of a snapshot's name, may end this session too.
        assert!(failed || !refused || again.len() < 3, "{at}");
        tokio::time::timeout(PATIENCE, log.close()).await.expect("it closes");
        disk.cut_power(0);
        let (log, hashes) = open_on(&disk).await;
        let held = hashes.list();
        assert!(acknowledged.iter().chain(&again).all(|hash| held.contains(hash)), "{at}");
        assert_eq!(verify(&log.history()), held.len() as u64, "{at}");
        log.close().await;
    });
    futures::future::join_all(stories).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_while_the_log_fails_is_answered_and_harms_nobody() {
    let disk = ModelDisk::default();
    let (log, _) = open_on(&disk).await;
    write(&log, &mut EntryChain::default(), 3).await;
    for _ in 0..5 {
        let askers: Vec<_> = (0..4)
            .map(|_| {
                let log = log.clone();
                tokio::spawn(async move {
                    let mut chain = chain(&log);
                    for _ in 0..200 {
                        // Both are given up half-way: the library must not notice.
                        drop(futures::poll!(Box::pin(log.barrier())));
                        let _given_up = futures::poll!(Box::pin(log.propose(chain.entry(1))));
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        disk.refuse();
        // Somebody must write, or nothing fails.
        let answer =
            tokio::time::timeout(PATIENCE, log.propose(chain(&log).entry(1))).await.unwrap();
        assert!(answer.is_err(), "{answer:?}");
        for asker in askers {
            asker.await.unwrap();
        }
        disk.heal();
        // The status may still be the one from before the failure, so the log itself is asked.
        let answers = async {
            while log.barrier().await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, answers).await.expect("it heals and answers");
    }
    tokio::time::timeout(PATIENCE, log.close()).await.expect("it closes");
}

/// A fold that panics when it is to announce a revision, the first time.
struct PanicsOnce {
    at: u64,
    applied: u64,
    panicked: Arc<std::sync::atomic::AtomicBool>,
}

impl crate::Fold for PanicsOnce {
    fn apply(&mut self, entry: &Arc<crate::Entry>) -> Result<(), crate::Halt> {
        self.applied = entry.last().0;
        Ok(())
    }

    fn announce(&mut self) {
        use std::sync::atomic::Ordering::SeqCst;
        if self.applied >= self.at && !self.panicked.swap(true, SeqCst) {
            panic!("a fault of the program, as a test wants it");
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
async fn a_session_that_panics_is_followed_by_the_next_one() {
    let disk = ModelDisk::default();
    let panicked = Arc::default();
    let fold = PanicsOnce { at: 3, applied: 0, panicked: Arc::clone(&panicked) };
    let log =
        Log::open_in(config(Path::new("/")), Box::new(fold), Arc::new(disk.clone())).await.unwrap();
    let mut chain = EntryChain::default();
    write(&log, &mut chain, 2).await;
    let answer = tokio::time::timeout(PATIENCE, log.propose(chain.entry(1))).await.unwrap();
    assert_eq!(answer, Err(ProposeError::Unknown));
    assert!(panicked.load(std::sync::atomic::Ordering::SeqCst));
    // The status may still be that of the session that panicked: only an answer shows the next one.
    let next_session = async {
        while log.barrier().await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, next_session).await.expect("the next session begins");
    write(&log, &mut chain, 5).await;
    assert_eq!(verify(&log.history()), 8, "what was answered as unknown was history");
    log.close().await;
}

/// A fold that always panics at a revision.
#[tokio::test]
async fn an_entry_that_the_program_panics_at_halts_it_and_leaves_reading() {
    struct Panics;
    impl crate::Fold for Panics {
        fn apply(&mut self, entry: &Arc<crate::Entry>) -> Result<(), crate::Halt> {
            assert!(entry.last() < Revision(3), "a fault of the program, as a test wants it");
            Ok(())
        }
        fn announce(&mut self) {}
        fn freeze(&self) -> crate::Frozen {
            Box::new(Vec::new)
        }
        fn restore(&mut self, _: Position, _: Hash, _: &[u8]) -> Result<(), crate::RestoreError> {
            Ok(())
        }
    }
    let disk = ModelDisk::default();
    let log = Log::open_in(config(Path::new("/")), Box::new(Panics), Arc::new(disk.clone()))
        .await
        .unwrap();
    let mut chain = EntryChain::default();
    write(&log, &mut chain, 2).await;
    assert_eq!(log.propose(chain.entry(1)).await, Err(ProposeError::Unknown));
    let mut status = log.status();
    let stopped = status.wait_for(|status| matches!(status.health, Health::Stopped(_)));
    let health = tokio::time::timeout(PATIENCE, stopped).await.unwrap().unwrap().health.clone();
    assert!(format!("{health:?}").contains("panicked at the entry of revision 3"), "{health:?}");
    assert_eq!(verify(&log.history()), 2);
    log.close().await;
}
