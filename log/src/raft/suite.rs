//! The library's own suite for stores, on ours: on disk, and on the model disk.

use super::{
    alarm::Alarm,
    log_store::{LogStore, load_tail},
    machine::StateMachine,
    types::Types,
    writer::{Queue, Work, Writer},
};
use crate::{
    SnapshotPolicy,
    disk::{
        appender::Appender,
        door::Door,
        files::{Files, model::ModelDisk, os::OsFiles},
        head::HeadFile,
        index::HistoryEnd,
        snapshot::Snapshots,
    },
    history::applier::{Applier, Listeners},
    testing::Hashes,
};
use openraft::{
    StorageError,
    testing::log::{StoreBuilder, Suite},
};
use std::{
    sync::{Arc, Mutex},
    thread::JoinHandle,
};
use tempfile::TempDir;

#[derive(Clone, Copy)]
enum On {
    Disk,
    Model,
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

impl StoreBuilder<Types, LogStore, StateMachine, Guard> for On {
    async fn build(&self) -> Result<(Guard, LogStore, StateMachine), StorageError<Types>> {
        let dir = tempfile::tempdir().unwrap();
        let files: Arc<dyn Files> = match self {
            On::Disk => Arc::new(OsFiles::new(dir.path())),
            On::Model => Arc::new(ModelDisk::default()),
        };
        let door = Arc::new(Door::open(files.clone()).unwrap());
        let (listeners, alarm) = (Listeners::default(), Arc::new(Alarm::default()));
        let tail = Arc::new(Mutex::new(load_tail(&door).unwrap()));
        let head = HeadFile::open(&*files).unwrap();
        let appender = Appender { door: door.clone(), head, counts: Arc::default() };
        let writer =
            Writer::new(appender, tail.clone(), listeners.unindexed.clone(), alarm.clone());
        let (queue, writer) = writer.start().unwrap();
        let fold = Box::new(Hashes::default());
        let applier = Applier::new(
            fold,
            HistoryEnd::default(),
            SnapshotPolicy::default(),
            listeners,
            door.clone(),
        );
        let machine = StateMachine {
            applier: Arc::new(Mutex::new(applier)),
            snapshots: Snapshots::new(files),
            door: door.clone(),
            queue: queue.clone(),
            alarm: alarm.clone(),
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
async fn the_store_of_the_model_passes() {
    Suite::test_all(On::Model).await.unwrap();
}
