//! The library's own suite for stores, on ours: on disk, and in memory.

use super::{
    Types,
    log_store::{LogStore, load_tail},
    machine::Machine,
};
use crate::{
    alarm::Alarm,
    applier::{Applier, Listeners, SnapshotPolicy},
    head::HeadFile,
    ring::Ring,
    snapshot::Snapshots,
    status::Standing,
    store::{Door, Store, memory::Memory, rocks::Rocks},
    testing::Hashes,
    unindexed::Unindexed,
    writer::{Counts, Queue, Work, Writer},
};
use openraft::{
    StorageError,
    testing::log::{StoreBuilder, Suite},
};
use skep_proto::Revision;
use std::{
    sync::{Arc, Mutex},
    thread::JoinHandle,
};
use tempfile::TempDir;

#[derive(Clone, Copy)]
enum On {
    Disk,
    Memory,
}

/// Ends the writer before the folder goes.
struct Guard {
    queue: Queue,
    writer: Option<JoinHandle<()>>,
    _dir: TempDir,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.queue.push(Work::Stop).unwrap();
        self.writer.take().unwrap().join().unwrap();
    }
}

impl StoreBuilder<Types, LogStore, Machine, Guard> for On {
    async fn build(&self) -> Result<(Guard, LogStore, Machine), StorageError<Types>> {
        let dir = tempfile::tempdir().unwrap();
        let on = *self;
        let path = dir.path().join("store");
        let door = Door::open(Arc::new(move || {
            Ok(match on {
                On::Disk => Box::new(Rocks::open(&path)?) as Box<dyn Store>,
                On::Memory => Box::new(Memory::default()),
            })
        }));
        let door = Arc::new(door.unwrap());
        let listeners = Listeners {
            ring: Arc::new(Ring::new(Revision(0))),
            unindexed: Arc::new(Unindexed::default()),
            standing: Arc::new(Standing::new(Default::default(), crate::Hash::ZERO)),
            alarm: Arc::new(Alarm::default()),
        };
        let alarm = listeners.alarm.clone();
        let tail = Arc::new(Mutex::new(load_tail(&door).unwrap()));
        let writer = Writer {
            door: door.clone(),
            tail: tail.clone(),
            head: HeadFile::open(&dir.path().join("head")).unwrap(),
            unindexed: listeners.unindexed.clone(),
            alarm: alarm.clone(),
            counts: Arc::new(Counts::default()),
            room: crate::store::Batch::default(),
        };
        let (queue, writer) = writer.start().unwrap();
        let fold = Box::new(Hashes::default());
        let applier = Applier::new(fold, 0, SnapshotPolicy::default(), listeners, door.clone());
        let machine = Machine {
            applier: Arc::new(Mutex::new(applier)),
            snapshots: Snapshots::new(dir.path()),
            door: door.clone(),
            queue: queue.clone(),
            finished: tokio::sync::mpsc::channel(1).0,
        };
        let store = LogStore::new(door, tail, queue.clone(), alarm);
        Ok((Guard { queue, writer: Some(writer), _dir: dir }, store, machine))
    }
}

#[tokio::test]
async fn the_store_on_disk_passes() {
    Suite::test_all(On::Disk).await.unwrap();
}

#[tokio::test]
async fn the_store_in_memory_passes() {
    Suite::test_all(On::Memory).await.unwrap();
}
