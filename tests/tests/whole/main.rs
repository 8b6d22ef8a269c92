//! One machine, with real processes: the daemon is killed under load, stopped, asked while it is
//! stopped, refused.

#![allow(clippy::unwrap_used, reason = "what goes wrong here shall stop it")]

mod containers;
mod disk;
#[path = "../../../agent/tests/docker_runtime/engines.rs"]
#[allow(dead_code, reason = "each test binary uses its part of the shared helpers")]
mod engines;
mod joins;
mod locked;
mod machines;
mod managers;
mod network;
mod partitions;
mod stage;

use disk::LoopDisk;
use stage::Testbed;
use std::{
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

#[test]
fn a_daemon_killed_under_load_keeps_what_it_acknowledged_and_adopts_what_runs() {
    let mut stage = Testbed::new();
    stage.start();
    stage.says(&[
        "service",
        "create",
        "-q",
        "--name",
        "web",
        "--replicas",
        "2",
        "/bin/sleep",
        "600",
    ]);
    let before = stage.pids("web");
    assert_eq!(before.len(), 2, "two tasks run");
    let node = stage.says(&["node", "ls", "-q"]);
    let loader = stage.client();
    let acknowledged = Arc::new(AtomicI32::new(0));
    let newest = acknowledged.clone();
    let load = thread::spawn(move || {
        for turn in 1..4_000 {
            let label = format!("turn={turn}");
            if loader.runs(&["node", "update", "--label-add", &label, node.trim()]).0 != 0 {
                break;
            }
            newest.store(turn, SeqCst);
        }
    });
    stage.wait("commands are acknowledged", || acknowledged.load(SeqCst) >= 5);
    stage.kill();
    load.join().expect("the load ends");
    let acknowledged = acknowledged.load(SeqCst);
    stage.start();
    let turn =
        stage.says(&["node", "inspect", "--format", "{{.Spec.Annotations.Labels.turn}}", "self"]);
    let turn: i32 = turn.trim().parse().expect("a number");
    assert!(turn >= acknowledged, "acknowledged {acknowledged}, kept {turn}");
    assert_eq!(stage.pids("web"), before, "the same processes go on");
    stage.says(&["verify"]);
    stage.says(&["service", "rm", "web"]);
    stage.until_gone(&before);
}

#[test]
fn a_daemon_whose_terminal_closes_stops_in_order() {
    let mut stage = Testbed::new();
    // Tests may run under `nohup`.
    stage.start_under(&["env", "--default-signal=HUP"]);
    stage.stop_by("-HUP");
    assert!(stage.log().contains("stopping; tasks go on"), "{}", stage.log());
    stage.start_under(&["nohup"]);
    assert!(stage.hangup_is_ignored(), "one that shall outlive its terminal does");
    stage.stop();
}

#[test]
fn a_stopped_manager_answers_about_its_past() {
    let mut stage = Testbed::new();
    stage.start();
    stage.says(&[
        "service",
        "create",
        "-q",
        "--name",
        "web",
        "--reason",
        "INC-7",
        "/bin/sleep",
        "600",
    ]);
    let pids = stage.pids("web");
    stage.says(&["service", "scale", "web=0"]);
    stage.until_gone(&pids);
    stage.stop();
    let dir = stage.state_dir();
    let created = ["log", "--state-dir", &dir, "--format", "{{.Revision}}", "--object", "web"];
    let created = stage.says(&created).lines().next().unwrap_or_default().to_owned();
    let log = stage.says(&["log", "--state-dir", &dir, "--format", "json", "--object", "web"]);
    assert!(log.contains("INC-7") && log.contains("service_scaled"), "{log}");
    let then = stage.says(&[
        "--at",
        &created,
        "service",
        "ls",
        "--state-dir",
        &dir,
        "--format",
        "{{.Name}} {{.Replicas}}",
    ]);
    assert!(then.starts_with("web "), "{then}");
    stage.says(&["verify", "--state-dir", &dir]);
    stage.says(&["why", "--state-dir", &dir, "web"]);
    let (code, _, said) = stage.client().runs(&["service", "ls"]);
    assert_eq!(code, 3, "{said}");
}

#[test]
fn what_is_refused_is_refused_with_words_and_recorded_with_its_author() {
    let mut stage = Testbed::new();
    stage.start();
    let client = stage.client();
    let refused = [
        (vec!["node", "update", "--availability", "drain", "nobody"], 1, "not found"),
        (
            vec![
                "service",
                "create",
                "--detach",
                "--limit-memory",
                "1m",
                "--name",
                "tiny",
                "/bin/true",
            ],
            2,
            "minimum",
        ),
        (vec!["service", "rm", "ghost"], 1, "not found"),
    ];
    for (args, status, expected) in refused {
        let (code, _, said) = client.runs(&args);
        assert_eq!(code, status, "{args:?}: {said}");
        assert!(said.contains(expected) && said.contains("hint:"), "{args:?}: {said}");
    }
    let log = stage.says(&["log", "--format", "json"]);
    let refusals: Vec<&str> =
        log.lines().filter(|line| line.contains("\"command_refused\"")).collect();
    assert_eq!(refusals.len(), 3, "{log}");
    assert!(refusals.iter().all(|line| line.contains("\"person\"")), "{refusals:?}");
    let (code, ..) =
        client.runs(&["service", "create", "--constraint", "no operator", "/bin/true"]);
    assert_eq!(code, 2, "a wrong flag is refused before anybody is asked");
}

#[test]
fn what_runs_of_a_lost_history_runs_on_until_somebody_decides() {
    let mut stage = Testbed::new();
    stage.start();
    stage.says(&["service", "create", "-q", "--name", "kept", "/bin/sleep", "600"]);
    let kept = stage.pids("kept");
    stage.stop();
    let aside = stage.file("aside");
    stage.copy_store(&stage.store(), &aside);
    stage.start();
    stage.says(&["service", "create", "-q", "--name", "lost", "/bin/sleep", "600"]);
    let lost = stage.pids("lost");
    stage.stop();
    // As after a disk that lied: the store is as it was, and the head knows better.
    stage.copy_store(&aside, &stage.store());
    let dir = stage.state_dir();
    // On a socket of its own: at the usual path another daemon of the machine may answer.
    let socket = format!("unix://{}", stage.file("unused").display());
    let daemon = ["daemon", "--state-dir", &dir, "--listen-control", &socket];
    let (code, _, said) = stage.client().runs(&daemon);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("synced records are lost") && said.contains("skep recover"), "{said}");
    let (code, _, recovered) =
        stage.client().runs(&["recover", "--accept-loss", "--state-dir", &dir]);
    assert_eq!(code, 0, "{recovered}");
    let number = |said: &str| {
        let after = said.split_once("ends at revision ").expect("it says where history ends").1;
        after.split(|c: char| !c.is_ascii_digit()).next().map(str::to_owned)
    };
    assert_eq!(number(&said), number(&recovered), "both say the same end");
    stage.start();
    assert_eq!(stage.pids("kept"), kept, "what history knows goes on");
    stage.wait("the agent tells of the unknown task", || !stage.strays().is_empty());
    let strays = stage.strays();
    assert_eq!(strays.len(), 1, "one task is unknown");
    assert!(
        lost.iter().all(|pid| std::path::Path::new(&format!("/proc/{pid}")).exists()),
        "it was stopped"
    );
    stage.says(&["stray", "rm", "--reason", "INC-9", &strays[0]]);
    stage.until_gone(&lost);
    stage.wait("the agent tells that it ended", || stage.strays().is_empty());
    let log = stage.says(&["log", "--format", "json"]);
    assert!(
        log.contains("stray_observed") && log.contains("stray_disowned") && log.contains("INC-9"),
        "{log}"
    );
}

#[test]
fn a_program_that_is_not_there_does_not_fill_the_log() {
    let mut stage = Testbed::new();
    stage.start();
    let began = Instant::now();
    stage.says(&["service", "create", "--detach", "--name", "nope", "/bin/no-such-program"]);
    let created = |log: &str| log.matches("\"kind\":\"task_created\"").count();
    let log = || stage.says(&["log", "--all", "--format", "json"]);
    stage.wait("the first attempt was answered by a second one", || created(&log()) >= 2);
    let tasks = stage.says(&["service", "ps", "--no-trunc", "nope"]);
    assert!(tasks.contains("no such program"), "{tasks}");
    // Each attempt waits for at least the restart delay of five seconds, and has its successor
    // written down beside it.
    let (log, seconds) = (log(), began.elapsed().as_secs() as usize);
    let most = 2 + seconds / 5;
    assert!(created(&log) <= most, "more than {most} attempts in {seconds} s:\n{log}");
}

/// A kill can't show it, since the kernel keeps what a dead process wrote; the system calls can.
#[test]
fn every_answer_waits_for_a_sync_of_its_own_or_a_shared_one() {
    const COMMANDS: usize = 20;
    let mut stage = Testbed::new();
    let trace = stage.file("syncs");
    stage.start_traced(&trace);
    let syncs = || {
        std::fs::read_to_string(&trace)
            .expect("strace writes")
            .lines()
            .filter(|l| l.contains("= 0"))
            .count()
    };
    let before = syncs();
    for turn in 0..COMMANDS {
        stage.says(&["node", "update", "--label-add", &format!("turn={turn}"), "self"]);
    }
    // One caller that waits for each answer shares its syncs with nobody.
    assert!(syncs() - before >= COMMANDS, "{} syncs for {COMMANDS} answers", syncs() - before);
}

/// A command waits so long for the log to confirm it.
const UNKNOWN_AFTER: Duration = Duration::from_secs(9);

/// Reads that people depend on when something is wrong: each with a warning and without an error.
fn check_reads(stage: &Testbed, why: &str) {
    for line in [
        &["node", "ls"][..],
        &["service", "ls"],
        &["service", "ps", "web"],
        &["service", "inspect", "web"],
        &["why", "web"],
    ] {
        let (code, out, err) = stage.client().runs(line);
        assert_eq!(code, 0, "{line:?}\n{out}\n{err}");
        assert!(!out.is_empty(), "{line:?}");
        let warning = err.strip_prefix("warning: ").unwrap_or_else(|| panic!("{line:?}: {err:?}"));
        assert!(warning.contains(why), "{line:?}: {err}");
        assert!(warning.contains("; this is the state at revision "), "{line:?}: {err}");
        assert_eq!(err.lines().count(), 1, "{line:?}: {err}");
    }
    let (code, out, err) = stage.client().runs(&["log", "-n", "3"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let (code, out, _) = stage.client().runs(&["doctor"]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("PROBLEM  disk: "), "{out}");
}

#[test]
fn while_the_disk_hangs_or_takes_nothing_people_see_what_was_committed() {
    let mut stage = Testbed::new();
    let Some(disk) = LoopDisk::mount(&stage.file("image"), &stage.file("state")) else { return };
    stage.start();
    stage.says(&["service", "create", "--quiet", "--name", "web", "sleep", "600"]);
    let (code, _, err) = stage.client().runs(&["node", "ls"]);
    assert_eq!((code, err.as_str()), (0, ""));

    disk.freeze();
    let frozen_at = Instant::now();
    let client = stage.client();
    let scaling = thread::spawn(move || client.runs(&["service", "scale", "--detach", "web=2"]));
    stage.wait("reads say that they may be old", || {
        !stage.client().runs(&["node", "ls", "-q"]).2.is_empty()
    });
    check_reads(&stage, "the log does not answer");
    disk.thaw();
    let frozen = frozen_at.elapsed();
    let (code, out, err) = scaling.join().unwrap();
    // Where the reads took longer than a command waits, nobody knows.
    assert!(
        code == 0 || code == 3 && frozen > UNKNOWN_AFTER,
        "{code} after {frozen:?}: {out}{err}"
    );
    stage.wait("reads are confirmed again", || {
        stage.client().runs(&["node", "ls", "-q"]).2.is_empty()
    });

    disk.fail();
    let (code, _, _) = stage.client().runs(&["service", "scale", "--detach", "web=3"]);
    assert!(code == 1 || code == 3, "refused, or nobody knows whether it was done: {code}");
    check_reads(&stage, "the log can't be written");
}
