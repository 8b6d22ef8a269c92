//! The audit itself: entry after entry, from their bytes to a head and a digest. PURE.

use crate::cli::fail::{CliError, CliResult};
use bytes::Bytes;
use prost::Message;
use skep_log::chain::{self, Hash, SealedEntry};
use skep_projections::{View, apply::Stamp};
use skep_proto::{
    Lineage, Revision, Timestamp,
    v1::{Record, StatusReply, event::Kind},
};

/// What has been computed so far.
#[derive(Default)]
pub(super) struct Audit {
    view: View,
    head: Hash,
    first: u64,
    revision: u64,
    incarnation: u64,
    at: u64,
    entries: u64,
    bytes: u64,
    checkpoints: u64,
}

impl Audit {
    /// Takes the next entry as stored: checks it against what came before and folds its records in.
    pub(super) fn take(&mut self, stored: Bytes, upto: u64, claimed: &StatusReply) -> CliResult {
        self.bytes += stored.len() as u64;
        let entry =
            chain::unseal(stored).map_err(|error| altered(self.revision, &error.to_string()))?;
        self.follows(&entry)?;
        self.fold(&entry)?;
        self.head = entry.hash;
        self.entries += 1;
        if self.revision == upto { self.agrees(claimed) } else { Ok(()) }
    }

    /// Whether all was seen that the manager claims to have.
    pub(super) fn finish(&self, upto: u64, claimed: &StatusReply) -> CliResult {
        if self.revision < upto.min(claimed.revision) {
            return Err(CliError::refused(format!(
                "the history ends at revision {}, the manager claims {}",
                self.revision, claimed.revision
            ))
            .hint("records are missing at the end: compare with a backup"));
        }
        Ok(())
    }

    /// The newest revision folded in.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }
    /// Where the history begins.
    pub(super) fn first_revision(&self) -> u64 {
        self.first
    }
    /// Of the newest entry.
    pub(super) fn incarnation(&self) -> u64 {
        self.incarnation
    }
    /// Of that incarnation.
    pub(super) fn lineage(&self) -> Lineage {
        self.view.lineage()
    }
    /// How many entries were checked.
    pub(super) fn entries(&self) -> u64 {
        self.entries
    }
    /// How large they were.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
    /// The hash of the newest entry.
    pub(super) fn head(&self) -> Hash {
        self.head
    }
    /// The digest of the view, in hexadecimal.
    pub(super) fn digest(&self) -> String {
        hex(&self.view.digest().to_bytes())
    }
    /// How many recorded digests were compared.
    pub(super) fn checkpoints(&self) -> u64 {
        self.checkpoints
    }
    /// Records that contradicted the view.
    pub(super) fn set_aside(&self) -> u64 {
        self.view.set_aside()
    }
    /// The newest of them, and what did not fit.
    pub(super) fn newest_set_aside(&self) -> Option<String> {
        let newest = self.view.newest_set_aside()?;
        Some(format!("record {}: {}", newest.revision, newest.why))
    }

    fn follows(&mut self, entry: &SealedEntry) -> CliResult {
        let header = &entry.header;
        let parent = Hash::from_bytes(&header.parent_hash).unwrap_or(Hash::ZERO);
        if self.entries == 0 {
            self.first = header.first_revision;
            if header.first_revision != 1 {
                return Err(CliError::refused(format!(
                    "the history begins at revision {}: what came before was trimmed and cannot be replayed",
                    header.first_revision
                )));
            }
        } else if header.first_revision != self.revision + 1 {
            return Err(altered(
                self.revision,
                &format!(
                    "the next entry begins at revision {} and not at {}",
                    header.first_revision,
                    self.revision + 1
                ),
            ));
        }
        if parent != self.head {
            return Err(altered(
                self.revision,
                &format!(
                    "the entry at revision {} names {parent} as its parent, which is not the entry before it ({})",
                    header.first_revision, self.head
                ),
            ));
        }
        if header.at < self.at || header.incarnation < self.incarnation {
            return Err(altered(
                self.revision,
                &format!("time or incarnation goes back at revision {}", header.first_revision),
            ));
        }
        (self.at, self.incarnation) = (header.at, header.incarnation);
        Ok(())
    }

    fn fold(&mut self, entry: &SealedEntry) -> CliResult {
        for (index, bytes) in entry.records.iter().enumerate() {
            let revision = entry.header.first_revision + index as u64;
            let record = Record::decode(bytes.clone())
                .map_err(|error| altered(self.revision, &error.to_string()))?;
            if let Some(Kind::Checkpoint(checkpoint)) =
                record.event.as_ref().and_then(|event| event.kind.as_ref())
            {
                self.compare(revision, &checkpoint.digest)?;
            }
            let stamp = Stamp {
                revision: Revision(revision),
                at: Timestamp(entry.header.at),
                incarnation: entry.header.incarnation,
            };
            self.view.apply(stamp, &record).map_err(|unknown| {
                CliError::refused(format!("revision {revision} cannot be replayed: {unknown}"))
                    .hint("this program may be older than the one that wrote it")
            })?;
            self.revision = revision;
        }
        let (named, lineage) = (Lineage(entry.header.lineage), self.view.lineage());
        if named != lineage {
            let first = entry.header.first_revision;
            return Err(altered(
                self.revision,
                &format!(
                    "the entry at revision {first} names lineage {named}, its records lead to lineage {lineage}"
                ),
            ));
        }
        Ok(())
    }

    /// A checkpoint carries the digest after the record before it.
    fn compare(&mut self, revision: u64, recorded: &[u8]) -> CliResult {
        if recorded != self.view.digest().to_bytes() {
            return Err(CliError::refused(format!(
                "replayed up to revision {} the view's digest is {}, the checkpoint at revision {revision} says {}",
                self.revision,
                self.digest(),
                hex(recorded)
            ))
            .hint("the program that wrote it folded the records differently: keep the folder and report it"));
        }
        self.checkpoints += 1;
        Ok(())
    }

    fn agrees(&self, claimed: &StatusReply) -> CliResult {
        let differs = |what: &str, computed: String, said: &[u8]| {
            CliError::refused(format!(
                "at revision {} the {what} computes to {computed}, the manager says {}",
                self.revision,
                hex(said)
            ))
            .hint("restart the manager; if the problem stays, keep its folder and report it")
        };
        if !claimed.head_hash.is_empty() && claimed.head_hash != self.head.to_bytes() {
            return Err(differs("head", self.head.to_string(), &claimed.head_hash));
        }
        if !claimed.digest.is_empty() && claimed.digest[..] != self.view.digest().to_bytes() {
            return Err(differs("digest", self.digest(), &claimed.digest));
        }
        Ok(())
    }
}

fn altered(good: u64, what: &str) -> CliError {
    CliError::refused(format!("the history is good up to revision {good} and not after: {what}"))
        .hint("something altered it: compare with a backup or with another manager")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_log::chain::{Draft, seal};
    use skep_proto::{
        FEATURE_LEVEL, Id, event,
        v1::{Checkpoint, ClusterCreated, FeatureLevelRaised, NodeRemoved, TenureBegun},
    };

    fn entry(parent: Hash, first: u64, kinds: Vec<Kind>) -> SealedEntry {
        entry_of(parent, first, (1, first), kinds)
    }

    /// An entry of this incarnation and time.
    fn entry_of(
        parent: Hash,
        first: u64,
        (incarnation, at): (u64, u64),
        kinds: Vec<Kind>,
    ) -> SealedEntry {
        let record = |kind| Record { event: Some(event::event(kind)), ..Record::default() };
        seal(&Draft {
            parent,
            incarnation,
            first_revision: Revision(first),
            at: Timestamp(at),
            feature_level: 1,
            code_version: String::new(),
            lineage: Lineage::NONE,
            made_from: None,
            records: kinds.into_iter().map(record).collect(),
        })
    }

    fn cluster() -> Kind {
        Kind::ClusterCreated(Box::new(ClusterCreated { cluster_id: Id(1).to_bytes(), spec: None }))
    }

    fn tenure() -> Kind {
        Kind::TenureBegun(TenureBegun { term: 1, code_version: String::new() })
    }

    fn check(entries: Vec<Bytes>, expected: Result<u64, &str>) {
        let (mut audit, claimed) =
            (Audit::default(), StatusReply { revision: 99, ..StatusReply::default() });
        let outcome = entries.into_iter().try_for_each(|stored| audit.take(stored, 99, &claimed));
        match expected {
            Ok(revision) => assert_eq!((outcome, audit.revision()), (Ok(()), revision)),
            Err(part) => {
                let failure = outcome.expect_err("it must be found");
                assert!(failure.message().contains(part), "{failure}");
            }
        }
    }

    #[test]
    fn a_chain_is_followed_and_what_breaks_it_is_named() {
        let one = entry(Hash::ZERO, 1, vec![cluster(), tenure()]);
        let two = entry(one.hash, 3, vec![tenure()]);
        check(vec![one.bytes.clone(), two.bytes.clone()], Ok(3));
        let mut bent = one.bytes.to_vec();
        *bent.last_mut().expect("an entry is not empty") ^= 1;
        check(vec![bent.into()], Err("good up to revision 0"));
        check(
            vec![one.bytes.clone(), entry(one.hash, 4, vec![tenure()]).bytes],
            Err("begins at revision 4 and not at 3"),
        );
        check(
            vec![one.bytes.clone(), entry(Hash::ZERO, 3, vec![tenure()]).bytes],
            Err("as its parent"),
        );
        check(vec![two.bytes], Err("begins at revision 3"));
    }

    #[test]
    fn a_checkpoint_with_another_digest_is_found() {
        let lie = Kind::Checkpoint(Checkpoint { digest: Bytes::from_static(&[7; 16]) });
        check(vec![entry(Hash::ZERO, 1, vec![cluster(), lie]).bytes], Err("digest"));
        let mut view = View::default();
        let stamp = Stamp { revision: Revision(1), at: Timestamp(1), incarnation: 1 };
        let record = Record { event: Some(event::event(cluster())), ..Record::default() };
        view.apply(stamp, &record).expect("a record we know");
        let truth =
            Kind::Checkpoint(Checkpoint { digest: view.digest().to_bytes().to_vec().into() });
        check(vec![entry(Hash::ZERO, 1, vec![cluster(), truth]).bytes], Ok(2));
    }

    #[test]
    fn the_header_names_the_lineage_that_the_records_lead_to() {
        let raised = |lineage| {
            Kind::FeatureLevelRaised(FeatureLevelRaised { level: FEATURE_LEVEL, lineage })
        };
        let record = |kind| Record { event: Some(event::event(kind)), ..Record::default() };
        let sealed = |lineage| {
            seal(&Draft {
                parent: Hash::ZERO,
                incarnation: 1,
                first_revision: Revision(1),
                at: Timestamp(1),
                feature_level: FEATURE_LEVEL,
                code_version: String::new(),
                lineage: Lineage(lineage),
                made_from: None,
                records: [cluster(), raised(5)].into_iter().map(record).collect(),
            })
        };
        let take = |lineage| {
            let mut audit = Audit::default();
            let taken = audit.take(sealed(lineage).bytes, 9, &StatusReply::default());
            (taken.is_ok(), audit.lineage())
        };
        assert_eq!(take(5), (true, Lineage(5)));
        assert!(!take(6).0);
        assert!(!take(0).0);
    }

    #[test]
    fn neither_time_nor_incarnation_goes_back() {
        let one = entry_of(Hash::ZERO, 1, (2, 5), vec![cluster()]);
        let next =
            |moment| vec![one.bytes.clone(), entry_of(one.hash, 2, moment, vec![tenure()]).bytes];
        check(next((2, 5)), Ok(2));
        check(next((3, 6)), Ok(2));
        check(next((2, 4)), Err("goes back at revision 2"));
        check(next((1, 6)), Err("goes back at revision 2"));
    }

    /// An audit of two entries, of which the first has two records.
    fn audited(upto: u64, claimed: &StatusReply) -> (Audit, CliResult) {
        let one = entry(Hash::ZERO, 1, vec![cluster(), tenure()]);
        let two = entry(one.hash, 3, vec![tenure()]);
        let mut audit = Audit::default();
        let taken = [one, two].into_iter().try_for_each(|e| audit.take(e.bytes, upto, claimed));
        (audit, taken)
    }

    #[test]
    fn what_was_seen_is_counted() {
        let (audit, taken) = audited(3, &StatusReply::default());
        assert_eq!(taken, Ok(()));
        assert_eq!((audit.first_revision(), audit.revision(), audit.entries()), (1, 3, 2));
        assert_eq!((audit.incarnation(), audit.checkpoints()), (1, 0));
        assert!(audit.bytes() > 100, "{} bytes", audit.bytes());
        assert_eq!(audit.digest(), hex(&audit.view.digest().to_bytes()));
        assert_eq!(hex(&[0, 255]), "00ff");
    }

    #[test]
    fn what_the_manager_claims_is_compared_where_the_audit_ends() {
        let (truth, _) = audited(3, &StatusReply::default());
        let head_hash: Bytes = truth.head.to_bytes();
        let digest: Bytes = truth.view.digest().to_bytes().to_vec().into();
        let lie = Bytes::from_static(&[7; 32]);
        let claimed = |head_hash: &Bytes, digest: &Bytes| StatusReply {
            revision: 3,
            head_hash: head_hash.clone(),
            digest: digest.clone(),
            ..StatusReply::default()
        };
        assert_eq!(audited(3, &claimed(&head_hash, &digest)).1, Ok(()));
        let failure = |claimed: &StatusReply| match audited(3, claimed).1 {
            Ok(()) => panic!("it must be found"),
            Err(failure) => failure.message().to_owned(),
        };
        assert!(failure(&claimed(&lie, &digest)).contains("the head computes to"));
        assert!(failure(&claimed(&head_hash, &lie)).contains("the digest computes to"));
        assert_eq!(audited(4, &claimed(&lie, &lie)).1, Ok(()), "the claim is about a later one");
    }

    #[test]
    fn a_history_that_ends_before_what_is_claimed_is_refused() {
        let (audit, _) = audited(9, &StatusReply::default());
        let claimed = |revision| StatusReply { revision, ..StatusReply::default() };
        assert_eq!(audit.finish(9, &claimed(3)), Ok(()));
        assert_eq!(audit.finish(3, &claimed(9)), Ok(()), "no more was asked for");
        let failure = audit.finish(9, &claimed(4)).expect_err("one is missing");
        assert!(failure.message().contains("ends at revision 3, the manager claims 4"));
    }

    #[test]
    fn each_checkpoint_is_counted() {
        let (truth, _) = audited(3, &StatusReply::default());
        let digest: Bytes = truth.view.digest().to_bytes().to_vec().into();
        let checkpoint = Kind::Checkpoint(Checkpoint { digest });
        let (mut audit, _) = audited(3, &StatusReply::default());
        let next = entry(audit.head, 4, vec![checkpoint]);
        assert_eq!(audit.take(next.bytes, 9, &StatusReply::default()), Ok(()));
        assert_eq!(audit.checkpoints(), 1);
    }

    #[test]
    fn records_that_contradict_the_view_are_counted_and_the_newest_is_named() {
        let unknown = NodeRemoved { node_id: Id(9).to_bytes(), force: false };
        let kinds = vec![cluster(), Kind::NodeRemoved(unknown)];
        let mut audit = Audit::default();
        let entry = entry_of(Hash::ZERO, 1, (2, 5), kinds);
        assert_eq!(audit.newest_set_aside(), None);
        assert_eq!(audit.take(entry.bytes, 9, &StatusReply::default()), Ok(()));
        assert_eq!((audit.set_aside(), audit.incarnation()), (1, 2));
        let newest = audit.newest_set_aside();
        assert!(newest.as_ref().is_some_and(|text| text.starts_with("record 2: ")), "{newest:?}");
    }
}
