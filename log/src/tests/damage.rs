//! Damage on disk: refused with an error message, and cut away by `recover`.

use super::*;
use crate::{
    AcceptLoss, OpenError, RecoverError, Recovered,
    disk::{
        files::{Files, os::OsFiles, sealed::SealedFiles},
        store::{Batch, Durability, Store, StoreTable},
    },
    recover,
};
use skep_proto::Revision;
use std::{fs, path::PathBuf};

async fn written(dir: &Path, entries: u64) -> EntryChain {
    let (log, _) = open(dir).await;
    let mut chain = chain(&log);
    // In small groups: a damaged one takes all of it.
    for _ in 0..entries / 10 {
        write(&log, &mut chain, 10).await;
    }
    log.close().await;
    chain
}

fn newest_wal(dir: &Path) -> PathBuf {
    let files = fs::read_dir(dir.join("store")).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|ext| ext == "log")).max().unwrap()
}

/// Flips a byte at a share of the newest write-ahead file.
fn flip(dir: &Path, share: f64) {
    let wal = newest_wal(dir);
    let mut bytes = fs::read(&wal).unwrap();
    let at = (bytes.len() as f64 * share) as usize;
    bytes[at] ^= 0xff;
    fs::write(&wal, &bytes).unwrap();
}

#[tokio::test]
async fn a_log_that_lost_its_synced_tail_is_refused_and_recover_cuts_it_there() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), 400).await;
    flip(dir.path(), 0.5);
    let error = Log::open(config(dir.path()), Hashes::default()).await.err().unwrap();
    let message = format!("{error}\nhint: {}", error.hint().unwrap());
    let OpenError::EndsEarly { readable, durable, .. } = error else { panic!("{message}") };
    assert!(readable > Revision(100) && readable < Revision(300), "{message}");
    assert_eq!(durable, Revision(400));
    assert!(
        message.contains("skep recover --accept-loss") && message.contains(&readable.to_string()),
        "{message}"
    );

    let Recovered { position, durable, incarnation, set_aside, .. } =
        recover(dir.path(), AcceptLoss::OfDamaged, cipher()).unwrap();
    assert!(position.revision >= readable);
    assert_eq!((durable, incarnation), (Revision(400), 2));
    assert!(set_aside.join("CURRENT").exists(), "the damaged store is kept");

    let (log, hashes) = open(dir.path()).await;
    assert_eq!(hashes.list().len() as u64, position.revision.0);
    assert_eq!(log.begun_incarnation(), Some(2));
    let mut chain = chain(&log);
    chain.incarnation = 2;
    write(&log, &mut chain, 5).await;
    assert_eq!(log.begun_incarnation(), None);
    assert_eq!(verify(&log.history()), position.revision.0 + 5);
    log.close().await;
    let (log, _) = open(dir.path()).await;
    assert_eq!(log.begun_incarnation(), None);
    assert_eq!(stands(&log).0.incarnation, 2);
    log.close().await;
}

#[tokio::test]
async fn an_altered_entry_is_refused_with_the_revision_it_breaks_at() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), 30).await;
    let index = alter(dir.path(), 20);
    let error = Log::open(config(dir.path()), Hashes::default()).await.err().unwrap();
    assert!(error.to_string().contains("altered"), "{error}");
    assert!(error.hint().unwrap().contains("recover --accept-loss"), "{error}");
    let recovered = recover(dir.path(), AcceptLoss::OfDamaged, cipher()).unwrap();
    assert_eq!(recovered.position.revision, Revision(19));
    assert!(recovered.cause.unwrap().contains("altered"), "raft index {index}");
    let (log, _) = open(dir.path()).await;
    assert_eq!(verify(&log.history()), 19);
    log.close().await;
}

#[tokio::test]
async fn a_sealed_entry_with_one_other_bit_is_refused_and_recover_cuts_there() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), 30).await;
    let store = OsFiles::new(dir.path()).open_store("store").unwrap();
    let index = rewrite(&*store, 20, |value| {
        let mut value = value.to_vec();
        *value.last_mut().unwrap() ^= 1;
        value
    });
    drop(store);
    let error = Log::open(config(dir.path()), Hashes::default()).await.err().unwrap().to_string();
    let told = format!("the entry at raft index {index}: it is not what was sealed");
    assert!(error.contains(&told), "{error}");
    let recovered = recover(dir.path(), AcceptLoss::OfDamaged, cipher()).unwrap();
    assert_eq!(recovered.position.revision, Revision(19));
    assert_eq!(recovered.cause, Some(told));
}

#[tokio::test]
async fn a_log_without_its_keys_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), 30).await;
    let keys = skep_trust::DataKeys::generate().unwrap().with_another().unwrap();
    let others = Arc::new(ValueCipher::new(keys, [1; 16]).unwrap());
    let with = |cipher| Log::open(Config { cipher, ..config(dir.path()) }, Hashes::default());
    let OpenError::Failed { source, .. } = with(None).await.err().unwrap() else {
        panic!("it is not taken for damaged")
    };
    let told = source.to_string();
    assert!(told.contains("is sealed, and there are no keys; put the file `keys`"), "{told}");
    let error = recover(dir.path(), AcceptLoss::Forced, None).unwrap_err().to_string();
    assert!(error.contains("nothing was changed"), "{error}");
    let OpenError::Failed { source, .. } = with(Some(others)).await.err().unwrap() else {
        panic!("nor where the keys are another log's")
    };
    let told = source.to_string();
    assert!(told.contains("which this folder does not have; put the file `keys`"), "{told}");
    let (log, _) = open(dir.path()).await;
    assert_eq!(verify(&log.history()), 30);
    log.close().await;
}

#[tokio::test]
async fn an_entry_put_in_anothers_place_breaks_the_chain_loudly() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), 30).await;
    // A whole, valid entry, only not the one that history went on from.
    let mut other = EntryChain { head: Hash([1; 32]), next: 20, incarnation: 1 };
    replace(dir.path(), 20, |_| other.entry(1).bytes.to_vec());
    let error = Log::open(config(dir.path()), Hashes::default()).await.err().unwrap().to_string();
    assert!(error.contains("the chain breaks after revision 19"), "{error}");
    assert_eq!(
        recover(dir.path(), AcceptLoss::OfDamaged, cipher()).unwrap().position.revision,
        Revision(19)
    );
}

#[tokio::test]
async fn recover_is_refused_while_a_daemon_runs_and_where_nothing_is() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(
        recover(dir.path(), AcceptLoss::OfDamaged, cipher()),
        Err(RecoverError::Unreadable { .. })
    ));
    let (log, _) = open(dir.path()).await;
    write(&log, &mut EntryChain::default(), 1).await;
    let error = recover(dir.path(), AcceptLoss::OfDamaged, cipher()).unwrap_err();
    assert!(matches!(error, RecoverError::InUse { .. }), "{error}");
    log.close().await;
    let error = recover(dir.path(), AcceptLoss::OfDamaged, cipher()).unwrap_err();
    assert!(matches!(error, RecoverError::Undamaged { readable: Revision(1), .. }), "{error}");
    let recovered = recover(dir.path(), AcceptLoss::Forced, cipher()).unwrap();
    assert_eq!(
        (recovered.position.revision, recovered.cause),
        (Revision(1), None),
        "nothing was lost"
    );
}

/// Flips a bit of the record at a revision, inside the store.
fn alter(dir: &Path, revision: u64) -> u64 {
    replace(dir, revision, |bytes| {
        let mut bytes = bytes.to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        bytes
    })
}

/// Puts another body in the place of an entry's, sealed as the log seals it.
fn replace(dir: &Path, revision: u64, change: impl FnOnce(&[u8]) -> Vec<u8>) -> u64 {
    let files = SealedFiles::over(Arc::new(OsFiles::new(dir)), cipher());
    let store = files.open_store("store").unwrap();
    rewrite(&*store, revision, |value| [&value[..9], &change(&value[9..])].concat())
}

fn rewrite(store: &dyn Store, revision: u64, change: impl FnOnce(&[u8]) -> Vec<u8>) -> u64 {
    let row = store.get(StoreTable::Revisions, &revision.to_be_bytes()).unwrap().unwrap();
    let value = store.get(StoreTable::Entries, &row[..8]).unwrap().unwrap();
    let mut batch = Batch::default();
    batch.put(StoreTable::Entries, &row[..8], &[&change(&value)]);
    store.commit(&batch, Durability::Synced).unwrap();
    u64::from_be_bytes(row[..8].try_into().unwrap())
}
