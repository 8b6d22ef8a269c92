//! A real file system that really loses what was not synced, and one that is really full.
//!
//! A loop-mounted ext4 is shut down by ioctl while the log writes to it: everything that was not on
//! the disk is gone, as after a power cut. Needs root, and says so where it is skipped.

#![allow(unsafe_code, reason = "the ioctl has no safe wrapper")]

use super::*;
use crate::{Health, Proposal, ProposeError};
use skep_proto::{Revision, v1::Record};
use std::{
    fs::File,
    os::fd::AsRawFd,
    path::PathBuf,
    process::{Command, Stdio},
};

/// `EXT4_IOC_SHUTDOWN`: _IOR('X', 125, u32).
const SHUTDOWN: nix::libc::c_ulong = 0x8004_587d;
/// Without writing the journal first.
const NO_LOG_FLUSH: u32 = 2;

/// An ext4 in a file, mounted.
struct Disk4 {
    image: PathBuf,
    mount: PathBuf,
    _dir: tempfile::TempDir,
}

fn run(program: &str, args: &[&std::ffi::OsStr]) {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

impl Disk4 {
    fn new(mebibytes: u64) -> Option<Disk4> {
        Disk4::with_inodes(mebibytes, 4096)
    }

    fn with_inodes(mebibytes: u64, inodes: u32) -> Option<Disk4> {
        if !nix::unistd::Uid::effective().is_root() {
            eprintln!("skipped: only root can mount a loop device");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let disk =
            Disk4 { image: dir.path().join("image"), mount: dir.path().join("mount"), _dir: dir };
        File::create(&disk.image).unwrap().set_len(mebibytes << 20).unwrap();
        std::fs::create_dir(&disk.mount).unwrap();
        let inodes = inodes.to_string();
        let args = ["-q", "-F", "-N", &inodes].map(std::ffi::OsStr::new);
        run("mkfs.ext4", &[&args[..], &[disk.image.as_ref()]].concat());
        disk.mount();
        Some(disk)
    }

    fn mount(&self) {
        run("mount", &["-o".as_ref(), "loop".as_ref(), self.image.as_ref(), self.mount.as_ref()]);
    }

    fn unmount(&self) {
        run("umount", &[self.mount.as_ref()]);
    }

    /// Mounts a copy of what is on the disk: where another process has taken a copy of all mounts
    /// meanwhile, as engines and containers do, the disk that was cut off is still mounted
    /// there, and would be given out again.
    fn mount_again(&self) {
        self.unmount();
        let copy = self.image.with_extension("copy");
        run("cp", &["--sparse=always".as_ref(), self.image.as_ref(), copy.as_ref()]);
        std::fs::rename(copy, &self.image).unwrap();
        self.mount();
    }

    /// Whoever writes waits, and gets no error.
    fn freeze(&self) {
        run("fsfreeze", &["-f".as_ref(), self.mount.as_ref()]);
    }

    /// Writing goes on.
    fn thaw(&self) {
        run("fsfreeze", &["-u".as_ref(), self.mount.as_ref()]);
    }

    /// The power is cut: what is not on the disk is gone.
    fn cut_power(&self) {
        let file = File::open(&self.mount).unwrap();
        let flags = NO_LOG_FLUSH;
        // SAFETY: the ioctl reads one u32 behind the pointer, which lives until it returns.
        let result = unsafe { nix::libc::ioctl(file.as_raw_fd(), SHUTDOWN, &raw const flags) };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    }
}

impl Drop for Disk4 {
    fn drop(&mut self) {
        // A test that failed must leave neither a frozen disk nor a mount behind; one that did not
        // has unmounted already.
        for (program, argument) in [("fsfreeze", "-u"), ("umount", "-l")] {
            let mut command = Command::new(program);
            drop(command.arg(argument).arg(&self.mount).stderr(Stdio::null()).status());
        }
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_on_the_disk_when_the_power_goes() {
    let Some(disk) = Disk4::new(128) else { return };
    let dir = disk.mount.join("log");
    let mut acknowledged = 0;
    for round in 0..4 {
        let (log, hashes) = open(&dir).await;
        assert!(hashes.list().len() as u64 >= acknowledged, "round {round}");
        assert_eq!(verify(&log.history()), hashes.list().len() as u64);
        let mut chain = chain(&log);
        let flight = (0..500).map(|_| log.propose(chain.entry(1))).collect();
        acknowledged = cut_in_flight(&disk, log, flight, 150 + 50 * round).await;
    }
    let (log, _) = open(&dir).await;
    assert!(stands(&log).0.revision >= Revision(acknowledged));
    log.close().await;
    disk.unmount();
}

/// Write-ahead files that are written over hold older bytes behind what was synced: none of those
/// may be taken for history, and nothing that was synced for the end.
#[tokio::test]
async fn what_was_acknowledged_is_on_the_disk_when_the_power_goes_while_files_are_written_over() {
    let Some(disk) = Disk4::new(2048) else { return };
    let dir = disk.mount.join("log");
    let (log, _) = open(&dir).await;
    let mut chain = chain(&log);
    let prepared = async {
        while !has_prepared_file(&dir) {
            write(&log, &mut chain, 1).await;
        }
    };
    tokio::time::timeout(PATIENCE, prepared).await.expect("files are prepared");
    log.close().await;
    let mut acknowledged = chain.next - 1;
    for round in 0..6 {
        let (log, hashes) = open(&dir).await;
        assert!(hashes.list().len() as u64 >= acknowledged, "round {round}");
        assert_eq!(verify(&log.history()), hashes.list().len() as u64);
        let mut chain = super::chain(&log);
        let entry = |n| if n % 4 == 0 { noisy(&mut chain) } else { chain.entry(1) };
        let flight = (0..400).map(entry).map(|entry| log.propose(entry)).collect();
        acknowledged = cut_in_flight(&disk, log, flight, 100 + 50 * round).await;
    }
    let (log, _) = open(&dir).await;
    assert!(stands(&log).0.revision >= Revision(acknowledged));
    log.close().await;
    disk.unmount();
}

/// Whether the store has a write-ahead file of the size that it prepares them in.
fn has_prepared_file(log: &Path) -> bool {
    let files = std::fs::read_dir(log.join("store")).unwrap().flatten();
    files
        .filter(|file| file.path().extension().is_some_and(|end| end == "log"))
        .any(|file| file.metadata().is_ok_and(|data| data.len() >= 12 << 20))
}

/// Cuts the power when so many of the proposals are answered, and mounts the disk again. Returns
/// the newest revision that was acknowledged before.
async fn cut_in_flight(disk: &Disk4, log: Log, flight: Vec<Proposal>, answered: usize) -> u64 {
    let mut acknowledged = 0;
    let mut flight = flight.into_iter();
    for proposal in flight.by_ref().take(answered) {
        acknowledged = proposal.await.unwrap().revision.0;
    }
    disk.cut_power();
    // From here on answers count for nothing: a sync that runs while ext4 is shut down may return
    // success for what its aborted journal then forgets. A plain file written in a loop shows the
    // same.
    for proposal in flight {
        let answer = proposal.await;
        assert!(
            matches!(answer, Ok(_) | Err(ProposeError::Unknown | ProposeError::Failed(_))),
            "{answer:?}"
        );
    }
    log.close().await;
    disk.mount_again();
    acknowledged
}

/// The next entry, of bytes that do not compress.
fn noisy(chain: &mut EntryChain) -> crate::SealedEntry {
    let mut entry = crate::testing::draft(chain.head, chain.next, 0);
    let mut noise = chain.next;
    let letters = std::iter::repeat_with(|| {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b' ' + (noise >> 58) as u8)
    });
    let reason = letters.take(100_000).collect();
    entry.records.push(&Record { reason, ..crate::testing::label(chain.next) });
    let sealed = crate::seal(&entry);
    (chain.head, chain.next) = (sealed.hash, chain.next + 1);
    sealed
}

#[tokio::test]
async fn a_disk_without_inodes_acknowledges_nothing_and_works_again_when_there_are_some() {
    let Some(disk) = Disk4::with_inodes(256, 128) else { return };
    let dir = disk.mount.join("log");
    let (log, _) = open(&dir).await;
    let mut chain = EntryChain::default();
    write(&log, &mut chain, 10).await;
    let fillers = disk.mount.join("fillers");
    std::fs::create_dir(&fillers).unwrap();
    let refused = (0..).find_map(|n| File::create(fillers.join(n.to_string())).err()).unwrap();
    assert_eq!(refused.kind(), std::io::ErrorKind::StorageFull);
    // Bytes there are: it fails when the store wants a new file.
    let mut acknowledged = 10;
    let failed = loop {
        match tokio::time::timeout(PATIENCE, log.propose(noisy(&mut chain))).await.unwrap() {
            Ok(position) => acknowledged = position.revision.0,
            Err(error) => break error,
        }
    };
    assert!(matches!(failed, ProposeError::Unknown | ProposeError::Failed(_)), "{failed}");
    // The disk is measured now and then: it may have been measured last before it was full.
    let noticed = async {
        while log.space().free_inodes >= 16 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, noticed).await.expect("the want of inodes is noticed");
    assert_eq!(
        log.history().entry_at(Revision(10)).unwrap().unwrap().last(),
        Revision(10),
        "reads go on"
    );
    let mut status = log.status();
    tokio::time::timeout(PATIENCE, status.wait_for(|s| s.health != Health::Ok))
        .await
        .unwrap()
        .unwrap();
    std::fs::remove_dir_all(&fillers).unwrap();
    let healed = status.wait_for(|status| status.leader && status.health == Health::Ok);
    tokio::time::timeout(PATIENCE, healed).await.unwrap().unwrap();
    let mut chain = super::chain(&log);
    assert!(chain.next > acknowledged, "what was acknowledged is still there");
    write(&log, &mut chain, 10).await;
    assert_eq!(verify(&log.history()), chain.next - 1);
    log.close().await;
    disk.unmount();
}

#[tokio::test]
async fn a_disk_that_hangs_holds_up_what_is_written_and_nothing_that_is_read() {
    let Some(disk) = Disk4::new(128) else { return };
    let (log, _) = open(&disk.mount.join("log")).await;
    let mut chain = EntryChain::default();
    write(&log, &mut chain, 10).await;
    disk.freeze();
    let mut waiting = std::pin::pin!(log.propose(chain.entry(1)));
    let moment = std::time::Duration::from_millis(300);
    assert!(tokio::time::timeout(moment, &mut waiting).await.is_err(), "it is not acknowledged");
    assert_eq!(verify(&log.history()), 10, "reads go on");
    assert_eq!(log.status().borrow().health, Health::Ok, "it gives no error");
    disk.thaw();
    let position = tokio::time::timeout(PATIENCE, waiting).await.unwrap().unwrap();
    assert_eq!(position.revision, Revision(11));
    log.barrier().await.unwrap();
    log.close().await;
    disk.unmount();
}

/// Rows that a small disk must take in the end, more than it would hold with usual buffers.
#[tokio::test]
async fn a_small_disk_keeps_most_of_its_room_for_history() {
    let Some(disk) = Disk4::new(48) else { return };
    let dir = disk.mount.join("log");
    let (log, _) = open(&dir).await;
    let mut chain = EntryChain::default();
    write(&log, &mut chain, 600).await;
    let space = log.space();
    assert!(space.free_share() > 0.7, "{}", space.scarcest());
    for _ in 0..100 {
        log.propose(noisy(&mut chain)).await.unwrap();
    }
    let space = log.space();
    assert!(space.free_share() > 0.3, "after 10 MB of history {}", space.scarcest());
    assert_eq!(verify(&log.history()), 700);
    log.close().await;
    disk.unmount();
}

#[tokio::test]
async fn a_disk_that_has_just_become_full_is_seen_to_be_full() {
    let Some(disk) = Disk4::new(128) else { return };
    let (log, _) = open(&disk.mount.join("log")).await;
    assert!(log.free_share() > 0.5);
    let mut file = File::create(disk.mount.join("filler")).unwrap();
    std::io::copy(&mut std::io::repeat(7), &mut file).unwrap_err();
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert!(log.free_share() < 0.01, "{}", log.space().scarcest());
    drop(file);
    std::fs::remove_file(disk.mount.join("filler")).unwrap();
    // ext4 frees the blocks when it next writes its journal.
    let freed = async {
        while log.free_share() < 0.5 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, freed).await.expect("room is seen");
    log.close().await;
    disk.unmount();
}

#[tokio::test]
async fn a_disk_without_room_acknowledges_nothing_and_works_again_when_there_is_room() {
    let Some(disk) = Disk4::new(128) else { return };
    let dir = disk.mount.join("log");
    let (log, _) = open(&dir).await;
    let mut chain = EntryChain::default();
    write(&log, &mut chain, 10).await;
    let filler = disk.mount.join("filler");
    let mut file = File::create(&filler).unwrap();
    // Until nothing fits any more.
    let error = std::io::copy(&mut std::io::repeat(7), &mut file).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    drop(file);
    let mut acknowledged = 10;
    let failed = loop {
        let sealed = noisy(&mut chain);
        match tokio::time::timeout(PATIENCE, log.propose(sealed)).await.unwrap() {
            Ok(position) => acknowledged = position.revision.0,
            Err(error) => break error,
        }
    };
    assert!(matches!(failed, ProposeError::Unknown | ProposeError::Failed(_)), "{failed}");
    let mut status = log.status();
    let seen = tokio::time::timeout(PATIENCE, status.wait_for(|s| s.health != Health::Ok))
        .await
        .unwrap()
        .unwrap()
        .clone();
    assert!(format!("{:?}", seen.health).contains("No space"), "{:?}", seen.health);
    assert_eq!(
        log.history().entry_at(Revision(10)).unwrap().unwrap().last(),
        Revision(10),
        "reads go on"
    );
    std::fs::remove_file(&filler).unwrap();
    let healed = status.wait_for(|status| status.leader && status.health == Health::Ok);
    tokio::time::timeout(PATIENCE, healed).await.unwrap().unwrap();
    log.barrier().await.unwrap();
    let mut chain = super::chain(&log);
    assert!(chain.next > acknowledged, "what was acknowledged is still there");
    write(&log, &mut chain, 10).await;
    assert_eq!(verify(&log.history()), chain.next - 1);
    log.close().await;
    disk.unmount();
}
