//! What every store must do, run on all of them.

use super::{
    Batch, Durability::*, Page, ScanOrder, Span, Store, StoreError, StoreTable, rocks::Rocks,
};
use crate::disk::files::{Files, model::ModelDisk, os::OsFiles};

const MANY: Page = Page { rows: 1000, bytes: usize::MAX };
const NAME: &str = "store";

fn everywhere(check: impl Fn(&dyn Fn() -> Box<dyn Store>)) {
    let disk = ModelDisk::default();
    check(&|| disk.open_store(NAME).unwrap());
    let dir = tempfile::tempdir().unwrap();
    check(&|| OsFiles::new(dir.path()).open_store(NAME).unwrap());
    let sealed = ModelDisk::default().sealed();
    check(&|| sealed.open_store(NAME).unwrap());
}

fn put(store: &dyn Store, table: StoreTable, rows: &[(&str, &str)]) {
    let mut batch = Batch::default();
    for (key, value) in rows {
        batch.put(table, key.as_bytes(), &[value.as_bytes()]);
    }
    store.commit(&batch, Later).unwrap();
}

fn keys(store: &dyn Store, table: StoreTable, span: Span, way: ScanOrder, page: Page) -> String {
    let rows = store.scan(table, &span, way, page).unwrap();
    rows.iter()
        .map(|(key, _)| String::from_utf8_lossy(key).into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn what_is_put_is_there_and_in_no_other_table() {
    everywhere(|open| {
        let store = open();
        let mut batch = Batch::default();
        batch.put(StoreTable::Meta, b"k", &[b"one", b"", b" two"]);
        store.commit(&batch, Synced).unwrap();
        assert_eq!(store.get(StoreTable::Meta, b"k").unwrap().unwrap(), "one two");
        for other in StoreTable::ALL.into_iter().filter(|table| *table != StoreTable::Meta) {
            assert_eq!(store.get(other, b"k").unwrap(), None);
            assert!(store.scan(other, &Span::all(), ScanOrder::Up, MANY).unwrap().is_empty());
        }
    });
}

#[test]
fn the_changes_of_a_batch_happen_in_order() {
    everywhere(|open| {
        let store = open();
        put(&*store, StoreTable::Entries, &[("a", "0"), ("b", "0"), ("c", "0"), ("d", "0")]);
        let mut batch = Batch::default();
        batch.put(StoreTable::Entries, b"b", &[b"1"]);
        batch.delete_span(StoreTable::Entries, b"b", b"d");
        batch.put(StoreTable::Entries, b"c", &[b"2"]);
        batch.delete(StoreTable::Entries, b"a");
        batch.delete(StoreTable::Entries, b"never was");
        store.commit(&batch, Synced).unwrap();
        assert_eq!(keys(&*store, StoreTable::Entries, Span::all(), ScanOrder::Up, MANY), "c d");
        assert_eq!(store.get(StoreTable::Entries, b"c").unwrap().unwrap(), "2");
        batch.clear();
        assert!(batch.is_empty());
        store.commit(&batch, Synced).unwrap();
    });
}

#[test]
fn scans_keep_to_their_span_way_and_page() {
    everywhere(|open| {
        let store = open();
        put(
            &*store,
            StoreTable::Objects,
            &[("d", "x"), ("a", "x"), ("c", "x"), ("b", "x"), ("e", "x")],
        );
        put(&*store, StoreTable::Sealed, &[("bb", "x")]);
        let scan = |span, way, page| keys(&*store, StoreTable::Objects, span, way, page);
        assert_eq!(scan(Span::all(), ScanOrder::Up, MANY), "a b c d e");
        assert_eq!(scan(Span::all(), ScanOrder::Down, MANY), "e d c b a");
        assert_eq!(scan(Span::new("b", "d"), ScanOrder::Up, MANY), "b c");
        assert_eq!(scan(Span::new("b", "d"), ScanOrder::Down, MANY), "c b");
        assert_eq!(scan(Span::since("bb"), ScanOrder::Up, MANY), "c d e");
        assert_eq!(scan(Span::new("c", "c"), ScanOrder::Up, MANY), "");
        assert_eq!(scan(Span::new("d", "b"), ScanOrder::Down, MANY), "");
        assert_eq!(scan(Span::since("c"), ScanOrder::Up, Page { rows: 2, bytes: 1000 }), "c d");
        assert_eq!(scan(Span::all(), ScanOrder::Down, Page { rows: 9, bytes: 4 }), "e d");
        assert_eq!(
            scan(Span::all(), ScanOrder::Up, Page { rows: 9, bytes: 1 }),
            "a",
            "one row at least"
        );
    });
}

#[test]
fn it_is_all_there_after_opening_again() {
    everywhere(|open| {
        let store = open();
        put(&*store, StoreTable::Entries, &[("a", "1")]);
        let mut batch = Batch::default();
        batch.put(StoreTable::Meta, b"vote", &[b"2"]);
        store.commit(&batch, Synced).unwrap();
        put(&*store, StoreTable::Entries, &[("b", "3")]);
        drop(store);
        let store = open();
        assert_eq!(keys(&*store, StoreTable::Entries, Span::all(), ScanOrder::Up, MANY), "a b");
        assert_eq!(store.get(StoreTable::Meta, b"vote").unwrap().unwrap(), "2");
        assert!(
            store.bytes() > 0
                || keys(&*store, StoreTable::Entries, Span::all(), ScanOrder::Up, MANY).is_empty()
        );
    });
}

#[test]
fn a_power_cut_takes_whole_batches_from_the_end_and_never_a_synced_one() {
    for keep in 0..5 {
        let disk = ModelDisk::default();
        let store = disk.open_store(NAME).unwrap();
        disk.sync_names("").unwrap();
        put(&*store, StoreTable::Entries, &[("a", "")]);
        store.commit(&Batch::default(), Synced).unwrap();
        put(&*store, StoreTable::Entries, &[("b", ""), ("c", "")]);
        put(&*store, StoreTable::Entries, &[("d", "")]);
        assert_eq!((disk.at_risk(), disk.syncs()), (2, 1));
        disk.cut_power(keep);
        assert!(
            store.get(StoreTable::Entries, b"a").is_err(),
            "handles from before the cut are dead"
        );
        let store = disk.open_store(NAME).unwrap();
        let expected = ["a", "a b c", "a b c d", "a b c d", "a b c d"][keep];
        assert_eq!(keys(&*store, StoreTable::Entries, Span::all(), ScanOrder::Up, MANY), expected);
    }
}

#[test]
fn a_store_that_is_open_elsewhere_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let _held = Rocks::open(dir.path()).unwrap();
    let error = Rocks::open(dir.path()).err().unwrap();
    assert!(matches!(error, StoreError::Locked(_)), "{error}");
}

#[test]
fn reading_alone_changes_nothing_and_needs_something_to_read() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Rocks::open_read_only(dir.path()), Err(StoreError::Absent(_))));
    // What cannot be looked at is not absent.
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(matches!(Rocks::open_read_only(&file), Err(StoreError::Failed(_))));
    std::fs::remove_file(&file).unwrap();
    assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "nothing was created");
    put(&Rocks::open(dir.path()).unwrap(), StoreTable::Entries, &[("a", "1")]);
    let store = Rocks::open_read_only(dir.path()).unwrap();
    assert_eq!(store.get(StoreTable::Entries, b"a").unwrap().unwrap(), "1");
    assert!(store.commit(&Batch::default(), Synced).is_err());
}
