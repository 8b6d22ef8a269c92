//! The demo and the installation as a newcomer runs them: with the binary that was built beside
//! these tests.
//!
//! The demo is the main job from end to end in real processes: if it plays through, a manager,
//! three agents, a service, a killed agent, history and `verify` work together. It must leave
//! nothing behind, however it ends.

#![allow(clippy::unwrap_used, reason = "what goes wrong here shall stop it")]

use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// Longest that a play may take, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(180);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package stands in the repository")
}

/// The program beside this one: built by the same command, `make test`.
fn skep() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let path = own.ancestors().nth(2).unwrap().join("skep");
    assert!(path.exists(), "{} is not there; `make test` builds it first", path.display());
    path
}

/// A demo of so many managers that writes into files of this folder.
fn demo_of(managers: &str, folder: &Path) -> Child {
    let file = |name| fs::File::create(folder.join(name)).unwrap();
    Command::new(root().join("scripts/demo"))
        .env("SKEP", skep())
        .env("RUNTIME", "process")
        .env("MANAGERS", managers)
        .env("CI", "1")
        .stdin(Stdio::null())
        .stdout(file("out"))
        .stderr(file("err"))
        .process_group(0)
        .spawn()
        .unwrap()
}

fn text(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap_or_default()
}

/// Waits until the demo has ended, or has said this.
fn wait_for(demo: &mut Child, folder: &Path, said: Option<&str>) -> Option<i32> {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = demo.try_wait().unwrap() {
            return Some(status.code().unwrap_or(-1));
        }
        if said.is_some_and(|said| text(folder, "out").contains(said)) {
            return None;
        }
        assert!(
            Instant::now() < until,
            "out:\n{}\nerr:\n{}",
            text(folder, "out"),
            text(folder, "err")
        );
        sleep(Duration::from_millis(100));
    }
}

/// The folder that the demo said it plays in.
fn stage(folder: &Path) -> PathBuf {
    let out = text(folder, "out");
    let line = out
        .lines()
        .find(|line| line.contains(", below "))
        .unwrap_or_else(|| panic!("no stage in:\n{out}"));
    PathBuf::from(line.rsplit(", below ").next().unwrap().trim())
}

/// Processes that name the folder.
fn processes_of(stage: &Path) -> Vec<String> {
    let stage = format!("{}/", stage.display());
    let commands = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let command = fs::read(entry.ok()?.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&command).replace('\0', " "))
    });
    commands.filter(|command| command.contains(&stage)).collect()
}

fn nothing_is_left(stage: &Path) {
    assert!(!stage.exists(), "{} is still there", stage.display());
    assert_eq!(processes_of(stage), Vec::<String>::new());
}

fn plays_through(managers: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = demo_of(managers, folder.path());
    let code = wait_for(&mut demo, folder.path(), None);
    let (out, err) = (text(folder.path(), "out"), text(folder.path(), "err"));
    assert_eq!(code, Some(0), "out:\n{out}\nerr:\n{err}");
    assert!(out.contains("5. The end"), "{out}");
    nothing_is_left(&stage(folder.path()));
}

#[test]
fn the_demo_plays_through_and_leaves_nothing() {
    plays_through("1");
}

#[test]
fn the_demo_of_three_managers_plays_through_and_leaves_nothing() {
    plays_through("3");
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = demo_of("1", folder.path());
    assert_eq!(
        wait_for(&mut demo, folder.path(), Some("3. kill -9")),
        None,
        "{}",
        text(folder.path(), "err")
    );
    let stage = stage(folder.path());
    assert!(!processes_of(&stage).is_empty());
    // As Ctrl-C does it: to the whole group.
    let interrupt = format!("kill -INT -- -{}", demo.id());
    assert!(Command::new("bash").args(["-c", &interrupt]).status().unwrap().success());
    assert_eq!(wait_for(&mut demo, folder.path(), None), Some(130));
    nothing_is_left(&stage);
}

#[test]
fn an_installation_is_complete_and_the_unit_spares_the_tasks() {
    let folder = tempfile::tempdir().unwrap();
    let set = |name: &str, value: &Path| format!("{name}={}", value.display());
    let status = Command::new("make")
        .arg("install")
        .args([set("DESTDIR", folder.path()), set("SKEP", &skep()), "PREFIX=/usr".to_owned()])
        .current_dir(root())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let usr = folder.path().join("usr");
    for path in [
        "bin/skep",
        "share/man/man1/skep.1",
        "share/man/man1/skep-service-create.1",
        "share/bash-completion/completions/skep",
        "share/zsh/site-functions/_skep",
        "share/fish/vendor_completions.d/skep.fish",
    ] {
        assert!(fs::metadata(usr.join(path)).is_ok_and(|file| file.len() > 0), "{path}");
    }
    let unit = fs::read_to_string(usr.join("lib/systemd/system/skep.service")).unwrap();
    for line in [
        "ExecStart=/usr/bin/skep daemon --no-cluster --state-dir /var/lib/skep",
        "KillMode=process",
        "Delegate=yes",
    ] {
        assert!(unit.lines().any(|found| found == line), "no line {line:?} in\n{unit}");
    }
}
