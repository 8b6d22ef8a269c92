//! Crashes: a power cut after any write, and a kill in the middle of load.

use super::*;
use skep_proto::Revision;

#[tokio::test]
async fn what_was_acknowledged_survives_a_power_cut_at_any_moment() {
    for round in 0..12 {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::default();
        let mut acknowledged = 0;
        for keep in [0, 1, usize::MAX] {
            let (log, hashes) = open_on(dir.path(), on_model(&disk)).await;
            assert!(hashes.list().len() as u64 >= acknowledged, "round {round}");
            let mut chain = chain(&log);
            let flight: Vec<_> = (0..40).map(|_| log.propose(chain.entry(1))).collect();
            for (n, proposal) in flight.into_iter().enumerate() {
                if n == round * 3 {
                    break;
                }
                acknowledged = proposal.await.unwrap().revision.0;
            }
            disk.cut_power(keep);
            log.close().await;
            // The file beside the store is not on the model's disk: it lags as if its last write had been lost.
        }
        let (log, hashes) = open_on(dir.path(), on_model(&disk)).await;
        assert!(hashes.list().len() as u64 >= acknowledged);
        assert_eq!(verify(&log.history()), hashes.list().len() as u64);
        log.close().await;
    }
}

#[tokio::test]
async fn a_store_that_lies_about_syncs_is_found_out() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::default();
    let (log, _) = open_on(dir.path(), on_model(&disk)).await;
    write(&log, &mut Chain::default(), 10).await;
    log.close().await;
    // A disk of which the synced tail is gone: as if it had come back from an hour ago.
    let older = Disk::default();
    let (log, _) = open_on(&dir.path().join("elsewhere"), on_model(&older)).await;
    write(&log, &mut Chain::default(), 3).await;
    log.close().await;
    let hashes = Box::new(Hashes::default());
    let error = supervise::open(config(dir.path()), hashes, on_model(&older)).await.err().unwrap();
    let crate::OpenError::EndsEarly { readable, durable, .. } = error else { panic!("{error}") };
    assert_eq!((readable, durable), (Revision(3), Revision(10)));
}
