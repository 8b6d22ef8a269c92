//! A record in which every field has a value of its own, made by reflection: what is filled in is
//! not forgotten.
//!
//! Of alternatives the first is taken, of enums the first word that is not the default, of lists
//! and maps one element.

use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor,
    Value,
};
#[allow(
    clippy::disallowed_types,
    reason = "the reflection library asks for it; one element has one order"
)]
use std::collections::HashMap;

/// Deeper than any message of the schema; one that is, would hold itself.
const DEPTH_MAX: u32 = 16;

/// A whole record that holds this kind of event.
pub(crate) fn record(pool: &DescriptorPool, kind: &str) -> DynamicMessage {
    let descriptor = |name: &str| pool.get_message_by_name(&format!("skep.v1.{name}")).unwrap();
    let mut record = message(&descriptor("Record"), 0);
    let mut event = DynamicMessage::new(descriptor("Event"));
    let field = descriptor("Event").get_field_by_name(kind).unwrap();
    event.set_field(&field, one(&field, 1));
    record.set_field_by_name("event", Value::Message(event));
    record
}

fn message(descriptor: &MessageDescriptor, depth: u32) -> DynamicMessage {
    assert!(depth < DEPTH_MAX, "{} holds itself", descriptor.full_name());
    let mut message = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields() {
        let taken = field
            .containing_oneof()
            .is_some_and(|oneof| oneof.fields().any(|other| message.has_field(&other)));
        if !taken {
            message.set_field(&field, value(&field, depth));
        }
    }
    message
}

#[allow(clippy::disallowed_types, reason = "as above")]
fn value(field: &FieldDescriptor, depth: u32) -> Value {
    if field.is_map() {
        let Kind::Message(entry) = field.kind() else { unreachable!("a map is a list of entries") };
        let value = one(&entry.map_entry_value_field(), depth);
        return Value::Map(HashMap::from([(
            MapKey::String(format!("key-{}", field.number())),
            value,
        )]));
    }
    match field.cardinality() {
        Cardinality::Repeated => Value::List(vec![one(field, depth)]),
        Cardinality::Optional | Cardinality::Required => one(field, depth),
    }
}

fn one(field: &FieldDescriptor, depth: u32) -> Value {
    let number = field.number();
    match field.kind() {
        Kind::Double => Value::F64(f64::from(number) + 0.5),
        Kind::Float => Value::F32(number as f32 + 0.5),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(1000 + number as i32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(1_000_000 + i64::from(number)),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(1000 + number),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(1_767_225_600_000_000_000 + u64::from(number)),
        Kind::Bool => Value::Bool(true),
        Kind::String => Value::String(format!("{}-{number}", field.name())),
        Kind::Bytes => Value::Bytes(vec![number as u8; 16].into()),
        Kind::Enum(words) => {
            let word = words.values().find(|word| word.number() != 0).unwrap();
            Value::EnumNumber(word.number())
        }
        Kind::Message(inner) => Value::Message(message(&inner, depth + 1)),
    }
}
