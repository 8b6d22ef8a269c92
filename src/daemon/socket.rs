//! The control socket: readable by root and by the group `skep`, and never taken from a daemon that
//! lives.

use super::advice::Advice;
use anyhow::{Context, Result};
use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::UnixStream,
    },
    path::Path,
};
use tokio::net::UnixListener;

/// Members of this group may use the socket.
pub(super) const GROUP: &str = "skep";

/// Binds the socket, clearing away one that a dead daemon left. Nothing but a socket is removed: a
/// path that was mistyped may name any file.
pub(super) fn bind(path: &Path) -> Result<UnixListener> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("folder of the control socket {}", path.display()))?;
    }
    if let Some(what) = in_place_of_socket(path) {
        let message = format!("control socket {}: {what} is there already", path.display());
        return Err(Advice::wrong_input(message, "choose another --listen-control").into());
    }
    if path.exists() {
        if UnixStream::connect(path).is_ok() {
            let message = format!("another daemon answers on {}", path.display());
            return Err(
                Advice::new(message, "stop it first, or choose another --listen-control").into()
            );
        }
        fs::remove_file(path)
            .with_context(|| format!("stale control socket {}", path.display()))?;
    }
    // Closed while it is made: nobody connects before the group is right.
    let before = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o177));
    let bound =
        UnixListener::bind(path).with_context(|| format!("control socket {}", path.display()));
    nix::sys::stat::umask(before);
    let listener = bound?;
    if let Ok(Some(group)) = nix::unistd::Group::from_name(GROUP) {
        nix::unistd::chown(path, None, Some(group.gid))
            .with_context(|| format!("giving {} to group {GROUP}", path.display()))?;
    }
    fs::set_permissions(path, Permissions::from_mode(0o660))
        .with_context(|| format!("control socket {}", path.display()))?;
    Ok(listener)
}

/// What stands at a path where a socket was meant.
pub(crate) fn in_place_of_socket(path: &Path) -> Option<&'static str> {
    let found = fs::metadata(path).ok().filter(|found| !found.file_type().is_socket())?;
    Some(if found.is_dir() { "a folder" } else { "a file" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dead_daemons_socket_gives_way_and_nothing_else_does() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("s.sock");
        drop(bind(&path).expect("the first"));
        let living = bind(&path).expect("the dead one's socket gives way");
        let second = bind(&path).expect_err("one lives");
        assert!(second.to_string().contains("another daemon answers"), "{second}");
        drop(living);

        let file = dir.path().join("notes");
        fs::write(&file, "mine").expect("room for it");
        let error = bind(&file).expect_err("a file is there");
        assert!(error.to_string().contains("a file is there already"), "{error}");
        assert_eq!(fs::read(&file).expect("it is still there"), b"mine");
        let error = bind(dir.path()).expect_err("a folder is there");
        assert!(error.to_string().contains("a folder is there already"), "{error}");
        assert!(Advice::is_wrong_input(&error), "{error}");
    }
}
