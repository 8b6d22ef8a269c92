//! Bytes of every kind of event as they were released: they are read for ever, and mean what they
//! meant.
//!
//! For each kind `golden/v1` holds a record in hexadecimal and, beside it, its meaning as JSON. The
//! schema may grow: so the meaning may have more fields today, but none of the old ones may be gone
//! or changed, and no byte may be passed over. What is there is never written again; only kinds
//! without a file get one: `cargo test -p skep-proto --test golden -- --ignored`.

#![allow(clippy::unwrap_used, reason = "what goes wrong here shall stop it")]
#![allow(clippy::disallowed_methods, reason = "the bytes that were released lie in files")]

mod fill;

use prost::Message;
use prost_reflect::DescriptorPool;
use serde_json::Value;
use skep_proto::{
    event::{KINDS, name},
    json,
    v1::{DESCRIPTORS, Record},
};
use std::{fs, path::PathBuf};

fn path(kind: &str, ending: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("golden/v1/{kind}.{ending}"))
}

fn read(kind: &str) -> (Vec<u8>, Value) {
    let text = |ending| {
        let path = path(kind, ending);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let digits: Vec<u8> = text("hex").bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    (digits.chunks(2).map(byte).collect(), serde_json::from_str(&text("json")).unwrap())
}

/// The first place where something of the old meaning is gone or different.
fn lost(then: &Value, now: &Value, place: &str) -> Option<String> {
    match (then, now) {
        (Value::Object(then), Value::Object(now)) => then.iter().find_map(|(key, value)| {
            let place = format!("{place}.{key}");
            now.get(key)
                .map_or(Some(format!("{place} is gone")), |found| lost(value, found, &place))
        }),
        (Value::Array(then), Value::Array(now)) if then.len() == now.len() => then
            .iter()
            .zip(now)
            .enumerate()
            .find_map(|(at, (a, b))| lost(a, b, &format!("{place}[{at}]"))),
        (then, now) if then == now => None,
        (then, now) => Some(format!("{place} was {then} and is {now}")),
    }
}

#[test]
fn old_bytes_mean_what_they_meant() {
    for kind in KINDS {
        let (bytes, then) = read(kind);
        let record = Record::decode(&bytes[..]).unwrap_or_else(|error| panic!("{kind}: {error}"));
        let found = record.event.as_ref().and_then(|event| event.kind.as_ref()).map(name);
        assert_eq!(found, Some(kind));
        assert_eq!(lost(&then, &json::render(&record), kind), None);
        assert_eq!(record.encode_to_vec(), bytes, "{kind}: bytes were passed over");
    }
}

#[test]
fn a_lost_field_is_found_at_any_depth() {
    let then = serde_json::json!({"a": [{"b": 1, "c": 2}]});
    assert_eq!(lost(&then, &serde_json::json!({"a": [{"b": 1, "c": 2, "d": 3}]}), "x"), None);
    assert_eq!(
        lost(&then, &serde_json::json!({"a": [{"b": 1}]}), "x").unwrap(),
        "x.a[0].c is gone"
    );
    assert!(
        lost(&then, &serde_json::json!({"a": [{"b": 1, "c": 3}]}), "x")
            .unwrap()
            .contains("was 2 and is 3")
    );
}

#[test]
#[ignore = "writes the files of new kinds"]
fn write_what_is_not_there() {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    for kind in KINDS.into_iter().filter(|kind| !path(kind, "hex").exists()) {
        let bytes = fill::record(&pool, kind).encode_to_vec();
        let digits: Vec<String> = bytes
            .chunks(32)
            .map(|line| line.iter().map(|b| format!("{b:02x}")).collect())
            .collect();
        fs::write(path(kind, "hex"), digits.join("\n") + "\n").unwrap();
        let meaning = json::render(&Record::decode(&bytes[..]).unwrap());
        fs::write(path(kind, "json"), serde_json::to_string_pretty(&meaning).unwrap() + "\n")
            .unwrap();
    }
}
