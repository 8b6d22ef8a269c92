//! VIEW-1, VIEW-2 and the exactness of indexes, for streams of records that nobody would think of.

use proptest::prelude::*;
use skep_projections::{
    Stamp, View,
    fixture::{BEGINNING, dice},
    snapshot,
};
use skep_proto::{
    event,
    v1::{CommandId, Record},
};
use std::collections::BTreeSet;

fn throws() -> impl Strategy<Value = Vec<dice::Throw>> {
    proptest::collection::vec(any::<dice::Throw>(), 1..400)
}

fn fold(view: &mut View, throws: &[dice::Throw]) -> Vec<(Stamp, Record)> {
    let mut records = Vec::new();
    for throw in throws {
        let revision = view.position().revision.next();
        let stamp = Stamp { revision, at: BEGINNING + revision.0 / 3, incarnation: 1 };
        let command = (throw.4 % 3 == 0).then(|| CommandId {
            stamp: u64::from(throw.4 % 5),
            number: revision.0 / 2,
            given_revision: u64::from(throw.4 % 7),
            command_hash: u64::from(throw.4 % 2),
            ..CommandId::default()
        });
        let warnings = (throw.4 % 6 == 0).then(|| format!("warning {}", throw.4));
        let event = Some(event::event(dice::event(view, *throw)));
        let warnings = warnings.into_iter().collect();
        let record = Record { command, event, warnings, ..Record::default() };
        view.apply(stamp, &record).expect("dice throw only known kinds");
        records.push((stamp, record));
    }
    records
}

fn same(a: &View, b: &View) {
    assert_eq!(a.digest(), b.digest());
    assert_eq!(a.position(), b.position());
    assert!(snapshot::encode(a) == snapshot::encode(b), "same digest, other bytes");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn indexes_and_digest_follow_from_the_rows(throws in throws()) {
        let mut view = View::default();
        for chunk in throws.chunks(25) {
            fold(&mut view, chunk);
            prop_assert_eq!(view.faults(), Vec::<String>::new());
            prop_assert_eq!(view.digest(), view.recomputed_digest());
        }
    }

    #[test]
    fn a_snapshot_anywhere_changes_nothing(throws in throws(), cut in any::<prop::sample::Index>()) {
        let cut = cut.index(throws.len());
        let mut whole = View::default();
        let records = fold(&mut whole, &throws);
        let mut prefix = View::default();
        records[..cut].iter().for_each(|(stamp, record)| drop(prefix.apply(*stamp, record).expect("known")));
        let mut resumed = snapshot::decode(&snapshot::encode(&prefix)).expect("what was encoded decodes");
        same(&prefix, &resumed);
        for (stamp, record) in &records[cut..] {
            let (mut direct, mut via_snapshot) = (prefix.clone(), resumed.clone());
            prop_assert_eq!(direct.apply(*stamp, record), via_snapshot.apply(*stamp, record), "the same delta");
            (prefix, resumed) = (direct, via_snapshot);
        }
        same(&whole, &resumed);
        same(&whole, &prefix);
    }

    #[test]
    fn readers_keep_what_they_hold(throws in throws(), cut in any::<prop::sample::Index>()) {
        let cut = cut.index(throws.len());
        let mut view = View::default();
        fold(&mut view, &throws[..cut]);
        let (held, bytes) = (view.clone(), snapshot::encode(&view));
        fold(&mut view, &throws[cut..]);
        prop_assert!(snapshot::encode(&held) == bytes);
        prop_assert_eq!(held.faults(), Vec::<String>::new());
    }

    #[test]
    fn damage_is_noticed(throws in throws(), at in any::<prop::sample::Index>(), by in 1u8..) {
        let mut view = View::default();
        fold(&mut view, &throws);
        let mut bytes = snapshot::encode(&view);
        let at = at.index(bytes.len());
        bytes[at] ^= by;
        // Whatever is read must be what the bytes say, and never a panic.
        if let Ok(read) = snapshot::decode(&bytes) {
            prop_assert_eq!(read.faults(), Vec::<String>::new());
        }
        prop_assert!(snapshot::decode(&bytes[..at]).is_err());
    }
}

#[test]
fn dice_throw_every_kind_so_that_it_fits() {
    // The laws above would hold of streams that are all set aside.
    let (mut view, mut seed, mut fitted) = (View::default(), 7u64, BTreeSet::new());
    let mut next = || {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) as u32
    };
    for _ in 0..8000 {
        let (a, b, aside) = (next(), next(), view.set_aside());
        let throw = (a as u8, (a >> 8) as u8, (a >> 16) as u8, b as u8, (b >> 8) as u16);
        let records = fold(&mut view, &[throw]);
        let kind = records[0]
            .1
            .event
            .as_ref()
            .and_then(|event| event.kind.as_ref())
            .expect("dice throw kinds");
        if view.set_aside() == aside {
            fitted.insert(event::name(kind));
        }
    }
    let never: Vec<_> = event::KINDS.iter().filter(|kind| !fitted.contains(*kind)).collect();
    assert_eq!(never, [""; 0].iter().collect::<Vec<_>>());
    assert!(view.set_aside() < 6000, "{} of 8000 were set aside", view.set_aside());
}
