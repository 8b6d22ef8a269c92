//! A model of a disk that keeps what was synced and may lose the rest, at will.
//!
//! A kill never shows whether something was synced, since the kernel still holds it. This does. A
//! power cut keeps the oldest so many of the changes that were not yet durable, in the order in
//! which they were made, and handles from before it are dead. Every change is counted, so that a
//! test can let each of them fail in turn, or cut the power before it.

use super::tables::Tables;
use crate::disk::{
    keys, names,
    store::{Batch, KeyValue, Page, ScanOrder, Span, StoreTable},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

mod cipher;
mod handles;

#[cfg(test)]
pub(crate) use cipher::known_cipher;

/// A disk with one log's folder. It outlives the logs that are opened on it; handles are cheap.
#[derive(Default, Clone)]
pub struct ModelDisk {
    platters: Arc<Mutex<Platters>>,
    resumed: Arc<Condvar>,
}

/// What happens at one of the coming changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The change is refused, as by a full disk, and so are all after it until [`ModelDisk::heal`].
    Refuse,
    /// The change happens and is reported as failed; all after it are refused until
    /// [`ModelDisk::heal`].
    FailAfter,
    /// The power is cut before it: of what was not durable the oldest so many changes survive.
    CutPower {
        /// How many of the changes that were not durable survive.
        keep: usize,
    },
}

#[derive(Default)]
struct Platters {
    nodes: Vec<Inode>,
    /// Names as they are seen now, and as they are surely found after a power cut.
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// Changes that are not durable, oldest first.
    pending: Vec<Pending>,
    /// Counts power cuts.
    life: u64,
    changes: u64,
    syncs: u64,
    fault: Option<(u64, Fault)>,
    /// Whether a fault has happened.
    met: bool,
    refusing: bool,
    /// Changes wait.
    hanging: bool,
    /// Nodes that are open for work.
    open: BTreeSet<usize>,
}

#[derive(Clone)]
enum Inode {
    File { now: Vec<u8>, durable: Vec<u8> },
    Store { now: Tables, durable: Tables },
}

enum Pending {
    Bytes { node: usize, at: usize, bytes: Vec<u8> },
    Rows { node: usize, batch: Batch },
    Named { name: String, node: usize },
    Removed { name: String },
    Renamed { from: String, to: String },
}

impl ModelDisk {
    /// Cuts the power: of the changes that are not durable the oldest `keep` survive. Says how many
    /// were lost.
    pub fn cut_power(&self, keep: usize) -> usize {
        self.platters().cut_power(keep)
    }

    /// Lets the `nth` change from now on meet this fault; 0 is the next one.
    pub fn fail_at(&self, nth: u64, fault: Fault) {
        let mut platters = self.platters();
        (platters.fault, platters.met) = (Some((platters.changes + nth, fault)), false);
    }

    /// Refuses every change from now on.
    pub fn refuse(&self) {
        self.platters().refusing = true;
    }

    /// Answers no change from now on: each waits until [`ModelDisk::heal`]. What is read is not
    /// affected.
    pub fn hang(&self) {
        self.platters().hanging = true;
    }

    /// Takes changes again, those that wait first; a fault that has not happened yet is forgotten.
    pub fn heal(&self) {
        let mut platters = self.platters();
        (platters.refusing, platters.hanging, platters.fault) = (false, false, None);
        self.resumed.notify_all();
    }

    /// Changes that a power cut would put at risk.
    pub fn at_risk(&self) -> usize {
        self.platters().pending.len()
    }

    /// Changes so far.
    pub fn changes(&self) -> u64 {
        self.platters().changes
    }

    /// Commits so far that were synced.
    pub fn syncs(&self) -> u64 {
        self.platters().syncs
    }

    /// Whether the fault that was set has happened.
    pub fn has_met_its_fault(&self) -> bool {
        self.platters().met
    }

    /// The index after the last entry in the log's store.
    pub fn log_end(&self) -> u64 {
        let platters = self.platters();
        let tables = platters.names.get(names::STORE).and_then(|node| platters.tables(*node));
        let all = Span::since([]);
        let last = tables.and_then(|tables| {
            tables.scan(StoreTable::Entries, &all, ScanOrder::Down, Page::ONE).pop()
        });
        last.and_then(|(key, _)| keys::read_entry_key(&key).ok()).map_or(0, |last| last + 1)
    }

    /// Damages the log: the synced entries from this index on are gone, as from a disk that lied.
    pub fn lose_entries(&self, from: u64) {
        let mut batch = Batch::default();
        batch.delete_span(StoreTable::Entries, &keys::entry_key(from), &keys::entry_key(u64::MAX));
        let behind = |rows: Vec<KeyValue>| {
            let index =
                |row: &KeyValue| keys::read_revision(&row.0, &row.1).ok().map(|row| row.index);
            rows.into_iter()
                .filter(|row| index(row).is_some_and(|index| index >= from))
                .collect::<Vec<_>>()
        };
        let mut platters = self.platters();
        let Some(node) = platters.names.get(names::STORE).copied() else { return };
        let every = Page { rows: usize::MAX, bytes: usize::MAX };
        let rows = platters
            .tables(node)
            .map(|now| now.scan(StoreTable::Revisions, &Span::since([]), ScanOrder::Up, every));
        behind(rows.unwrap_or_default())
            .iter()
            .for_each(|(key, _)| batch.delete(StoreTable::Revisions, key));
        platters.sync_node(node);
        if let Inode::Store { now, durable } = &mut platters.nodes[node] {
            now.change(&batch);
            durable.change(&batch);
        }
    }

    fn platters(&self) -> MutexGuard<'_, Platters> {
        self.platters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one change, unless a fault says otherwise.
    fn change<T>(
        &self,
        life: Option<u64>,
        make: impl FnOnce(&mut Platters) -> io::Result<T>,
    ) -> io::Result<T> {
        let waited = self.resumed.wait_while(self.platters(), |platters| platters.hanging);
        let mut platters = waited.unwrap_or_else(PoisonError::into_inner);
        if life.is_some_and(|life| life != platters.life) {
            return Err(power_was_cut());
        }
        let nth = platters.changes;
        platters.changes += 1;
        let fault = platters.fault.filter(|(at, _)| *at == nth).map(|(_, fault)| fault);
        platters.met |= fault.is_some();
        match fault {
            Some(Fault::CutPower { keep }) => {
                platters.cut_power(keep);
                return Err(power_was_cut());
            }
            Some(Fault::FailAfter) => {
                platters.refusing = true;
                make(&mut platters)?;
                return Err(no_room());
            }
            Some(Fault::Refuse) => platters.refusing = true,
            None => {}
        }
        if platters.refusing {
            return Err(no_room());
        }
        make(&mut platters)
    }
}

fn no_room() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "the disk takes nothing")
}

fn power_was_cut() -> io::Error {
    io::Error::other("the power was cut")
}

impl Platters {
    fn cut_power(&mut self, keep: usize) -> usize {
        let mut pending = std::mem::take(&mut self.pending);
        let lost = pending.split_off(keep.min(pending.len())).len();
        pending.into_iter().for_each(|change| self.make_durable(change));
        self.names = self.durable_names.clone();
        let kept: BTreeSet<usize> = self.names.values().copied().collect();
        for (at, node) in self.nodes.iter_mut().enumerate() {
            match node {
                // Its name is gone, and its bytes with it.
                Inode::File { .. } | Inode::Store { .. } if !kept.contains(&at) => {
                    *node = Inode::file()
                }
                Inode::File { now, durable } => now.clone_from(durable),
                Inode::Store { now, durable } => now.clone_from(durable),
            }
        }
        self.life += 1;
        self.open.clear();
        (self.refusing, self.fault) = (false, None);
        lost
    }

    fn make_durable(&mut self, change: Pending) {
        match change {
            Pending::Bytes { node, at, bytes } => {
                if let Inode::File { durable, .. } = &mut self.nodes[node] {
                    overwrite(durable, at, &bytes);
                }
            }
            Pending::Rows { node, batch } => {
                if let Inode::Store { durable, .. } = &mut self.nodes[node] {
                    durable.change(&batch);
                }
            }
            Pending::Named { name, node } => {
                self.durable_names.insert(name, node);
            }
            Pending::Removed { name } => {
                self.durable_names.retain(|found, _| !is_below(found, &name))
            }
            Pending::Renamed { from, to } => {
                if let Some(node) = self.durable_names.remove(&from) {
                    self.durable_names.insert(to, node);
                }
            }
        }
    }

    /// Makes the pending changes of one node durable.
    fn sync_node(&mut self, wanted: usize) {
        let is_of = |change: &mut Pending| match change {
            Pending::Bytes { node, .. } | Pending::Rows { node, .. } => *node == wanted,
            Pending::Named { .. } | Pending::Removed { .. } | Pending::Renamed { .. } => false,
        };
        let synced: Vec<Pending> = self.pending.extract_if(.., is_of).collect();
        synced.into_iter().for_each(|change| self.make_durable(change));
    }

    fn sync_names(&mut self) {
        let is_name = |change: &mut Pending| match change {
            Pending::Bytes { .. } | Pending::Rows { .. } => false,
            Pending::Named { .. } | Pending::Removed { .. } | Pending::Renamed { .. } => true,
        };
        let synced: Vec<Pending> = self.pending.extract_if(.., is_name).collect();
        synced.into_iter().for_each(|change| self.make_durable(change));
    }

    fn named(&mut self, name: &str, node: Inode) -> usize {
        self.nodes.push(node);
        let at = self.nodes.len() - 1;
        self.names.insert(name.to_owned(), at);
        self.pending.push(Pending::Named { name: name.to_owned(), node: at });
        at
    }

    fn tables(&self, node: usize) -> Option<&Tables> {
        match &self.nodes[node] {
            Inode::Store { now, .. } => Some(now),
            Inode::File { .. } => None,
        }
    }
}

impl Inode {
    fn file() -> Inode {
        Inode::File { now: Vec::new(), durable: Vec::new() }
    }
}

fn overwrite(bytes: &mut Vec<u8>, at: usize, with: &[u8]) {
    if bytes.len() < at + with.len() {
        bytes.resize(at + with.len(), 0);
    }
    bytes[at..at + with.len()].copy_from_slice(with);
}

/// Whether a name is this one or stands below it.
fn is_below(name: &str, folder: &str) -> bool {
    name.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl std::fmt::Debug for ModelDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ModelDisk")
    }
}
