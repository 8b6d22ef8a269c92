//! What the chain promises: the same bytes for the same draft, and that nothing can be altered
//! unseen.

use super::*;
use crate::testing::{draft, label};
use proptest::prelude::*;

#[test]
fn a_sealed_entry_unseals_to_itself() {
    let sealed = seal(&draft(Hash::ZERO, 1, 5));
    let opened = unseal(sealed.bytes.clone()).unwrap();
    assert_eq!(opened.hash, sealed.hash);
    assert_eq!(opened.header, sealed.header);
    assert_eq!(opened.records, sealed.records);
    assert_eq!(sealed.bytes, seal(&draft(Hash::ZERO, 1, 5)).bytes, "sealing is a function");
}

#[test]
fn the_bytes_are_the_message_that_the_schema_describes() {
    let draft = draft(Hash([7; 32]), 41, 3);
    let sealed = seal(&draft);
    let message = v1::Entry::decode(sealed.bytes.clone()).unwrap();
    assert_eq!(message.encode_to_vec(), sealed.bytes);
    assert_eq!(message.header, sealed.header.encode_to_vec());
    for (bytes, number) in message.records.iter().zip(41..) {
        assert_eq!(v1::Record::decode(bytes.clone()).unwrap(), label(number));
    }
}

#[test]
fn a_record_is_encoded_as_the_schema_says_with_and_without_an_event() {
    let record = |reason: String, cause| v1::Record {
        author: Some(skep_proto::author::node(Id(7))),
        cause,
        command: Some(v1::CommandId { stamp: 3, number: 4, command_hash: 5, ..Default::default() }),
        trace: Some(v1::TraceContext::default()),
        reason,
        ..label(1)
    };
    let records = [
        record("why".into(), 5),
        v1::Record::default(),
        v1::Record { event: Some(v1::Event::default()), ..record("x".repeat(200), u64::MAX) },
        v1::Record { event: None, ..record(String::new(), 0) },
        record("y".repeat(20_000), 0),
        v1::Record { salt: vec![7; 16].into(), ..record("why".into(), 5) },
        v1::Record { warnings: vec!["one".into(), String::new()], ..record(String::new(), 0) },
        v1::Record { salt: vec![7; 16].into(), event: None, ..v1::Record::default() },
    ];
    let sealed =
        seal(&Draft { records: records.iter().cloned().collect(), ..draft(Hash::ZERO, 1, 0) });
    let encoded: Vec<Vec<u8>> = records.iter().map(Message::encode_to_vec).collect();
    assert_eq!(sealed.records, encoded);
}

#[test]
fn the_header_names_its_lineage_and_what_its_turn_was_made_from() {
    let origin = v1::TurnOrigin { requested: 2, woken: true, ..v1::TurnOrigin::default() };
    let made_from = Some(MadeFrom { seed: [6; 32], origin });
    let sealed = seal(&Draft { lineage: Lineage(5), made_from, ..draft(Hash::ZERO, 1, 3) });
    let opened = unseal(sealed.bytes).unwrap();
    assert_eq!((opened.header.lineage, opened.header.origin), (5, Some(origin)));
    assert_eq!(opened.header.seed, vec![6; 32]);
    let before = seal(&draft(Hash::ZERO, 1, 3)).header;
    assert_eq!((before.lineage, before.seed.len(), before.origin), (0, 0, None));
}

/// Stored for ever: what reads this entry as something else, or hashes it otherwise, breaks every
/// history.
#[test]
fn an_entry_of_feature_level_3_has_the_bytes_with_which_that_was_released() {
    let record = v1::Record {
        command: Some(v1::CommandId {
            stamp: 3,
            number: 4,
            given_revision: 5,
            lineage: 0,
            command_hash: 6,
        }),
        salt: vec![7; 16].into(),
        warnings: vec!["mind the gap".into()],
        ..label(1)
    };
    let origin = v1::TurnOrigin { requested: 1, continued: true, woken: true, resumed: true };
    let sealed = seal(&Draft {
        feature_level: 3,
        lineage: Lineage(0x1234_5678_9abc_def0),
        made_from: Some(MadeFrom { seed: [9; 32], origin }),
        records: [record].into_iter().collect(),
        ..draft(Hash([8; 32]), 41, 0)
    });
    let expected = "d93d0bb29917f182c61907f9dfce03c7cebaac71511b6f1422361be1049b9e81";
    assert_eq!(sealed.hash.to_string(), expected);
}

#[test]
fn the_room_of_an_entry_holds_nothing_of_the_one_before() {
    let mut room: EncodedRecords = (1..=3).map(label).collect();
    room.clear();
    assert!(room.is_empty());
    (1..=5).for_each(|number| room.push(&label(number)));
    let again = seal(&Draft { records: room, ..draft(Hash::ZERO, 1, 0) });
    let fresh = seal(&draft(Hash::ZERO, 1, 5));
    assert_eq!(
        (again.hash, &again.bytes, &again.touched),
        (fresh.hash, &fresh.bytes, &fresh.touched)
    );
}

#[test]
fn the_hash_is_over_the_name_and_the_header_alone() {
    let sealed = seal(&draft(Hash::ZERO, 1, 2));
    let message = v1::Entry::decode(sealed.bytes.clone()).unwrap();
    let by_hand: [u8; 32] = Sha256::digest([b"skep entry 1", &message.header[..]].concat()).into();
    assert_eq!(sealed.hash.0, by_hand);
    let leaf = |bytes: &[u8]| -> [u8; 32] { Sha256::digest([&[0], bytes].concat()).into() };
    let both = [&[1][..], &leaf(&message.records[0]), &leaf(&message.records[1])].concat();
    assert_eq!(sealed.header.root_hash[..], <[u8; 32]>::from(Sha256::digest(both)));
}

#[test]
fn objects_are_known_by_sealing_and_by_decoding_alike() {
    let draft = draft(Hash::ZERO, 1, 3);
    let sealed = seal(&draft);
    let decoded = crate::Entry::from(unseal(sealed.bytes.clone()).unwrap());
    let told = crate::Entry::from(sealed);
    assert_eq!(told.touched().unwrap(), decoded.touched().unwrap());
    assert_eq!(told.touched().unwrap().len(), 3);
}

#[test]
fn an_altered_record_is_seen() {
    let sealed = seal(&draft(Hash::ZERO, 1, 3));
    let mut message = v1::Entry::decode(sealed.bytes).unwrap();
    message.records[1] = label(99).encode_to_vec().into();
    let error = unseal(message.encode_to_vec().into()).unwrap_err();
    assert!(matches!(error, ChainError::Root { first: Revision(1) }), "{error}");
}

#[test]
fn a_removed_record_is_seen() {
    let sealed = seal(&draft(Hash::ZERO, 1, 3));
    let mut message = v1::Entry::decode(sealed.bytes).unwrap();
    message.records.pop();
    let error = unseal(message.encode_to_vec().into()).unwrap_err();
    assert!(matches!(error, ChainError::Count { found: 2, told: 3, .. }), "{error}");
}

proptest! {
    #[test]
    fn any_flipped_bit_changes_the_hash_or_is_refused(flipped: prop::sample::Index, bit in 0u8..8) {
        let sealed = seal(&draft(Hash([3; 32]), 17, 4));
        let mut bytes = sealed.bytes.to_vec();
        let at = flipped.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(other) = unseal(bytes.into()) {
            prop_assert_ne!(other.hash, sealed.hash);
        }
    }

    #[test]
    fn noise_never_panics(bytes: Vec<u8>) {
        let _ = unseal(bytes.into());
    }
}
