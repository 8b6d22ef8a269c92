//! An agent whose state folder is on a disk that is really full.

use super::*;
use skep_proto::v1::from_agent::Message;
use std::{fs, path::PathBuf, process::Command};

/// A file system of two mebibytes, mounted until it is dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// None, and said so, where nobody may mount.
    #[allow(clippy::print_stderr, reason = "a skipped test says so")]
    fn mount() -> Option<SmallDisk> {
        if !nix::unistd::Uid::effective().is_root() {
            eprintln!("skipped: only root can mount a file system");
            return None;
        }
        let disk = SmallDisk(tempfile::tempdir().unwrap());
        let args = ["-t", "tmpfs", "-o", "size=2m", "tmpfs"];
        let mounted = Command::new("mount").args(args).arg(disk.0.path()).status().unwrap();
        assert!(mounted.success(), "mount");
        Some(disk)
    }

    fn ballast(&self) -> PathBuf {
        self.0.path().join("ballast")
    }

    fn fill(&self) {
        let full = fs::write(self.ballast(), vec![0; 4 << 20]).expect_err("it is too small");
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// Waits until the agent tells its conditions again.
async fn conditions(line: &mut TestSession) -> Vec<(v1::ConditionKind, String)> {
    loop {
        match line.next().await {
            Message::Conditions(told) => {
                return told.conditions.into_iter().map(|c| (c.kind(), c.message)).collect();
            }
            Message::Report(report) => line.acknowledge(report.number).await,
            Message::Hello(_)
            | Message::Heartbeat(_)
            | Message::LogChunk(_)
            | Message::Pull(_)
            | Message::Join(_)
            | Message::PartTaken(_) => {}
        }
    }
}

#[tokio::test]
async fn an_agent_on_a_full_disk_says_so_goes_on_and_catches_up_when_there_is_room() {
    let Some(disk) = SmallDisk::mount() else { return };
    let (folder, engine) = (tempfile::tempdir().unwrap(), FakeEngine::new(EPOCH));
    let state = disk.0.path().join("state");
    let mut manager = ManagerStub::start(folder.path()).await;
    let agent = start(&state, &manager, &engine);
    let mut line = manager.line().await;
    line.hello().await;
    line.welcome(Id(77)).await;
    line.assign(set(5, &[(Id(1), container("run"))])).await;
    until_reported(&mut line, &[(Id(1), v1::TaskState::Running)]).await;
    // What it was told is written beside its other work; at an end in order, all of it.
    agent.stopped().await;
    let agent = start(&state, &manager, &engine);
    let mut line = manager.line().await;
    assert_eq!(line.hello().await.revision, 5);
    line.welcome(Id(77)).await;
    disk.fill();
    // Larger than what is left of the last block of the journal.
    let mut large = container("run");
    running(&mut large).env = vec![format!("A={}", "x".repeat(20_000))];
    line.assign(set(6, &[(Id(1), container("run")), (Id(2), large)])).await;
    let told = conditions(&mut line).await;
    let [(v1::ConditionKind::StateUnwritable, message)] = &told[..] else { panic!("{told:?}") };
    assert!(message.ends_with(": no space left on device"), "{message}");
    while engine.running().len() < 2 {
        let report = line.report().await;
        line.acknowledge(report.number).await;
    }
    agent.stopped().await;
    // The next one begins on the full disk, and hears again what could not be written down.
    let agent = start(&state, &manager, &engine);
    let mut line = manager.line().await;
    assert_eq!(line.hello().await.revision, 5);
    line.welcome(Id(77)).await;
    let mut large = container("run");
    running(&mut large).env = vec![format!("A={}", "x".repeat(20_000))];
    line.assign(set(7, &[(Id(1), container("run")), (Id(2), large)])).await;
    assert_eq!(conditions(&mut line).await.len(), 1);
    fs::remove_file(disk.ballast()).unwrap();
    assert_eq!(conditions(&mut line).await, [], "by itself: nothing new was to be written");
    agent.stopped().await;
    assert_eq!(engine.running().len(), 2, "nothing was stopped or started twice");
    let agent = start(&state, &manager, &engine);
    assert_eq!(manager.line().await.hello().await.revision, 7);
    agent.stopped().await;
}
