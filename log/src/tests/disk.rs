//! Disks that fail, fill up and heal.

use super::*;
use crate::{Health, ProposeError};
use skep_proto::Revision;

#[tokio::test]
async fn a_failing_disk_fails_what_is_in_flight_and_work_goes_on_when_it_heals() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::default();
    let (log, hashes) = open_on(dir.path(), on_model(&disk)).await;
    let mut chain = Chain::default();
    write(&log, &mut chain, 10).await;
    let (head, next) = (chain.head, chain.next);
    disk.set_broken(true);
    let flight: Vec<_> = (0..5).map(|_| log.propose(chain.entry(1))).collect();
    for proposal in flight {
        let answer = tokio::time::timeout(PATIENCE, proposal).await.unwrap();
        assert!(matches!(answer, Err(ProposeError::Unknown | ProposeError::Failed(_))), "{answer:?}");
    }
    let mut status = log.status();
    let failed = tokio::time::timeout(PATIENCE, status.wait_for(|s| s.health != Health::Ok)).await.unwrap();
    let failed = failed.unwrap().clone();
    assert_eq!(failed.health, Health::Failed("the disk does not answer".into()));
    assert!(!failed.leader);
    let refused = log.propose(chain.entry(1)).await;
    assert!(
        matches!(&refused, Err(ProposeError::Failed(words)) if words.contains("does not answer")),
        "{refused:?}"
    );
    assert_eq!(verify(&log.history()), 10, "reads go on");
    assert_eq!(log.history().entry_at(Revision(10)).unwrap().unwrap().hash, head);

    disk.set_broken(false);
    let healed = status.wait_for(|status| status.leader && status.health == Health::Ok);
    tokio::time::timeout(PATIENCE, healed).await.unwrap().unwrap();
    let mut chain = Chain { head, next, incarnation: 1 };
    write(&log, &mut chain, 10).await;
    assert_eq!(verify(&log.history()), 20);
    assert_eq!(hashes.list().len(), 20, "each entry was folded once");
    log.close().await;
}

#[tokio::test]
async fn a_failed_log_can_be_closed() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::default();
    let (log, _) = open_on(dir.path(), on_model(&disk)).await;
    disk.set_broken(true);
    assert!(log.propose(Chain::default().entry(1)).await.is_err());
    tokio::time::timeout(PATIENCE, log.close()).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_refuses_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let full = Config { min_free: 1.1, ..config(dir.path()) };
    let log = Log::open(full, Hashes::default()).await.unwrap();
    let before = log.counters();
    let answer = log.propose(Chain::default().entry(1)).await;
    let Err(ProposeError::Full(words)) = answer else { panic!("{answer:?}") };
    assert!(words.contains("make room") && words.contains(dir.path().to_str().unwrap()), "{words}");
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
    write(&log, &mut Chain::default(), 1).await;
    log.close().await;
}
