//! Snapshots: taken beside the work, used at a restart, passed over when damaged.

use super::*;
use crate::{
    SnapshotPolicy,
    disk::{
        index::named_snapshots,
        keys,
        store::{Batch, Durability, StoreTable},
    },
};
use skep_proto::Revision;

fn often(dir: &Path) -> Config {
    Config { snapshots: SnapshotPolicy { records_min: 100, bytes_min: 0 }, ..config(dir) }
}

async fn open_often(dir: &Path) -> (Log, Hashes) {
    let hashes = Hashes::default();
    (Log::open(often(dir), hashes.clone()).await.unwrap(), hashes)
}

/// Writes until so many snapshots are named.
async fn write_snapshots(log: &Log, chain: &mut EntryChain, count: usize) {
    tokio::time::timeout(PATIENCE, async {
        while log.history().snapshots(Revision(u64::MAX)).unwrap().len() < count {
            write(log, chain, 20).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_restart_loads_the_newest_snapshot_and_replays_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let (log, hashes) = open_often(dir.path()).await;
    let mut chain = EntryChain::default();
    write_snapshots(&log, &mut chain, 2).await;
    write(&log, &mut chain, 7).await;
    let (all, stood) = (hashes.list(), stands(&log));
    log.close().await;
    let (log, again) = open_often(dir.path()).await;
    assert_eq!(again.list(), all);
    assert_eq!(stands(&log), stood);
    assert_eq!(verify(&log.history()), all.len() as u64);
    write(&log, &mut chain, 1).await;
    log.close().await;
}

#[tokio::test]
async fn the_nearest_snapshot_below_a_revision_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (log, hashes) = open_often(dir.path()).await;
    write_snapshots(&log, &mut EntryChain::default(), 3).await;
    let history = log.history();
    let revisions: Vec<u64> =
        history.snapshots(Revision(u64::MAX)).unwrap().iter().map(|s| s.revision).collect();
    for revision in &revisions {
        let (position, head, view) = history.snapshot_at(Revision(*revision)).unwrap().unwrap();
        assert_eq!(position.revision.0, *revision);
        assert_eq!(head, hashes.list()[*revision as usize - 1]);
        assert_eq!(view.len() as u64, 32 * revision);
    }
    let below = history.snapshot_at(Revision(revisions[0] - 1)).unwrap().unwrap();
    assert_eq!(below.0.revision.0, revisions[1]);
    assert!(history.snapshot_at(Revision(99)).unwrap().is_none());
    log.close().await;
    let stopped = crate::HistoryReader::open_read_only(dir.path(), cipher()).unwrap();
    let all = stopped.snapshots(Revision(u64::MAX)).unwrap();
    let all: Vec<u64> = all.iter().map(|named| named.revision).collect();
    assert!(all.ends_with(&revisions), "one more may have been under way: {all:?}");
    let newest = stopped.snapshot_at(Revision(u64::MAX)).unwrap().unwrap();
    assert_eq!(newest.0.revision.0, all[0]);
}

#[tokio::test]
async fn damaged_snapshots_are_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let (log, hashes) = open_often(dir.path()).await;
    write_snapshots(&log, &mut EntryChain::default(), 2).await;
    let all = hashes.list();
    log.close().await;
    for _ in 0..2 {
        let newest = std::fs::read_dir(dir.path().join("snapshots"))
            .unwrap()
            .map(|f| f.unwrap().path())
            .max()
            .unwrap();
        std::fs::write(&newest, b"rubbish").unwrap();
        let (log, again) = open_often(dir.path()).await;
        assert_eq!(again.list(), all);
        // Another one may have been taken at the same revision meanwhile.
        let found = std::fs::read(&newest).unwrap_or_default();
        assert_ne!(found, b"rubbish", "what can't be used is swept away");
        log.close().await;
    }
}

#[tokio::test]
async fn a_snapshot_is_not_taken_before_the_log_has_outgrown_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let policy = SnapshotPolicy { records_min: 10, bytes_min: 1 << 20 };
    let log = Log::open(Config { snapshots: policy, ..config(dir.path()) }, Hashes::default())
        .await
        .unwrap();
    write(&log, &mut EntryChain::default(), 500).await;
    assert!(named_snapshots(&log.shared.store, Revision(u64::MAX)).unwrap().is_empty());
    log.close().await;
}

#[tokio::test]
async fn a_snapshot_that_can_not_be_read_now_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (log, hashes) = open_often(dir.path()).await;
    write_snapshots(&log, &mut EntryChain::default(), 2).await;
    let all = hashes.list();
    log.close().await;
    // A third one may have been begun before the log was closed. From here on none is.
    let (log, _) = open(dir.path()).await;
    let named = log.history().snapshots(Revision(u64::MAX)).unwrap();
    log.close().await;
    let newest = named.iter().max_by_key(|snapshot| snapshot.revision).unwrap();
    let newest = dir.path().join("snapshots").join(&newest.file);
    let aside = dir.path().join("aside");
    std::fs::rename(&newest, &aside).unwrap();
    // A folder in its place: reading it is refused by the file system, as it is without file
    // descriptors.
    std::fs::create_dir(&newest).unwrap();
    let error = Log::open(config(dir.path()), Hashes::default()).await.err().unwrap();
    assert!(matches!(error, crate::OpenError::Failed { .. }), "{error}");
    std::fs::remove_dir(&newest).unwrap();
    // Another program's format: passed over, and kept.
    std::fs::write(&newest, b"skep snapshot 9\nwhatever").unwrap();
    let (log, again) = open(dir.path()).await;
    assert_eq!(again.list(), all);
    log.close().await;
    assert!(newest.exists(), "whoever wrote it can read it");
    std::fs::rename(&aside, &newest).unwrap();
    let (log, again) = open(dir.path()).await;
    assert_eq!(again.list(), all);
    let names = log.history().snapshots(Revision(u64::MAX)).unwrap();
    assert_eq!(names.len(), named.len(), "each has its name");
    log.close().await;
}

#[tokio::test]
async fn a_snapshot_that_can_not_be_used_is_needed_where_entries_before_it_are_not_here() {
    let dir = tempfile::tempdir().unwrap();
    let (log, hashes) = open_often(dir.path()).await;
    write_snapshots(&log, &mut EntryChain::default(), 1).await;
    // As where the snapshot came from another manager.
    let (mut batch, span) = (Batch::default(), [7, 40].map(keys::entry_key));
    batch.delete_span(StoreTable::Entries, &span[0], &span[1]);
    let hidden = keys::meta::StoredLogId { term: log.status().borrow().term, index: 39 };
    batch.put(StoreTable::Meta, keys::PURGED, &[&prost::Message::encode_to_vec(&hidden)]);
    log.shared.store.commit(&batch, Durability::Synced).unwrap();
    let all = hashes.list();
    log.close().await;
    let named = std::fs::read_dir(dir.path().join("snapshots")).unwrap();
    let files: Vec<_> = named.map(|file| file.unwrap().path()).collect();
    let whole: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    for file in &files {
        std::fs::write(file, b"rubbish").unwrap();
    }
    for _ in 0..2 {
        let error = Log::open(config(dir.path()), Hashes::default()).await.err().unwrap();
        let crate::OpenError::Damaged { message, .. } = &error else { panic!("{error}") };
        assert_eq!(
            message,
            "its newest snapshot can't be used, and raft index 7, which it holds, is not here otherwise"
        );
    }
    // Nothing was changed: whole again, it is used.
    files.iter().zip(whole).for_each(|(file, bytes)| std::fs::write(file, bytes).unwrap());
    let (log, again) = open(dir.path()).await;
    assert_eq!(again.list(), all);
    log.close().await;
}
