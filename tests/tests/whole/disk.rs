//! A file system of its own for a daemon's state, which can hang and fail. Only root can mount one.

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Enough for the log and its reserve.
const IMAGE_BYTES: u64 = 128 << 20;

/// An ext4 in a file, mounted.
pub(crate) struct LoopDisk {
    mount: PathBuf,
}

fn run(program: &str, args: &[&OsStr]) {
    let done = Command::new(program).args(args).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{program} {args:?}: {said}");
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.trim_ascii() == b"0"
}

impl LoopDisk {
    /// Makes one in the file `image` and mounts it; none where nobody may.
    #[allow(clippy::print_stderr, reason = "a test that is skipped says so")]
    pub(crate) fn mount(image: &Path, mount: &Path) -> Option<LoopDisk> {
        if !is_root() {
            eprintln!("skipped: only root can mount a loop device");
            return None;
        }
        File::create(image).unwrap().set_len(IMAGE_BYTES).unwrap();
        fs::create_dir(mount).unwrap();
        run("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), image.as_ref()]);
        run("mount", &["-o".as_ref(), "loop".as_ref(), image.as_ref(), mount.as_ref()]);
        Some(LoopDisk { mount: mount.to_owned() })
    }

    /// Whoever writes waits, and gets no error.
    pub(crate) fn freeze(&self) {
        run("fsfreeze", &["-f".as_ref(), self.mount.as_ref()]);
    }

    /// Writing goes on.
    pub(crate) fn thaw(&self) {
        run("fsfreeze", &["-u".as_ref(), self.mount.as_ref()]);
    }

    /// From here on it takes nothing, as after an error that ext4 does not trust.
    pub(crate) fn fail(&self) {
        let options = "remount,abort,errors=remount-ro";
        run("mount", &["-o".as_ref(), options.as_ref(), self.mount.as_ref()]);
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        // A test that failed must leave nothing behind that hangs: thawing twice is no harm.
        for (program, argument) in [("fsfreeze", "-u"), ("umount", "-l")] {
            let mut command = Command::new(program);
            drop(command.arg(argument).arg(&self.mount).stderr(Stdio::null()).status());
        }
    }
}
