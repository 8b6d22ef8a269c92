//! The library's own suite for stores, on ours: on disk, and on the model disk.

use super::{
    alarm::Alarm,
    log_store::{LogStore, load_tail},
    machine::StateMachine,
    tail,
    types::Types,
    writer::{Queue, Work, Writer, WriterLife},
};
use crate::{SnapshotPolicy, disk, history::applier, testing::Hashes};
use openraft::{StorageError, testing::log};
use std::sync;
use tempfile::TempDir;

#[derive(Clone, Copy)]
enum On {
    Disk,
    Model,
}

/// Ends the writer before the folder goes.
struct Guard {
    queue: Queue,
    writer: Option<WriterLife>,
    _dir: TempDir,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.queue.push(Work::Stop).unwrap();
        self.writer.take().unwrap().join();
    }
}

impl log::StoreBuilder<Types, LogStore, StateMachine, Guard> for On {
    async fn build(&self) -> Result<(Guard, LogStore, StateMachine), StorageError<Types>> {
        let dir = tempfile::tempdir().unwrap();
        let files: sync::Arc<dyn disk::files::Files> = match self {
            On::Disk => sync::Arc::new(disk::files::os::OsFiles::new(dir.path())),
            On::Model => sync::Arc::new(disk::files::model::ModelDisk::default()),
        };
        let store = sync::Arc::new(disk::store_handle::StoreHandle::open(files.clone()).unwrap());
        let (listeners, alarm) = (applier::Listeners::default(), sync::Arc::new(Alarm::default()));
        let tail = sync::Arc::new(tail::SharedTail::new(load_tail(&store).unwrap()));
        let head = disk::head::HeadFile::open(&*files).unwrap();
        let appender =
            disk::appender::Appender { store: store.clone(), head, counts: sync::Arc::default() };
        let writer =
            Writer::new(appender, tail.clone(), listeners.unindexed.clone(), alarm.clone());
        let (queue, writer) = writer.start().unwrap();
        let fold = Box::new(Hashes::default());
        let applier = applier::Applier::new(
            fold,
            disk::index::HistoryEnd::default(),
            SnapshotPolicy::default(),
            listeners,
            store.clone(),
        );
        let machine = StateMachine {
            applier: sync::Arc::new(sync::Mutex::new(applier)),
            tail: None,
            snapshots: disk::snapshot::Snapshots::new(files),
            store: store.clone(),
            queue: queue.clone(),
            alarm: alarm.clone(),
            finished: tokio::sync::mpsc::channel(1).0,
        };
        let log_store = LogStore::new(store, tail, queue.clone(), alarm);
        Ok((Guard { queue, writer: Some(writer), _dir: dir }, log_store, machine))
    }
}

#[tokio::test]
async fn the_store_on_disk_passes() {
    log::Suite::test_all(On::Disk).await.unwrap();
}

#[tokio::test]
async fn the_store_of_the_model_passes() {
    log::Suite::test_all(On::Model).await.unwrap();
}
