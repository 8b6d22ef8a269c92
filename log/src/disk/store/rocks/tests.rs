//! Write-ahead files that are written over, as a killed process leaves them.

use super::{
    recycling::{COMMITS_BEFORE_FILLING_MIN, FILLED_BYTES_MAX},
    *,
};
use crate::disk::store::Durability::{Later, Synced};
use rocksdb::WaitForCompactOptions;
use std::{fs, path::Path};

/// The files as they are now: what a killed process leaves at one instant. A copy takes longer than
/// that, so that a flush or a compaction has to end before it: either removes files.
fn copy(store: &Rocks, from: &Path, to: &Path) {
    store.recycling.wait();
    store.db.wait_for_compact(&WaitForCompactOptions::default()).unwrap();
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap().map(|file| file.unwrap().path()) {
        if file.is_file() {
            fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
        }
    }
}

fn largest_write_ahead_file(store: &Path) -> u64 {
    let files = fs::read_dir(store).unwrap().map(|file| file.unwrap());
    let logs = files.filter(|file| file.path().extension().is_some_and(|end| end == "log"));
    logs.map(|file| file.metadata().unwrap().len()).max().unwrap()
}

fn rows(store: &dyn Store) -> Vec<u64> {
    let every = Page { rows: usize::MAX, bytes: usize::MAX };
    let rows = store.scan(StoreTable::Entries, &Span::all(), ScanOrder::Up, every).unwrap();
    rows.iter().map(|(key, _)| u64::from_be_bytes(key[..].try_into().unwrap())).collect()
}

#[test]
fn a_store_that_writes_over_its_files_loses_nothing_that_was_synced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let store = Rocks::open(&path).unwrap();
    let mut next = 0u64;
    let mut commit = |bytes: usize| {
        let mut batch = Batch::default();
        batch.put(StoreTable::Entries, &next.to_be_bytes(), &[&vec![next as u8; bytes]]);
        batch.put(StoreTable::Objects, &next.to_be_bytes(), &[]);
        store.commit(&batch, if next % 3 == 1 { Later } else { Synced }).unwrap();
        next += 1;
        next
    };
    while commit(10) < 2 * COMMITS_BEFORE_FILLING_MIN {}
    store.recycling.wait();
    assert!(
        largest_write_ahead_file(&path) >= FILLED_BYTES_MAX as u64,
        "a file is there to be written over"
    );
    for round in 0..12 {
        // Some rounds end in the middle of a file, some have filled several.
        let mut through = 0;
        for _ in 0..25 + 30 * round {
            through = commit(30_000 + round * 1_000);
        }
        let copied = dir.path().join(format!("copy-{round}"));
        copy(&store, &path, &copied);
        let found = rows(&Rocks::open(&copied).unwrap());
        assert_eq!(found, (0..through).collect::<Vec<u64>>(), "in round {round}");
        fs::remove_dir_all(&copied).unwrap();
    }
    drop(store);
    assert_eq!(rows(&Rocks::open(&path).unwrap()).len() as u64, next);
}
