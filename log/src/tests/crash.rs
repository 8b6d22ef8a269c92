//! Crashes: a power cut after any write, and a kill in the middle of load.

use super::*;
use skep_proto::Revision;

#[tokio::test]
async fn what_was_acknowledged_survives_a_power_cut_at_any_moment() {
    for round in 0..12 {
        let disk = ModelDisk::default();
        let mut acknowledged = 0;
        for keep in [0, 1, usize::MAX] {
            let (log, hashes) = open_on(&disk).await;
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
        }
        let (log, hashes) = open_on(&disk).await;
        assert!(hashes.list().len() as u64 >= acknowledged);
        assert_eq!(verify(&log.history()), hashes.list().len() as u64);
        log.close().await;
    }
}

#[tokio::test]
async fn a_disk_that_lies_about_syncs_is_found_out() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path()).await;
    write(&log, &mut EntryChain::default(), 3).await;
    log.close().await;
    // The store comes back from an hour ago; the head file does not.
    let older = tempfile::tempdir().unwrap();
    copy(&dir.path().join("store"), &older.path().join("store"));
    let (log, _) = open(dir.path()).await;
    write(&log, &mut chain(&log), 7).await;
    log.close().await;
    std::fs::remove_dir_all(dir.path().join("store")).unwrap();
    copy(&older.path().join("store"), &dir.path().join("store"));
    let error = Log::open(config(dir.path()), Hashes::default()).await.err().unwrap();
    let crate::OpenError::EndsEarly { readable, durable, .. } = error else { panic!("{error}") };
    assert_eq!((readable, durable), (Revision(3), Revision(10)));
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for file in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}
