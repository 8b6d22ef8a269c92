//! The model disk as the log sees it: a folder, files that are written in place, databases.

use super::{Inode, ModelDisk, Pending, is_below, overwrite, power_was_cut};
use crate::disk::{
    files::{Files, SlotFile, tables::Tables},
    store::{Batch, Durability, KeyValue, Page, ScanOrder, Span, Store, StoreError, StoreTable},
};
use bytes::Bytes;
use std::{
    io,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

fn absent(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("there is no {name}"))
}

impl Files for ModelDisk {
    fn open_store(&self, name: &str) -> Result<Box<dyn Store>, StoreError> {
        let opened = self.change(None, |platters| {
            let node = match platters.names.get(name) {
                Some(node) => *node,
                None => platters.named(
                    name,
                    Inode::Store { now: Tables::default(), durable: Tables::default() },
                ),
            };
            if platters.open.contains(&node) {
                return Err(io::Error::new(
                    io::ErrorKind::WouldBlock,
                    "the store is open elsewhere",
                ));
            }
            // A database that opens writes what it found in its write-ahead log into tables.
            platters.sync_node(node);
            Ok((node, platters.life))
        });
        // The lock is the process's, and no change of the disk.
        let (node, life) = opened.map_err(refused)?;
        self.platters().open.insert(node);
        Ok(Box::new(ModelStore {
            disk: self.clone(),
            node,
            life,
            failed: AtomicBool::new(false),
            writable: true,
        }))
    }

    fn read_store(&self, name: &str) -> Result<Box<dyn Store>, StoreError> {
        let platters = self.platters();
        let Some(&node) = platters.names.get(name) else {
            return Err(StoreError::Absent(format!("there is no log in {name}")));
        };
        let life = platters.life;
        Ok(Box::new(ModelStore {
            disk: self.clone(),
            node,
            life,
            failed: AtomicBool::new(false),
            writable: false,
        }))
    }

    fn open_locked(&self, name: &str) -> io::Result<Box<dyn SlotFile>> {
        let found = self.platters().names.get(name).copied();
        let (node, life) = match found {
            Some(node) => (node, self.platters().life),
            None => self.change(None, |platters| {
                Ok((platters.named(name, Inode::file()), platters.life))
            })?,
        };
        if !self.platters().open.insert(node) {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "the file is locked"));
        }
        Ok(Box::new(ModelFile { disk: self.clone(), node, life }))
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let platters = self.platters();
        match platters.names.get(name).map(|node| &platters.nodes[*node]) {
            Some(Inode::File { now, .. }) => Ok(now.clone()),
            Some(Inode::Store { .. }) | None => Err(absent(name)),
        }
    }

    fn write(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        let bytes = parts.concat();
        self.change(None, |platters| {
            platters.named(name, Inode::File { now: bytes.clone(), durable: bytes });
            Ok(())
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(None, |platters| {
            let node = platters.names.remove(from).ok_or_else(|| absent(from))?;
            platters.names.insert(to.to_owned(), node);
            platters.pending.push(Pending::Renamed { from: from.to_owned(), to: to.to_owned() });
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        if !self.platters().names.keys().any(|found| is_below(found, name)) {
            return Ok(());
        }
        self.change(None, |platters| {
            platters.names.retain(|found, _| !is_below(found, name));
            platters.pending.push(Pending::Removed { name: name.to_owned() });
            Ok(())
        })
    }

    fn make_folder(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let below = |name: &String| {
            let rest = if folder.is_empty() {
                name
            } else {
                name.strip_prefix(folder)?.strip_prefix('/')?
            };
            (!rest.contains('/')).then(|| rest.to_owned())
        };
        Ok(self.platters().names.keys().filter_map(below).collect())
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        Ok(self.platters().names.keys().any(|found| is_below(found, name)))
    }

    fn sync_names(&self, _: &str) -> io::Result<()> {
        self.change(None, |platters| {
            platters.sync_names();
            Ok(())
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("/model").join(name)
    }
}

fn refused(error: io::Error) -> StoreError {
    match error.kind() == io::ErrorKind::WouldBlock {
        true => StoreError::Locked(error.to_string()),
        false => StoreError::Failed(error.to_string()),
    }
}

#[derive(Debug)]
struct ModelFile {
    disk: ModelDisk,
    node: usize,
    life: u64,
}

impl SlotFile for ModelFile {
    fn read(&self) -> io::Result<Vec<u8>> {
        let platters = self.disk.platters();
        match &platters.nodes[self.node] {
            Inode::File { now, .. } if platters.life == self.life => Ok(now.clone()),
            Inode::File { .. } | Inode::Store { .. } => Err(power_was_cut()),
        }
    }

    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let (node, at) = (self.node, usize::try_from(at).map_err(io::Error::other)?);
        self.disk.change(Some(self.life), |platters| {
            if let Inode::File { now, .. } = &mut platters.nodes[node] {
                overwrite(now, at, bytes);
            }
            platters.pending.push(Pending::Bytes { node, at, bytes: bytes.to_vec() });
            Ok(())
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        let node = self.node;
        self.disk.change(Some(self.life), |platters| {
            platters.sync_node(node);
            Ok(())
        })
    }
}

impl Drop for ModelFile {
    fn drop(&mut self) {
        let mut platters = self.disk.platters();
        if platters.life == self.life {
            platters.open.remove(&self.node);
        }
    }
}

struct ModelStore {
    disk: ModelDisk,
    node: usize,
    life: u64,
    /// After a failed commit a store takes no more until it is reopened.
    failed: AtomicBool,
    writable: bool,
}

impl ModelStore {
    fn ask<T>(&self, ask: impl FnOnce(&Tables) -> T) -> Result<T, StoreError> {
        let platters = self.disk.platters();
        if platters.life != self.life {
            return Err(refused(power_was_cut()));
        }
        platters
            .tables(self.node)
            .map(ask)
            .ok_or_else(|| StoreError::Absent("there is no store".into()))
    }
}

impl Store for ModelStore {
    fn commit(&self, batch: &Batch, durability: Durability) -> Result<(), StoreError> {
        if !self.writable || self.failed.load(Relaxed) {
            return Err(StoreError::Failed(
                "the store must be reopened before it is written".into(),
            ));
        }
        let committed = self.disk.change(Some(self.life), |platters| {
            if let Inode::Store { now, .. } = &mut platters.nodes[self.node] {
                now.change(batch);
            }
            platters.pending.push(Pending::Rows { node: self.node, batch: batch.clone() });
            if durability == Durability::Synced {
                platters.sync_node(self.node);
                platters.syncs += 1;
            }
            Ok(())
        });
        committed.map_err(|error| {
            self.failed.store(true, Relaxed);
            refused(error)
        })
    }

    fn get(&self, table: StoreTable, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.ask(|tables| tables.get(table, key))
    }

    fn scan(
        &self,
        table: StoreTable,
        span: &Span,
        way: ScanOrder,
        page: Page,
    ) -> Result<Vec<KeyValue>, StoreError> {
        self.ask(|tables| tables.scan(table, span, way, page))
    }

    fn bytes(&self) -> u64 {
        self.ask(Tables::bytes).unwrap_or(0)
    }
}

impl Drop for ModelStore {
    fn drop(&mut self) {
        let mut platters = self.disk.platters();
        if self.writable && platters.life == self.life {
            platters.open.remove(&self.node);
        }
    }
}
