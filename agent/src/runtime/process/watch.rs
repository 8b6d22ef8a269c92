//! Waiting for a task's folder to change, and for its shim to end, without asking again and again.

use nix::{
    errno::Errno,
    sys::inotify::{AddWatchFlags, InitFlags, Inotify},
};
use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
    path::Path,
};
use tokio::net::unix::pipe;

/// Room for the news that are thrown away: that something happened is all that counts.
const NEWS_BYTES: usize = 4096;

/// News of one folder, from the moment it was made. To the event loop an inotify is a pipe like any other.
pub(crate) struct Watch(pipe::Receiver);

impl Watch {
    /// Begins to watch. Look at the folder after this, or news are missed.
    pub(crate) fn new(folder: &Path) -> io::Result<Watch> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).map_err(|error| {
            io::Error::other(format!("cannot watch files: {}; raise fs.inotify.max_user_instances", error.desc()))
        })?;
        let wanted = AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_DELETE;
        inotify.add_watch(folder, wanted)?;
        pipe::Receiver::from_file_unchecked(File::from(OwnedFd::from(inotify))).map(Watch)
    }

    /// Resolves when something happened since the last time, or since the beginning.
    pub(crate) async fn changed(&self) -> io::Result<()> {
        loop {
            self.0.readable().await?;
            match self.0.try_read(&mut [0; NEWS_BYTES]) {
                // More may be waiting: that only makes one look too many.
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The reading end of a FIFO whose writing end somebody holds.
pub(crate) struct Held(File);

impl Held {
    /// None when nobody holds the other end, or the FIFO is not there.
    pub(crate) fn open(fifo: &Path) -> io::Result<Option<Held>> {
        let file = match OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(fifo) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match nix::unistd::read(file.as_fd(), &mut [0; 16]) {
            Ok(0) => Ok(None),
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => Ok(Some(Held(file))),
            Err(error) => Err(error.into()),
        }
    }

    /// Resolves when nobody holds the other end any more.
    pub(crate) async fn released(self) -> io::Result<()> {
        let end = pipe::Receiver::from_file(self.0)?;
        loop {
            end.readable().await?;
            match end.try_read(&mut [0; 16]) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}
