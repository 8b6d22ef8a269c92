//! Which containers this agent itself asked to end, and why: small files, so that the agent which
//! sees the end knows it even when it is not the one that asked.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
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

/// The folder of marks.
pub(super) struct Marks(PathBuf);

impl Marks {
    pub(super) fn open(state_dir: &Path) -> io::Result<Marks> {
        let folder = state_dir.join("docker-stops");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Marks(folder))
    }

    /// The first reason stands.
    pub(super) fn set(&self, task: Id, mark: StopMark) -> io::Result<()> {
        let word = match mark {
            StopMark::Asked => "asked\n",
            StopMark::Unhealthy => "unhealthy\n",
        };
        match fs::File::create_new(self.file(task)) {
            Ok(mut file) => io::Write::write_all(&mut file, word.as_bytes()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) fn get(&self, task: Id) -> Option<StopMark> {
        let word = fs::read_to_string(self.file(task)).ok()?;
        Some(if word.starts_with("unhealthy") { StopMark::Unhealthy } else { StopMark::Asked })
    }

    pub(super) fn clear(&self, task: Id) {
        let _ = fs::remove_file(self.file(task));
    }

    fn file(&self, task: Id) -> PathBuf {
        self.0.join(task.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_stands_until_it_is_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let marks = Marks::open(dir.path()).unwrap();
        assert_eq!(marks.get(Id(1)), None);
        marks.set(Id(1), StopMark::Unhealthy).unwrap();
        marks.set(Id(1), StopMark::Asked).unwrap();
        assert_eq!(Marks::open(dir.path()).unwrap().get(Id(1)), Some(StopMark::Unhealthy));
        marks.clear(Id(1));
        assert_eq!(marks.get(Id(1)), None);
    }
}
