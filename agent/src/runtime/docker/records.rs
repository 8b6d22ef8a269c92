//! The ledger on disk: a small file for each task, in the agent's state folder.
//!
//! A file is replaced whole and not synced. After a power cut it may be empty: then the task's id
//! in the container's name identifies it, see [`ledger`](super::ledger).

use super::ledger::{ContainerFate, ContainerLedger, RecordedContainer};
use skep_proto::Id;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// The ledger, and the folder that it is written to.
pub(super) struct ContainerRecords {
    folder: PathBuf,
    ledger: Mutex<ContainerLedger>,
    /// Tasks whose newest state is not on the disk.
    unwritten: Mutex<BTreeSet<Id>>,
    /// One file is written at a time, so that an older state never comes after a newer one.
    writing: Mutex<()>,
    began: Instant,
}

impl ContainerRecords {
    pub(super) fn open(state_dir: &Path) -> io::Result<ContainerRecords> {
        let folder = state_dir.join("docker-containers");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let mut entries = BTreeMap::new();
        for file in fs::read_dir(&folder)? {
            let file = file?;
            let Some(task) = file.file_name().to_str().and_then(Id::parse) else { continue };
            // A file that cannot be read counts as empty; the others are read all the same.
            let text = fs::read_to_string(file.path()).unwrap_or_default();
            entries.insert(task, parse(&text));
        }
        Ok(ContainerRecords {
            folder,
            ledger: Mutex::new(ContainerLedger::restored(entries)),
            unwritten: Mutex::default(),
            writing: Mutex::default(),
            began: Instant::now(),
        })
    }

    /// Reads the ledger.
    pub(super) fn read<T>(&self, read: impl FnOnce(&ContainerLedger) -> T) -> T {
        read(&self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes what is recorded of a task, and returns when that is written down. The change counts
    /// in memory even where the disk refuses it; the next change of the task writes it then.
    pub(super) async fn change<T>(
        self: &Arc<Self>,
        task: Id,
        change: impl FnOnce(&mut ContainerLedger, u64) -> T,
    ) -> io::Result<T> {
        let (value, is_news) = {
            let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
            let before = ledger.entry(task).cloned();
            let value = change(&mut ledger, self.now());
            (value, before.as_ref() != ledger.entry(task))
        };
        if is_news {
            self.unwritten().insert(task);
        }
        if self.unwritten().contains(&task) {
            let records = Arc::clone(self);
            let written = tokio::task::spawn_blocking(move || records.write_down(task));
            written.await.map_err(io::Error::other)??;
        }
        Ok(value)
    }

    fn unwritten(&self) -> MutexGuard<'_, BTreeSet<Id>> {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is recorded of a task now: the newest state counts, in whatever order the calls
    /// come.
    fn write_down(&self, task: Id) -> io::Result<()> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = self.read(|ledger| ledger.entry(task).cloned());
        self.write(task, entry.as_ref())?;
        if self.read(|ledger| ledger.entry(task).cloned()) == entry {
            self.unwritten().remove(&task);
        }
        Ok(())
    }

    /// Lets the ledger answer a listing, and removes the files of what it forgets.
    pub(super) fn sweep(
        self: &Arc<Self>,
        rows: &[super::ledger::ListedContainer],
    ) -> Vec<(Id, String)> {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let sweep = ledger.sweep(rows, self.now());
        drop(ledger);
        if !sweep.forget.is_empty() {
            let records = Arc::clone(self);
            tokio::task::spawn_blocking(move || {
                for task in sweep.forget {
                    let _ = records.write_down(task);
                }
            });
        }
        sweep.remove
    }

    /// Nanoseconds by the monotonic clock, since the ledger was opened.
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn write(&self, task: Id, entry: Option<&RecordedContainer>) -> io::Result<()> {
        let file = self.file(task);
        let Some(entry) = entry else {
            return match fs::remove_file(file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                Ok(()) | Err(_) => Ok(()),
            };
        };
        let fresh = self.folder.join(format!("{task}.new"));
        fs::write(&fresh, text(entry))?;
        fs::rename(fresh, file)
    }

    fn file(&self, task: Id) -> PathBuf {
        self.folder.join(task.to_string())
    }
}

fn text(entry: &RecordedContainer) -> String {
    let container =
        entry.container.as_ref().map(|id| format!("container {id}\n")).unwrap_or_default();
    let fate = match entry.fate {
        ContainerFate::Kept => "",
        ContainerFate::Over => "over\n",
        ContainerFate::Condemned => "condemned\n",
    };
    format!("name {}\n{container}{fate}", entry.name)
}

fn parse(text: &str) -> RecordedContainer {
    let mut entry =
        RecordedContainer { name: String::new(), container: None, fate: ContainerFate::Kept };
    for line in text.lines() {
        match line.split_once(' ') {
            Some(("name", name)) => name.clone_into(&mut entry.name),
            Some(("container", id)) => entry.container = Some(id.to_owned()),
            None if line == "condemned" => entry.fate = ContainerFate::Condemned,
            None if line == "over" => entry.fate = ContainerFate::Over,
            Some(_) | None => {}
        }
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_recorded_is_there_for_the_next_agent() {
        let dir = tempfile::tempdir().unwrap();
        let records = Arc::new(ContainerRecords::open(dir.path()).unwrap());
        records
            .change(Id(1), |ledger, now| ledger.begin(Id(1), "web.1", now))
            .await
            .unwrap()
            .unwrap();
        records
            .change(Id(2), |ledger, now| ledger.begin(Id(2), "web.2", now))
            .await
            .unwrap()
            .unwrap();
        records.change(Id(2), |ledger, _| ledger.made(Id(2), "web.2", "c2")).await.unwrap();
        records.change(Id(2), |ledger, now| ledger.condemn(Id(2), now)).await.unwrap();
        records
            .change(Id(3), |ledger, now| ledger.begin(Id(3), "web.3", now))
            .await
            .unwrap()
            .unwrap();
        records.change(Id(3), |ledger, _| ledger.gone(Id(3))).await.unwrap();
        let records = Arc::new(ContainerRecords::open(dir.path()).unwrap());
        let kept =
            RecordedContainer { name: "web.1".into(), container: None, fate: ContainerFate::Kept };
        let condemned = RecordedContainer {
            name: "web.2".into(),
            container: Some("c2".into()),
            fate: ContainerFate::Condemned,
        };
        records.read(|ledger| {
            assert_eq!(ledger.entry(Id(1)), Some(&kept));
            assert_eq!(ledger.entry(Id(2)), Some(&condemned));
            assert_eq!(ledger.entry(Id(3)), None);
        });
    }

    #[tokio::test]
    async fn an_empty_file_costs_its_own_task_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let records = Arc::new(ContainerRecords::open(dir.path()).unwrap());
        for n in [1, 2] {
            records
                .change(Id(n), |ledger, now| ledger.begin(Id(n), "web", now))
                .await
                .unwrap()
                .unwrap();
        }
        fs::write(dir.path().join("docker-containers").join(Id(1).to_string()), "").unwrap();
        let records = Arc::new(ContainerRecords::open(dir.path()).unwrap());
        let name = |task| records.read(|ledger| ledger.entry(task).unwrap().name.clone());
        assert_eq!((name(Id(1)).as_str(), name(Id(2)).as_str()), ("", "web"));
    }

    #[tokio::test]
    async fn what_the_disk_refused_is_written_with_the_next_change() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("docker-containers");
        let records = Arc::new(ContainerRecords::open(dir.path()).unwrap());
        fs::remove_dir(&folder).unwrap();
        let begin = |ledger: &mut ContainerLedger, now| ledger.begin(Id(1), "web.1", now);
        assert!(records.change(Id(1), begin).await.is_err());
        fs::create_dir(&folder).unwrap();
        records.change(Id(1), begin).await.unwrap().unwrap();
        let again = ContainerRecords::open(dir.path()).unwrap();
        assert!(again.read(|ledger| ledger.entry(Id(1)).is_some()));
    }
}
