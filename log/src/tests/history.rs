//! Reading history, live and of a stopped manager.

use super::*;
use crate::HistoryReader;
use skep_proto::{Id, Revision, Timestamp};

/// A log of 60 entries with 1, 2 … records, and its chain.
async fn written(dir: &Path) -> (Log, EntryChain) {
    let (log, _) = open(dir).await;
    let mut chain = EntryChain::default();
    for records in 1..=60 {
        log.propose(chain.entry(records)).await.unwrap();
    }
    (log, chain)
}

/// First revisions of the entries: 1, 2, 4, 7 …
fn firsts() -> Vec<u64> {
    (0..60u64).map(|n| n * (n + 1) / 2 + 1).collect()
}

fn check(history: &HistoryReader) {
    let last = 60 * 61 / 2;
    let (first, position, _) = history.bounds();
    assert_eq!(history.newest(), position);
    assert_eq!((first, position.revision), (Revision(1), Revision(last)));
    assert_eq!(verify(history), last);
    for revision in [1, 2, 3, 4, 1000, last] {
        let entry = history.entry_at(Revision(revision)).unwrap().unwrap();
        assert!((entry.first().0..=entry.last().0).contains(&revision));
        assert_eq!(entry.decode().unwrap().len(), entry.header.record_count as usize);
    }
    assert!(history.entry_at(Revision(0)).unwrap().is_none());
    assert!(history.entry_at(Revision(last + 1)).unwrap().is_none());
    let list =
        |entries: crate::Entries| entries.map(|entry| entry.unwrap().first().0).collect::<Vec<_>>();
    let back = |from: usize| firsts()[..from].iter().rev().copied().collect::<Vec<_>>();
    assert_eq!(list(history.entries(Revision(5))), firsts()[2..]);
    assert_eq!(list(history.entries_back(Revision(5))), back(3));
    assert_eq!(list(history.entries_back(Revision(u64::MAX))), back(60));
    assert_eq!(list(history.entries(Revision(last + 1))), [0; 0]);
    assert_eq!(list(history.entries_back(Revision(0))), [0; 0]);
}

fn check_indexes(history: &HistoryReader) {
    let last = 60 * 61 / 2;
    // Record n is about the object n + 1.
    for revision in [1, 77, last] {
        let object = Id(u128::from(revision) + 1);
        let about = |from, to| {
            history
                .index()
                .unwrap()
                .oldest_first(object, Revision(from), Revision(to))
                .collect::<Result<Vec<_>, _>>()
        };
        assert_eq!(about(0, u64::MAX).unwrap(), [Revision(revision)]);
        assert_eq!(about(revision, revision).unwrap(), [Revision(revision)]);
        assert!(about(revision + 1, u64::MAX).unwrap().is_empty());
        let back = history.index().unwrap().newest_first(object, Revision(0), Revision(u64::MAX));
        assert_eq!(back.collect::<Result<Vec<_>, _>>().unwrap(), [Revision(revision)]);
    }
    // An entry's time is a million and its first revision.
    let at = |time| history.revision_at(Timestamp(time)).unwrap().0;
    assert_eq!(at(0), 0);
    assert_eq!(at(1_000_000), 0);
    assert_eq!(at(1_000_001), 1);
    assert_eq!(at(1_000_003), 3, "the entry of 2 and 3 is the newest that is early enough");
    assert_eq!(at(1_000_004), 6);
    assert_eq!(at(u64::MAX), last);
}

#[tokio::test]
async fn a_live_log_answers_from_memory_and_store_alike() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = written(dir.path()).await;
    check(&log.history());
    check_indexes(&log.history());
    log.close().await;
    let (log, _) = open(dir.path()).await;
    check(&log.history());
    check_indexes(&log.history());
    log.close().await;
}

#[tokio::test]
async fn a_stopped_managers_history_is_read_without_changing_a_byte() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(
        HistoryReader::open_read_only(dir.path(), cipher()),
        Err(crate::OpenHistoryError::Absent { .. })
    ));
    let (log, _) = written(dir.path()).await;
    log.close().await;
    let listing = || {
        let mut found: Vec<_> = std::fs::read_dir(dir.path().join("store"))
            .unwrap()
            .map(|file| file.unwrap())
            .map(|file| {
                (
                    file.file_name(),
                    file.metadata().unwrap().len(),
                    file.metadata().unwrap().modified().unwrap(),
                )
            })
            .collect();
        found.sort();
        found
    };
    let before = listing();
    let history = HistoryReader::open_read_only(dir.path(), cipher()).unwrap();
    check(&history);
    check_indexes(&history);
    drop(history);
    assert_eq!(listing(), before);
}

#[tokio::test]
async fn entries_whose_index_rows_were_lost_are_history_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = written(dir.path()).await;
    log.close().await;
    {
        let store = crate::disk::store::rocks::Rocks::open(&dir.path().join("store")).unwrap();
        let mut batch = crate::disk::store::Batch::default();
        batch.delete_span(
            crate::disk::store::StoreTable::Revisions,
            &1000u64.to_be_bytes(),
            &u64::MAX.to_be_bytes(),
        );
        batch.delete_span(crate::disk::store::StoreTable::Objects, &[0; 24], &[0xff; 24]);
        crate::disk::store::Store::commit(&store, &batch, crate::disk::store::Durability::Synced)
            .unwrap();
    }
    let history = HistoryReader::open_read_only(dir.path(), cipher()).unwrap();
    check(&history);
    drop(history);
    let (log, _) = open(dir.path()).await;
    check(&log.history());
    log.close().await;
}

#[tokio::test]
async fn an_object_with_many_revisions_is_read_page_by_page_both_ways() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path()).await;
    let (mut head, mut next) = (Hash::ZERO, 1);
    for _ in 0..3 {
        let mut draft = crate::testing::draft(head, next, 1000);
        draft.records = std::iter::repeat_n(crate::testing::label(41), 1000).collect();
        let sealed = crate::seal(&draft);
        (head, next) = (sealed.hash, next + 1000);
        log.propose(sealed).await.unwrap();
    }
    let history = log.history();
    let index = history.index().unwrap();
    // The ends lie within rows, at their borders and at those of entries.
    for from in [0, 1, 2, 10, 31, 32, 33, 34, 999, 1000, 1001] {
        for to in [from, from + 1, 40, 64, 65, 1000, 1001, 2995, 3000, u64::MAX] {
            let expected: Vec<u64> = (from.max(1)..=to.min(3000)).collect();
            let (from, to) = (Revision(from), Revision(to));
            let up: Vec<u64> = index.oldest_first(Id(42), from, to).map(|r| r.unwrap().0).collect();
            let mut down: Vec<u64> =
                index.newest_first(Id(42), from, to).map(|r| r.unwrap().0).collect();
            down.reverse();
            assert_eq!((&up, &down), (&expected, &expected), "{from} to {to}");
        }
    }
    log.close().await;
}

#[tokio::test]
async fn who_wants_few_revisions_of_an_object_reads_few() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path()).await;
    let mut draft = crate::testing::draft(Hash::ZERO, 1, 1000);
    draft.records = std::iter::repeat_n(crate::testing::label(41), 1000).collect();
    log.propose(crate::seal(&draft)).await.unwrap();
    log.close().await;
    // Opened again, all index rows are in the store.
    let (log, _) = open(dir.path()).await;
    let history = log.history();
    let mut back = history.index().unwrap().newest_first(Id(42), Revision(1), Revision(1000));
    assert_eq!(back.next().unwrap().unwrap(), Revision(1000));
    assert!(back.read_ahead() < 64, "{} revisions for one", back.read_ahead());
    let rest: Vec<u64> = back.map(|revision| revision.unwrap().0).collect();
    assert_eq!(rest, (1..1000).rev().collect::<Vec<_>>());
    log.close().await;
}
