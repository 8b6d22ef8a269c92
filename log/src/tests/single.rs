//! The log that one thread drives: every entry boundary, every place of a snapshot, every crash
//! point.
//!
//! Each story runs on a model disk where one change after the other meets a fault: the power is cut
//! before it, or it is refused, or it happens and is reported as failed. Afterwards the log is
//! opened again, what was acknowledged is there, and the next entry is taken.

use super::*;
use crate::{
    AcceptLoss, Applied, Fault, LogFailure, OpenError, SingleLog, SnapshotPolicy, recover_model,
};
use skep_proto::Revision;

/// A snapshot after every so many records.
const RECORDS_PER_SNAPSHOT: u64 = 3;
/// Entries of a story.
const ENTRIES: u64 = 8;

fn often() -> SnapshotPolicy {
    SnapshotPolicy { records_min: RECORDS_PER_SNAPSHOT, bytes_min: 0 }
}

fn open_single(disk: &ModelDisk) -> Result<(SingleLog, Hashes), OpenError> {
    let hashes = Hashes::default();
    Ok((SingleLog::open(disk, Id(7), often(), Box::new(hashes.clone()))?, hashes))
}

/// A chain that goes on where the log stands.
fn chain_of(log: &SingleLog) -> EntryChain {
    let status = log.status();
    let mut chain = EntryChain::on(status.applied, status.head);
    chain.incarnation = log.begun_incarnation().unwrap_or(chain.incarnation);
    chain
}

/// Entries that were acknowledged, oldest first.
type AcknowledgedEntry = Vec<Hash>;

/// Writes a story, a snapshot whenever one is due, until something fails.
fn live(
    log: &mut SingleLog,
    entries: u64,
    acknowledged: &mut AcknowledgedEntry,
) -> Result<(), LogFailure> {
    let mut chain = chain_of(log);
    for n in 0..entries {
        log.append(chain.entry(1 + n % 2))?;
        // Every third entry shares the sync of the next one.
        if n % 3 != 0 {
            acknowledged.extend(extended(&log.sync()?));
        }
        log.snapshot()?;
    }
    acknowledged.extend(extended(&log.sync()?));
    Ok(())
}

fn extended(applied: &[Applied]) -> Vec<Hash> {
    applied
        .iter()
        .filter(|applied| applied.position.is_some())
        .map(|applied| applied.hash)
        .collect()
}

/// The log is whole, holds what was acknowledged, and takes the next entry.
#[track_caller]
fn goes_on(log: &mut SingleLog, hashes: &Hashes, acknowledged: &[Hash], at: &str) {
    let held = hashes.list();
    let missing: Vec<_> = acknowledged.iter().filter(|hash| !held.contains(hash)).collect();
    assert!(missing.is_empty(), "{at}: acknowledged and lost: {missing:?}");
    let revisions = verify(&log.history());
    assert_eq!(revisions, log.status().applied.revision.0, "{at}: history and status agree");
    assert_eq!(
        held.last().copied().unwrap_or(Hash::ZERO),
        log.status().head,
        "{at}: fold and status agree"
    );
    let entry = chain_of(log).entry(1);
    let hash = entry.hash;
    log.append(entry).unwrap_or_else(|error| panic!("{at}: {error:?}"));
    assert_eq!(extended(&log.sync().unwrap()), [hash], "{at}: the next entry is taken");
    assert_eq!(verify(&log.history()), revisions + 1, "{at}");
}

#[test]
fn every_crash_point_leaves_a_log_that_takes_the_next_entry() {
    for keep in [0, 1, usize::MAX] {
        for nth in 0.. {
            let disk = ModelDisk::default();
            disk.fail_at(nth, Fault::CutPower { keep });
            let mut acknowledged = Vec::new();
            let lived = match open_single(&disk) {
                Ok((mut log, _)) => live(&mut log, ENTRIES, &mut acknowledged).is_ok(),
                Err(_) => false,
            };
            disk.cut_power(keep);
            let at = format!("power cut at change {nth}, {keep} kept");
            // A restart, and another one, since what the first one wrote counts too.
            for _ in 0..2 {
                let (mut log, hashes) =
                    open_single(&disk).unwrap_or_else(|error| panic!("{at}: {error}"));
                goes_on(&mut log, &hashes, &acknowledged, &at);
            }
            if lived {
                break;
            }
        }
    }
}

#[test]
fn every_failed_write_heals_and_loses_nothing() {
    for fault in [Fault::Refuse, Fault::FailAfter] {
        for nth in 0.. {
            let disk = ModelDisk::default();
            let (mut log, hashes) = open_single(&disk).unwrap();
            disk.fail_at(nth, fault);
            let mut acknowledged = Vec::new();
            let lived = live(&mut log, ENTRIES, &mut acknowledged);
            let at = format!("{fault:?} at change {nth}");
            if lived.is_err() {
                assert!(!log.status().leader, "{at}: a log that failed does not lead");
                assert!(log.append(chain_of(&log).entry(1)).is_err(), "{at}: nothing is taken");
                let readable = log.history().entries(Revision(1)).all(|entry| entry.is_ok());
                assert!(readable, "{at}: reads go on");
                assert!(log.reopen().is_err(), "{at}: the disk still refuses");
            }
            let went_through = !disk.has_met_its_fault();
            disk.heal();
            log.reopen().unwrap_or_else(|error| panic!("{at}: {error}"));
            goes_on(&mut log, &hashes, &acknowledged, &at);
            drop(log);
            disk.cut_power(0);
            let (mut log, hashes) =
                open_single(&disk).unwrap_or_else(|error| panic!("{at}: {error}"));
            goes_on(&mut log, &hashes, &acknowledged, &at);
            if went_through {
                break;
            }
        }
    }
}

#[test]
fn a_snapshot_at_every_boundary_restores_to_the_same_head() {
    for entries in 1..=12 {
        let disk = ModelDisk::default();
        let (mut log, _) = open_single(&disk).unwrap();
        let mut chain = chain_of(&log);
        for _ in 0..entries {
            log.append(chain.entry(RECORDS_PER_SNAPSHOT)).unwrap();
            log.sync().unwrap();
        }
        let taken = log.snapshot().unwrap();
        assert_eq!(taken, Some(Revision(entries * RECORDS_PER_SNAPSHOT)), "it is the newest entry");
        let (stood, all) = (log.status(), chain.head);
        drop(log);
        let (mut log, hashes) = open_single(&disk).unwrap();
        assert_eq!((log.status().applied, log.status().head), (stood.applied, all));
        goes_on(&mut log, &hashes, &[all], &format!("after {entries} entries"));
    }
}

#[test]
fn a_recovery_that_is_interrupted_anywhere_opens_or_is_run_again() {
    for keep in [0, 1, usize::MAX] {
        for nth in 0.. {
            let (disk, kept) = damaged_disk();
            disk.fail_at(nth, Fault::CutPower { keep });
            let recovered = recover_model(&disk, AcceptLoss::OfDamaged);
            let at = format!("recovery cut at change {nth}, {keep} kept: {recovered:?}");
            let done = recovered.is_ok() && !disk.has_met_its_fault();
            disk.cut_power(keep);
            let mut opened = open_single(&disk);
            if opened.is_err() {
                drop(opened);
                recover_model(&disk, AcceptLoss::OfDamaged)
                    .unwrap_or_else(|error| panic!("{at}: {error}"));
                opened = open_single(&disk);
            }
            let (mut log, hashes) = opened.unwrap_or_else(|error| panic!("{at}: {error}"));
            assert!(log.begun_incarnation().is_some_and(|begun| begun > 1), "{at}");
            assert_eq!(hashes.list(), kept, "{at}: what was readable is there, and no more");
            goes_on(&mut log, &hashes, &kept, &at);
            assert!(log.status().applied.incarnation > 1, "{at}");
            if done {
                break;
            }
        }
    }
}

/// A log whose synced tail is gone, and the entries that are left.
fn damaged_disk() -> (ModelDisk, AcknowledgedEntry) {
    let disk = ModelDisk::default();
    let (mut log, hashes) = open_single(&disk).unwrap();
    live(&mut log, ENTRIES, &mut Vec::new()).unwrap();
    let kept = hashes.list();
    let next = disk.log_end();
    live(&mut log, 3, &mut Vec::new()).unwrap();
    drop(log);
    // The head file is never synced: the machine writes it out some time.
    disk.cut_power(usize::MAX);
    disk.lose_entries(next);
    let error = open_single(&disk).err().unwrap();
    let OpenError::EndsEarly { readable, durable, .. } = &error else { panic!("{error}") };
    assert!(durable > readable && readable.0 == ENTRIES + ENTRIES / 2, "{error}");
    (disk, kept)
}

#[test]
fn snapshots_behind_the_cut_are_put_aside_and_not_deleted() {
    let (disk, _) = damaged_disk();
    let files: &dyn crate::disk::files::Files = &disk;
    let before = files.list("snapshots").unwrap();
    let recovered = recover_model(&disk, AcceptLoss::OfDamaged).unwrap();
    drop(open_single(&disk).unwrap());
    let (kept, aside) = (files.list("snapshots").unwrap(), files.list("snapshots.lost").unwrap());
    assert!(!aside.is_empty(), "{before:?}");
    let cut = format!("{:020}", recovered.position.revision.0);
    assert!(kept.iter().all(|file| file[..20] <= cut[..]), "{kept:?}");
    assert!(aside.iter().all(|file| file[..20] > cut[..]), "{aside:?}");
    let mut all = [kept, aside].concat();
    all.sort_unstable();
    assert_eq!(all, before);
}

#[test]
fn no_incarnation_is_begun_twice() {
    let (disk, kept) = damaged_disk();
    assert_eq!(recover_model(&disk, AcceptLoss::OfDamaged).unwrap().incarnation, 2);
    let (mut log, _) = open_single(&disk).unwrap();
    let next = disk.log_end();
    live(&mut log, 2, &mut Vec::new()).unwrap();
    assert_eq!(log.status().applied.incarnation, 2);
    drop(log);
    // All that the second incarnation wrote is lost.
    disk.lose_entries(next);
    let recovered = recover_model(&disk, AcceptLoss::OfDamaged).unwrap();
    assert_eq!(recovered.incarnation, 3, "agents may have seen the second one");
    let (mut log, hashes) = open_single(&disk).unwrap();
    goes_on(&mut log, &hashes, &kept, "after two recoveries");
    assert_eq!(log.status().applied.incarnation, 3);
}

#[test]
fn a_loss_is_accepted_once() {
    let (disk, _) = damaged_disk();
    recover_model(&disk, AcceptLoss::OfDamaged).unwrap();
    let (mut log, _) = open_single(&disk).unwrap();
    let next = disk.log_end();
    // As far as the log once was, and lost again.
    live(&mut log, 3, &mut Vec::new()).unwrap();
    drop(log);
    disk.lose_entries(next);
    let error = open_single(&disk).err().unwrap();
    assert!(matches!(error, OpenError::EndsEarly { .. }), "{error}");
}

#[test]
fn a_log_that_is_not_damaged_is_recovered_by_force_only() {
    let disk = ModelDisk::default();
    let (mut log, hashes) = open_single(&disk).unwrap();
    live(&mut log, ENTRIES, &mut Vec::new()).unwrap();
    let all = hashes.list();
    drop(log);
    let error = recover_model(&disk, AcceptLoss::OfDamaged).unwrap_err();
    assert!(matches!(error, crate::RecoverError::Undamaged { .. }), "{error}");
    let (log, hashes) = open_single(&disk).unwrap();
    assert_eq!(
        (hashes.list(), log.begun_incarnation()),
        (all.clone(), None),
        "nothing was changed"
    );
    drop(log);
    assert_eq!(recover_model(&disk, AcceptLoss::Forced).unwrap().incarnation, 2);
    let (mut log, hashes) = open_single(&disk).unwrap();
    goes_on(&mut log, &hashes, &all, "by force");
}

#[test]
fn a_new_term_applies_what_was_in_flight() {
    let disk = ModelDisk::default();
    let (mut log, hashes) = open_single(&disk).unwrap();
    let mut chain = chain_of(&log);
    let first = log.append(chain.entry(1)).unwrap();
    log.append(chain.entry(1)).unwrap();
    assert_eq!(log.sync_up_to(first).unwrap().len(), 1);
    assert_eq!((log.in_flight(), hashes.list().len()), (1, 1));
    let term = log.status().term;
    log.elect().unwrap();
    assert!(log.status().term > term && log.status().leader);
    assert_eq!(hashes.list().last(), Some(&chain.head));
    goes_on(&mut log, &hashes, &[chain.head], "in the new term");
}
