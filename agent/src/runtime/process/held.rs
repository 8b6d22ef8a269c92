//! Whether a process lives, by the FIFO whose other end it holds: no number is trusted, and
//! nothing is polled.

use nix::errno::Errno;
use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::AsFd,
        unix::fs::{FileTypeExt, OpenOptionsExt},
    },
    path::Path,
};
use tokio::net::unix::pipe;

/// The reading end of a FIFO whose writing end somebody holds.
pub(crate) struct HeldFifo(File);

impl HeldFifo {
    /// None when nobody holds the other end, or the FIFO is not there.
    pub(crate) fn open(fifo: &Path) -> io::Result<Option<HeldFifo>> {
        let file =
            match OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(fifo) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
        if !file.metadata()?.file_type().is_fifo() {
            return Err(io::Error::other("it is not a FIFO"));
        }
        match nix::unistd::read(file.as_fd(), &mut [0; 16]) {
            Ok(0) => Ok(None),
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => Ok(Some(HeldFifo(file))),
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
