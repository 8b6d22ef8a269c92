//! A process killed in the middle of load: nothing that it acknowledged may be missing afterwards.
//!
//! The test binary runs itself again as the victim, which prints each revision as it is
//! acknowledged.

use super::*;
use futures::StreamExt;
use skep_proto::Revision;
use std::{
    env,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

/// Where the victim writes; set only by the test below.
const VICTIM_DIR: &str = "SKEP_LOG_VICTIM_DIR";
/// Entries that the victim has in flight.
const IN_FLIGHT: usize = 64;

#[tokio::test]
#[ignore = "the victim of the test below, which starts it"]
async fn victim() {
    let Some(dir) = env::var_os(VICTIM_DIR) else { return };
    let config = Config {
        snapshots: crate::SnapshotPolicy { records_min: 500, bytes_min: 0 },
        ..config(dir.as_ref())
    };
    let log = Log::open(config, Hashes::default()).await.unwrap();
    let mut chain = chain(&log);
    let proposals = futures::stream::iter(std::iter::repeat_with(|| log.propose(chain.entry(1))));
    let mut answers = proposals.buffered(IN_FLIGHT);
    while let Some(answer) = answers.next().await {
        let mut out = std::io::stdout().lock();
        writeln!(out, "acknowledged {}", answer.unwrap().revision).unwrap();
        out.flush().unwrap();
    }
}

#[tokio::test]
async fn a_killed_process_has_kept_all_that_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 1..=5 {
        let mut victim = Command::new(env::current_exe().unwrap())
            .args([
                "--exact",
                "tests::kill::victim",
                "--ignored",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(VICTIM_DIR, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        let mut seen =
            lines.filter_map(|line| line.ok()?.split_once("acknowledged ")?.1.parse::<u64>().ok());
        acknowledged = seen.nth(round * 397).unwrap();
        victim.kill().unwrap();
        acknowledged = seen.last().unwrap_or(acknowledged);
        victim.wait().unwrap();

        let history = crate::HistoryReader::open_read_only(dir.path(), cipher()).unwrap();
        assert!(verify(&history) >= acknowledged, "read without the daemon, round {round}");
        drop(history);
        let (log, hashes) = open(dir.path()).await;
        let (position, head) = stands(&log);
        assert!(position.revision >= Revision(acknowledged), "round {round}");
        assert_eq!(verify(&log.history()), position.revision.0);
        assert_eq!(
            (hashes.list().len() as u64, *hashes.list().last().unwrap()),
            (position.revision.0, head)
        );
        log.close().await;
    }
    assert!(acknowledged > 5 * 397);
}
