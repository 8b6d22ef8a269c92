//! The control socket: readable by root and by the group `skep`, and never taken from a daemon that
//! lives.

use super::advice::Advice;
use anyhow::{Context, Result};
use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::Path,
};
use tokio::net::UnixListener;

/// Members of this group may use the socket.
pub(super) const GROUP: &str = "skep";

/// Binds the socket, clearing away one that a dead daemon left.
pub(super) fn bind(path: &Path) -> Result<UnixListener> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("folder of the control socket {}", path.display()))?;
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
