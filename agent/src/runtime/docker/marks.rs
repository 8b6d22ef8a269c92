//! Which containers this agent itself asked to end, and why: small files, so that the agent which
//! sees the end knows it even when it is not the one that asked.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use skep_proto::Id;

/// Why a container was asked to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum StopMark {
    /// The cluster wants it ended.
    Asked,
    /// Its health check gave up.
    Unhealthy,
}

/// The marks of all tasks, in memory and in a folder. Clones are the same marks.
#[derive(Clone)]
pub(super) struct Marks(Arc<MarkFolder>);

struct MarkFolder {
    path: PathBuf,
    marks: Mutex<BTreeMap<Id, StopMark>>,
    /// One file is written at a time, so that an older state never comes after a newer one.
    writing: Mutex<()>,
}

impl Marks {
    pub(super) fn open(state_dir: &Path) -> io::Result<Marks> {
        let path = state_dir.join("docker-stops");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        let mut marks = BTreeMap::new();
        for file in fs::read_dir(&path)? {
            let file = file?;
            let Some(task) = file.file_name().to_str().and_then(Id::parse) else { continue };
            let word = fs::read_to_string(file.path()).unwrap_or_default();
            let is_unhealthy = word.starts_with("unhealthy");
            marks.insert(task, if is_unhealthy { StopMark::Unhealthy } else { StopMark::Asked });
        }
        let (marks, writing) = (Mutex::new(marks), Mutex::default());
        Ok(Marks(Arc::new(MarkFolder { path, marks, writing })))
    }

    /// The first reason stands. Returns when it is written down.
    pub(super) async fn set(&self, task: Id, mark: StopMark) -> io::Result<()> {
        self.0.lock().entry(task).or_insert(mark);
        let folder = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || folder.write_down(task)).await?
    }

    pub(super) fn get(&self, task: Id) -> Option<StopMark> {
        self.0.lock().get(&task).copied()
    }

    pub(super) fn clear(&self, task: Id) {
        if self.0.lock().remove(&task).is_some() {
            let folder = Arc::clone(&self.0);
            tokio::task::spawn_blocking(move || folder.write_down(task));
        }
    }
}

impl MarkFolder {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Id, StopMark>> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the mark as it is now.
    fn write_down(&self, task: Id) -> io::Result<()> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let file = self.path.join(task.to_string());
        let mark = self.lock().get(&task).copied();
        match mark {
            Some(StopMark::Asked) => fs::write(file, "asked\n"),
            Some(StopMark::Unhealthy) => fs::write(file, "unhealthy\n"),
            None => match fs::remove_file(file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                Ok(()) | Err(_) => Ok(()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_reason_stands_until_it_is_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let marks = Marks::open(dir.path()).unwrap();
        assert_eq!(marks.get(Id(1)), None);
        marks.set(Id(1), StopMark::Unhealthy).await.unwrap();
        marks.set(Id(1), StopMark::Asked).await.unwrap();
        assert_eq!(Marks::open(dir.path()).unwrap().get(Id(1)), Some(StopMark::Unhealthy));
        marks.clear(Id(1));
        assert_eq!(marks.get(Id(1)), None);
    }
}
