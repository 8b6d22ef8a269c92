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
        command: Some(v1::CommandId { stamp: 3, number: 4 }),
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
    ];
    let sealed =
        seal(&Draft { records: records.iter().cloned().collect(), ..draft(Hash::ZERO, 1, 0) });
    let encoded: Vec<Vec<u8>> = records.iter().map(Message::encode_to_vec).collect();
    assert_eq!(sealed.records, encoded);
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
