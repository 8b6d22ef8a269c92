//! Logs of several managers, on real disks and threads, that ask each other in memory.

use super::{PATIENCE, chain, stands, verify};
use crate::{
    Config, Health, HistoryReader, Log, LogOrigin, MemberChange, NoPeerAnswer, OpenError,
    PeerAddress, PeerLane, PeerTransport, ProposeError, SnapshotPolicy, testing::Hashes,
};
use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use skep_proto::{Id, Lineage, Revision};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

const LINEAGE: Lineage = Lineage(7);

/// Who is there, and whom nobody reaches.
#[derive(Debug, Default)]
struct Wires {
    logs: Mutex<BTreeMap<u64, Log>>,
    cut: Mutex<BTreeSet<u64>>,
}

/// One manager's end of them.
#[derive(Clone, Debug)]
struct WiresEnd {
    own: u64,
    wires: Arc<Wires>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a log")
    }
}

impl PeerTransport for WiresEnd {
    fn ask(
        &self,
        to: PeerAddress,
        _: PeerLane,
        question: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, NoPeerAnswer>> {
        let WiresEnd { own, wires } = self.clone();
        let target = to.raft_id;
        async move {
            let is_cut = || {
                let cut = wires.cut.lock().unwrap();
                cut.contains(&own) || cut.contains(&target)
            };
            let log = wires.logs.lock().unwrap().get(&target).cloned();
            let Some(log) = log else {
                let (address, cause) = (to.address, "nobody is there".into());
                return Err(NoPeerAnswer::Unreachable { target, address, cause });
            };
            if is_cut() {
                std::future::pending::<()>().await;
            }
            let answer = log.hear(question).await;
            if is_cut() {
                std::future::pending::<()>().await;
            }
            Ok(answer)
        }
        .boxed()
    }
}

/// Managers, each with a folder.
struct Managers {
    dir: tempfile::TempDir,
    wires: Arc<Wires>,
    folds: BTreeMap<u64, Hashes>,
    snapshots: SnapshotPolicy,
}

impl Managers {
    /// The first one, which leads.
    async fn begin(snapshots: SnapshotPolicy) -> Managers {
        let dir = tempfile::tempdir().unwrap();
        let mut all = Managers { dir, wires: Arc::default(), folds: BTreeMap::new(), snapshots };
        all.open(1).await.unwrap();
        all
    }

    fn config(&self, raft_id: u64) -> Config {
        let dir = self.dir.path().join(raft_id.to_string());
        let origin = match raft_id {
            1 => LogOrigin::Founds,
            raft_id => LogOrigin::Joins { raft_id, lineage: LINEAGE },
        };
        let end = WiresEnd { own: raft_id, wires: self.wires.clone() };
        let (peers, snapshots) = (Some(Arc::new(end) as _), self.snapshots);
        let node = Id(u128::from(raft_id));
        Config { origin, peers, snapshots, min_free: 0.0, ..Config::new(dir, node) }
    }

    async fn open(&mut self, raft_id: u64) -> Result<(), OpenError> {
        let fold = Hashes::default();
        let log = Log::open(self.config(raft_id), fold.clone()).await?;
        self.wires.logs.lock().unwrap().insert(raft_id, log);
        self.folds.insert(raft_id, fold);
        Ok(())
    }

    async fn close(&mut self, raft_id: u64) {
        let log = self.wires.logs.lock().unwrap().remove(&raft_id).unwrap();
        self.folds.remove(&raft_id);
        log.close().await;
    }

    fn log(&self, raft_id: u64) -> Log {
        self.wires.logs.lock().unwrap()[&raft_id].clone()
    }

    /// Starts one more, adds it, and gives it a vote.
    async fn join(&mut self, raft_id: u64) {
        self.open(raft_id).await.unwrap();
        let (node, address) = (Id(u128::from(raft_id)), String::new());
        self.change(MemberChange::Add { raft_id, node, address }).await;
        self.change(MemberChange::Promote { raft_id }).await;
    }

    /// Asks the leader until it has done it.
    async fn change(&self, change: MemberChange) {
        let until = Instant::now() + PATIENCE;
        loop {
            let leader = self.leader(&[]).await;
            match self.log(leader).change_members(change.clone()).await {
                Ok(()) => return,
                Err(why) => assert!(Instant::now() < until, "{change:?}: {why}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The one that leads, and is none of these.
    async fn leader(&self, others_than: &[u64]) -> u64 {
        let until = Instant::now() + PATIENCE;
        loop {
            let logs = self.wires.logs.lock().unwrap().clone();
            let leads = |(id, log): &(&u64, &Log)| {
                !others_than.contains(id) && log.leadership().borrow().leader
            };
            if let Some((leader, _)) = logs.iter().find(leads) {
                return *leader;
            }
            assert!(Instant::now() < until, "nobody leads");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Writes so many entries through the leader, whoever that is meanwhile.
    async fn write(&self, entries: u64, others_than: &[u64]) {
        let until = Instant::now() + PATIENCE;
        let mut written = 0;
        while written < entries {
            assert!(Instant::now() < until, "{written} of {entries} are written");
            let log = self.log(self.leader(others_than).await);
            if log.barrier().await.is_err() {
                continue;
            }
            let mut chain = chain(&log);
            let proposals: Vec<_> =
                (written..entries).map(|_| log.propose(chain.entry(1))).collect();
            for proposal in proposals {
                match proposal.await {
                    Ok(_) => written += 1,
                    Err(_) => break,
                }
            }
        }
    }

    /// Waits until all that run have applied the same.
    async fn agree(&self) {
        let until = Instant::now() + PATIENCE;
        loop {
            let lists: Vec<_> = self.folds.values().map(Hashes::list).collect();
            if lists.iter().all(|list| *list == lists[0]) {
                return;
            }
            let lengths: Vec<_> = lists.iter().map(Vec::len).collect();
            assert!(Instant::now() < until, "they have applied {lengths:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_managers_go_on_without_their_leader_which_comes_back() {
    let mut all = Managers::begin(SnapshotPolicy::default()).await;
    all.write(30, &[]).await;
    all.join(2).await;
    all.join(3).await;
    assert_eq!(all.log(1).members().await.unwrap().voters, [1, 2, 3].into());
    all.write(20, &[]).await;
    all.agree().await;
    for _ in 0..2 {
        let leader = all.leader(&[]).await;
        all.close(leader).await;
        all.write(10, &[]).await;
        all.open(leader).await.unwrap();
        all.agree().await;
    }
    let (position, head) = stands(&all.log(1));
    assert_eq!(position.revision.0, 70);
    for raft_id in [1, 2, 3] {
        assert_eq!(stands(&all.log(raft_id)), (position, head));
        assert_eq!(verify(&all.log(raft_id).history()), 70);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_nobody_hears_leads_no_more_and_what_it_was_given_is_unknown() {
    let mut all = Managers::begin(SnapshotPolicy::default()).await;
    all.join(2).await;
    all.join(3).await;
    all.write(5, &[]).await;
    let alone = all.leader(&[]).await;
    let log = all.log(alone);
    all.wires.cut.lock().unwrap().insert(alone);
    let lost = log.propose(chain(&log).entry(1));
    let mut leadership = log.leadership();
    leadership.wait_for(|leadership| !leadership.leader).await.unwrap();
    assert!(log.barrier().await.is_err(), "it can't know what is committed");
    let refused = log.propose(chain(&log).entry(1)).await;
    assert!(matches!(refused, Err(ProposeError::NotLeader | ProposeError::Unknown)), "{refused:?}");
    all.write(5, &[alone]).await;
    all.wires.cut.lock().unwrap().clear();
    let outcome = lost.await;
    assert!(outcome.is_err(), "the others have gone on without it: {outcome:?}");
    all.agree().await;
    assert_eq!(log.status().borrow().health, Health::Ok);
    assert_eq!(all.folds[&alone].list().len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_hears_of_no_leader_names_none_until_it_does_again() {
    let mut all = Managers::begin(SnapshotPolicy::default()).await;
    all.join(2).await;
    all.join(3).await;
    all.write(5, &[]).await;
    let named = async |raft_id: u64, wanted: fn(Option<u64>) -> bool| {
        let mut leadership = all.log(raft_id).leadership();
        let seen = leadership.wait_for(|leadership| wanted(leadership.known_leader));
        let seen =
            tokio::time::timeout(Duration::from_secs(60), seen).await.expect("in time").unwrap();
        seen.known_leader
    };
    for raft_id in [1, 2, 3] {
        assert_eq!(named(raft_id, |leader| leader.is_some()).await, Some(all.leader(&[]).await));
    }
    // Nobody reaches a majority, whoever led.
    all.wires.cut.lock().unwrap().extend([1, 2]);
    for raft_id in [1, 2, 3] {
        named(raft_id, |leader| leader.is_none()).await;
    }
    all.wires.cut.lock().unwrap().clear();
    for raft_id in [1, 2, 3] {
        named(raft_id, |leader| leader.is_some()).await;
    }
    all.agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_is_handed_to_the_manager_that_is_named() {
    let mut all = Managers::begin(SnapshotPolicy::default()).await;
    all.join(2).await;
    all.write(5, &[]).await;
    let until = Instant::now() + PATIENCE;
    while all.leader(&[]).await != 2 {
        assert!(Instant::now() < until, "2 does not lead");
        // Refused while 2 has not caught up, and where it leads meanwhile.
        all.log(all.leader(&[]).await).hand_over(2).await.ok();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    all.write(5, &[]).await;
    all.agree().await;
    all.change(MemberChange::Demote { raft_id: 1 }).await;
    all.change(MemberChange::Remove { raft_id: 1 }).await;
    all.close(1).await;
    all.write(5, &[]).await;
    let members = all.log(2).members().await.unwrap();
    assert_eq!((members.voters, members.followers), ([2].into(), BTreeSet::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_joins_late_is_brought_a_snapshot_and_follows_from_there() {
    let mut all = Managers::begin(SnapshotPolicy { records_min: 1_000, bytes_min: 0 }).await;
    // Raft keeps ten thousand entries behind a snapshot.
    for _ in 0..14 {
        all.write(1_000, &[]).await;
    }
    all.join(2).await;
    all.write(10, &[]).await;
    all.agree().await;
    let history = all.log(2).history();
    let begins = history.bounds().0;
    assert!(begins.0 > 1, "it was brought all entries");
    let missing = history.entries(Revision(1)).next().unwrap().map(drop).unwrap_err();
    let expected = format!("revisions 1 to {} are not in this manager's log", begins.0 - 1);
    assert!(missing.to_string().starts_with(&expected), "{missing}");
    assert!(history.entry_at(Revision(1)).is_err() && history.entry_at(begins).is_ok());
    all.close(2).await;
    all.open(2).await.unwrap();
    all.write(5, &[]).await;
    all.agree().await;
}

/// Reads up and down until something is missing: how many revisions there are, and what is missing.
fn read(history: &HistoryReader) -> [(u64, String); 2] {
    let both = [history.entries(Revision(1)), history.entries_back(Revision(u64::MAX))];
    both.map(|entries| {
        let (mut revisions, mut missing) = (0, String::new());
        for entry in entries {
            match entry {
                Ok(entry) => revisions += entry.records.len() as u64,
                Err(error) => missing = error.to_string(),
            }
        }
        (revisions, missing)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_that_a_snapshot_left_is_told_and_never_jumped_over() {
    let mut all = Managers::begin(SnapshotPolicy { records_min: 1_000, bytes_min: 0 }).await;
    all.write(5, &[]).await;
    let add = MemberChange::Add { raft_id: 2, node: Id(2), address: String::new() };
    all.open(2).await.unwrap();
    all.change(add.clone()).await;
    all.agree().await;
    all.close(2).await;
    // For a member that may come back a leader keeps what that lacks.
    all.change(MemberChange::Remove { raft_id: 2 }).await;
    for _ in 0..14 {
        all.write(1_000, &[]).await;
    }
    all.open(2).await.unwrap();
    all.change(add).await;
    all.write(5, &[]).await;
    all.agree().await;
    let whole = read(&all.log(1).history());
    assert_eq!(whole, [(14_010, String::new()), (14_010, String::new())]);
    let history = all.log(2).history();
    let [(below, missing), (above, same)] = read(&history);
    assert_eq!((below, &missing), (5, &same));
    let gap = 14_010 - below - above;
    let until = 5 + gap;
    assert!(missing.starts_with(&format!("revisions 6 to {until} are not in")), "{missing}");
    let mut following = all.log(2).subscribe(Revision(1));
    for _ in 0..5 {
        following.next().await.unwrap();
    }
    let missing = following.next().await.map(drop).unwrap_err().to_string();
    let expected =
        format!("revision 6 is not in this manager's log; the next one there is {}", until + 1);
    assert_eq!(missing, expected);
}

#[tokio::test]
async fn a_folder_is_of_one_life_as_a_manager_and_no_other() {
    let mut all = Managers::begin(SnapshotPolicy::default()).await;
    all.open(2).await.unwrap();
    let members = all.log(2).members().await.unwrap();
    assert_eq!(members.voters, BTreeSet::new(), "it waits to be added");
    all.close(2).await;
    let again = LogOrigin::Joins { raft_id: 5, lineage: LINEAGE };
    let config = Config { origin: again, ..all.config(2) };
    let refused = Log::open(config, Hashes::default()).await.expect_err("it was manager 2");
    assert!(matches!(refused, OpenError::OtherManager { found: 2, wanted: 5, .. }), "{refused}");
    assert!(refused.hint().is_some_and(|hint| hint.contains("move the log away")));
    let config = Config { origin: LogOrigin::Founds, ..all.config(2) };
    let refused = Log::open(config, Hashes::default()).await.expect_err("it has founded nothing");
    assert!(matches!(refused, OpenError::OtherManager { found: 2, wanted: 1, .. }), "{refused}");
    assert!(refused.hint().is_some_and(|hint| hint.contains("join again")));
    all.open(2).await.expect("as before");
    let foreign = all.log(2).hear(Bytes::from_static(b"nonsense")).await;
    assert!(!foreign.is_empty(), "whoever asks is told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_starts_without_the_others_knows_what_it_had_applied() {
    let mut all = Managers::begin(SnapshotPolicy::default()).await;
    all.join(2).await;
    all.join(3).await;
    all.write(20, &[]).await;
    all.agree().await;
    for raft_id in [1, 2, 3] {
        all.close(raft_id).await;
    }
    all.open(2).await.unwrap();
    let known = all.folds[&2].list().len();
    assert!(known >= 19, "the newest entry may not have been indexed: it knows {known}");
    assert!(!all.log(2).leadership().borrow().leader);
    all.open(3).await.unwrap();
    all.write(5, &[]).await;
    all.agree().await;
    assert_eq!(all.folds[&3].list().len(), 25);
}
