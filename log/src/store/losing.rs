//! A model of a disk that keeps what was synced and may lose the rest, at will.
//!
//! A kill never shows whether something was synced, since the kernel still holds it. This does: a power cut takes
//! any number of the newest unsynced batches, and handles from before it are dead.

use super::{Batch, Durability, Page, Row, Span, Store, StoreError, Table, Way, memory::Tables};
use bytes::Bytes;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The disk, which outlives the stores opened on it.
#[derive(Default, Clone)]
pub(crate) struct Disk {
    platters: Arc<Mutex<Platters>>,
}

#[derive(Default)]
struct Platters {
    /// After each commit that might be the last to survive; the first is what is surely durable.
    states: Vec<Tables>,
    /// Counts power cuts.
    life: u64,
    broken: bool,
    syncs: u64,
}

impl Disk {
    /// Opens a store on what the disk holds.
    pub(crate) fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        let mut platters = self.platters();
        if platters.broken {
            return Err(StoreError::Failed("the disk does not answer".into()));
        }
        if platters.states.is_empty() {
            platters.states.push(Tables::default());
        }
        Ok(Box::new(Losing { disk: self.clone(), life: platters.life }))
    }

    /// Cuts the power: of the batches not yet synced the oldest `keep` survive.
    pub(crate) fn cut_power(&self, keep: usize) {
        let mut platters = self.platters();
        platters.life += 1;
        let last = keep.min(platters.states.len().saturating_sub(1));
        let survivor = platters.states.swap_remove(last);
        platters.states = vec![survivor];
    }

    /// Makes every commit fail from now on, or work again.
    pub(crate) fn set_broken(&self, broken: bool) {
        self.platters().broken = broken;
    }

    /// Batches that a power cut would put at risk.
    pub(crate) fn unsynced(&self) -> usize {
        self.platters().states.len().saturating_sub(1)
    }

    /// Synced commits so far.
    pub(crate) fn syncs(&self) -> u64 {
        self.platters().syncs
    }

    fn platters(&self) -> MutexGuard<'_, Platters> {
        self.platters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Losing {
    disk: Disk,
    life: u64,
}

impl Losing {
    fn alive(&self) -> Result<MutexGuard<'_, Platters>, StoreError> {
        let platters = self.disk.platters();
        if platters.life != self.life {
            return Err(StoreError::Failed("the power was cut".into()));
        }
        Ok(platters)
    }

    fn read<T>(&self, ask: impl FnOnce(&Tables) -> T) -> Result<T, StoreError> {
        let platters = self.alive()?;
        platters.states.last().map(ask).ok_or_else(|| StoreError::Absent("the disk is empty".into()))
    }
}

impl Store for Losing {
    fn commit(&self, batch: &Batch, durability: Durability) -> Result<(), StoreError> {
        let mut platters = self.alive()?;
        if platters.broken {
            return Err(StoreError::Failed("the disk does not answer".into()));
        }
        let mut next = platters.states.last().cloned().unwrap_or_default();
        next.change(batch);
        if durability == Durability::Synced {
            platters.states.clear();
            platters.syncs += 1;
        }
        platters.states.push(next);
        Ok(())
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.read(|tables| tables.get(table, key))
    }

    fn scan(&self, table: Table, span: &Span, way: Way, page: Page) -> Result<Vec<Row>, StoreError> {
        self.read(|tables| tables.scan(table, span, way, page))
    }

    fn bytes(&self) -> u64 {
        self.read(Tables::bytes).unwrap_or(0)
    }
}
