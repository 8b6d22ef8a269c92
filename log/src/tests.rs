//! Stories of a whole log, on every store it can have.

mod callers;
mod crash;
mod damage;
mod disk;
mod history;
mod kill;
mod life;
mod loopback;
mod several;
mod single;
mod snapshots;

use crate::{
    Config, Hash, Log, ModelDisk,
    testing::{EntryChain, Hashes},
};
use skep_proto::{Id, Position};
use skep_trust::ValueCipher;
use std::{path::Path, sync::Arc, time::Duration};

/// Longer than anything a test waits for takes on a busy machine; reached only by failing.
const PATIENCE: Duration = Duration::from_secs(60);

fn config(dir: &Path) -> Config {
    Config { min_free: 0.0, cipher: cipher(), ..Config::new(dir, Id(7)) }
}

fn cipher() -> Option<Arc<ValueCipher>> {
    Some(crate::disk::files::model::known_cipher())
}

async fn open(dir: &Path) -> (Log, Hashes) {
    let hashes = Hashes::default();
    (Log::open(config(dir), hashes.clone()).await.unwrap(), hashes)
}

async fn open_on(disk: &ModelDisk) -> (Log, Hashes) {
    let hashes = Hashes::default();
    // The folder is asked for free room only.
    let config = config(Path::new("/"));
    (Log::open_on_model(config, hashes.clone(), disk).await.unwrap(), hashes)
}

fn stands(log: &Log) -> (Position, Hash) {
    let status = log.status().borrow().clone();
    (status.applied, status.head)
}

/// A chain that goes on where the log stands.
fn chain(log: &Log) -> EntryChain {
    let (position, head) = stands(log);
    EntryChain::on(position, head)
}

/// Writes entries of one record each, all in flight at once.
async fn write(log: &Log, chain: &mut EntryChain, entries: u64) {
    let proposals: Vec<_> = (0..entries).map(|_| log.propose(chain.entry(1))).collect();
    for proposal in proposals {
        proposal.await.unwrap();
    }
}

/// Walks all of history, checking that each entry follows on the one before; says how many records
/// there are.
fn verify(history: &crate::HistoryReader) -> u64 {
    let (mut head, mut next) = (Hash::ZERO, 1);
    for entry in history.entries(skep_proto::Revision(1)) {
        let entry = entry.unwrap();
        let again = crate::unseal(entry.bytes().clone()).unwrap();
        assert_eq!((again.hash, entry.parent(), entry.first().0), (entry.hash, head, next));
        (head, next) = (entry.hash, entry.last().0 + 1);
    }
    assert_eq!(history.bounds().2, head);
    next - 1
}
