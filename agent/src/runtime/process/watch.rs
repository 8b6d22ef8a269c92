//! Waiting for task folders to change, without asking again and again.
//!
//! One inotify instance serves all: a user has only 128 of them, shared with every other program,
//! and each output that is followed needs a watch.

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::fd::AsFd,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{net::unix::pipe, sync::watch, task::JoinHandle};

/// Room for the news that are read at once.
const NEWS_BYTES: usize = 4096;
/// Length of an event's fixed part: watch, mask, cookie, length of the name.
const EVENT_BYTES: usize = 16;

/// All watches of one runtime. The instance is made when it is first needed, inside of tokio.
#[derive(Default)]
pub(crate) struct Watches(Mutex<Option<Arc<Instance>>>);

struct Instance {
    inotify: Inotify,
    folders: Arc<Folders>,
    reader: JoinHandle<()>,
}

/// Who waits for which folder, by the watch's number.
type Folders = Mutex<BTreeMap<i32, watch::Sender<u64>>>;

/// News of one folder, from the moment it was made.
pub(crate) struct FolderWatch {
    news: watch::Receiver<u64>,
    descriptor: WatchDescriptor,
    instance: Arc<Instance>,
}

impl Watches {
    /// Begins to watch a folder. Look at it after this, or news are missed.
    pub(crate) fn watch(&self, folder: &Path) -> io::Result<FolderWatch> {
        let instance = self.instance()?;
        let wanted = AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF;
        let mut folders = locked(&instance.folders);
        let descriptor = instance.inotify.add_watch(folder, wanted)?;
        let news = folders.entry(descriptor.as_raw()).or_default().subscribe();
        drop(folders);
        Ok(FolderWatch { news, descriptor, instance })
    }

    fn instance(&self) -> io::Result<Arc<Instance>> {
        let mut instance = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(instance) = &*instance {
            return Ok(Arc::clone(instance));
        }
        let inotify =
            Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).map_err(|error| {
                let message = format!(
                    "cannot watch files: {}; raise fs.inotify.max_user_instances",
                    error.desc()
                );
                io::Error::other(message)
            })?;
        // To the event loop it is a pipe like any other.
        let news =
            pipe::Receiver::from_file_unchecked(File::from(inotify.as_fd().try_clone_to_owned()?))?;
        let folders = Arc::new(Folders::default());
        let reader = tokio::spawn(read(news, Arc::clone(&folders)));
        let made = Arc::new(Instance { inotify, folders, reader });
        *instance = Some(Arc::clone(&made));
        Ok(made)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl FolderWatch {
    /// Resolves when something happened since the last time, or since the beginning.
    pub(crate) async fn changed(&mut self) -> io::Result<()> {
        self.news.changed().await.map_err(|_| io::Error::other("files are no longer watched"))
    }
}

impl Drop for FolderWatch {
    fn drop(&mut self) {
        let mut folders = locked(&self.instance.folders);
        let number = self.descriptor.as_raw();
        // This one is still counted.
        if folders.get(&number).is_some_and(|news| news.receiver_count() <= 1) {
            folders.remove(&number);
            // The folder may be gone, and its watch with it.
            let _ = self.instance.inotify.rm_watch(self.descriptor);
        }
    }
}

fn locked(folders: &Folders) -> MutexGuard<'_, BTreeMap<i32, watch::Sender<u64>>> {
    folders.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Passes news on until the runtime is dropped. When it cannot be read any more, everybody hears
/// that.
async fn read(news: pipe::Receiver, folders: Arc<Folders>) {
    let mut bytes = vec![0; NEWS_BYTES];
    while news.readable().await.is_ok() {
        match news.try_read(&mut bytes) {
            Ok(count) => wake(&folders, &bytes[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    locked(&folders).clear();
}

/// That something happened in a folder is all that counts, not what.
fn wake(folders: &Folders, mut events: &[u8]) {
    let folders = locked(folders);
    let number =
        |bytes: &[u8], at: usize| bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
    while let (Some(watch), Some(name)) = (number(events, 0), number(events, 12)) {
        match i32::from_ne_bytes(watch) {
            // So much happened that the kernel lost count: it may have been anything.
            -1 => folders.values().for_each(|news| news.send_modify(|version| *version += 1)),
            watch => {
                if let Some(news) = folders.get(&watch) {
                    news.send_modify(|version| *version += 1);
                }
            }
        }
        let name = usize::try_from(u32::from_ne_bytes(name)).unwrap_or(usize::MAX);
        events = events.get(EVENT_BYTES.saturating_add(name)..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[tokio::test]
    async fn each_folder_has_its_own_news() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let watches = Watches::default();
        let mut first = watches.watch(one.path()).unwrap();
        let mut again = watches.watch(one.path()).unwrap();
        let other = watches.watch(two.path()).unwrap();
        fs::write(one.path().join("a file with a long name"), "x").unwrap();
        first.changed().await.unwrap();
        again.changed().await.unwrap();
        assert!(!other.news.has_changed().unwrap());
        drop(again);
        while first.news.has_changed().unwrap() {
            first.changed().await.unwrap();
        }
        fs::write(one.path().join("b"), "x").unwrap();
        first.changed().await.unwrap();
        drop((first, other));
        assert!(locked(&watches.instance().unwrap().folders).is_empty());
    }

    #[tokio::test]
    async fn more_folders_are_watched_than_a_user_has_instances() {
        let root = tempfile::tempdir().unwrap();
        let watches = Watches::default();
        let mut all = Vec::new();
        for index in 0..300 {
            let folder = root.path().join(index.to_string());
            fs::create_dir(&folder).unwrap();
            all.push(watches.watch(&folder).unwrap());
        }
        fs::write(root.path().join("299/x"), "x").unwrap();
        all[299].changed().await.unwrap();
        assert!(all[..299].iter().all(|watch| !watch.news.has_changed().unwrap()));
    }
}
