//! Messages as JSON, by reflection over the schema: one rule for every message instead of one
//! function each.
//!
//! The shape is a promise to scripts. Names are the schema's own, in snake case and in the order of
//! their numbers. Everything is printed, zeros and empty fields too, so that a reader need not
//! guess what is absent:
//!
//! | in the schema | in JSON |
//! |---|---|
//! | an enum's word | lower case without the enum's prefix; a number where the word is not known |
//! | `bytes` named `id`, `…_id`, `ids`, `…_ids` | 25 characters of base 36; empty is `""` |
//! | `bytes` named `text` | text, bad bytes replaced |
//! | other `bytes` | hexadecimal |
//! | `uint64` named `at` or `…_at` | RFC 3339; 0 is `""` |
//! | `fixed64` | 16 hexadecimal digits; 0 is `""` |
//! | other numbers | numbers, 64-bit ones and durations (`…_ns`) too |
//! | a message or an `optional` field that is not set | `null` |
//! | `oneof` | the alternative that is set, under its own name; the others are left out |
//! | a map | an object in the order of its keys |

mod changes;
pub mod shape;

pub use changes::{CHANGED_FIELDS_MAX, changed_fields};

use crate::{Id, Timestamp, v1::DESCRIPTORS};
use prost::Message;
use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MapKey,
    MessageDescriptor, ReflectMessage, Value as Field,
};
use serde_json::{Map, Number, Value};
use std::{collections::BTreeMap, fmt::Write, sync::LazyLock};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(DESCRIPTORS)
        .expect("the build wrote the schema that it had just compiled")
});

/// A message that can be shown: it knows its name in the schema.
pub trait JsonMessage: Message {
    /// The name within `skep.v1`.
    const NAME: &'static str;
}

macro_rules! shown {
    ($($name:ident),* $(,)?) => { $(impl JsonMessage for crate::v1::$name { const NAME: &'static str = stringify!($name); })* };
}

shown!(
    Cluster,
    Node,
    Service,
    Task,
    LogRecord,
    StatusReply,
    DiffReply,
    WhyReply,
    DoctorReply,
    Finding,
    LogLine,
    LogGap,
    Stray,
    Command,
    CommandReply,
    Record,
    Event,
    ServiceSpec,
    TaskObserved,
    ObjectChange,
    NodeSpec,
    NodeDescription,
    ClusterSpec,
    LocalNode,
    ContainerStatus,
);

/// Which fields of a message are rendered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Rendered {
    /// All of them.
    All,
    /// Those that differ from what they are where nobody sets them.
    Set,
}

/// The message in JSON.
pub fn render<M: JsonMessage>(message: &M) -> Value {
    render_bytes(M::NAME, &message.encode_to_vec(), Rendered::All)
}

/// The same without the fields that have their default: an enum's first word too.
pub fn render_set<M: JsonMessage>(message: &M) -> Value {
    render_bytes(M::NAME, &message.encode_to_vec(), Rendered::Set)
}

/// The message of this name in JSON, from its encoding. What does not decode is `null`.
fn render_bytes(name: &str, bytes: &[u8], which: Rendered) -> Value {
    descriptor(name)
        .and_then(|descriptor| DynamicMessage::decode(descriptor, bytes).ok())
        .map_or(Value::Null, |message| message_value(&message, which))
}

fn descriptor(name: &str) -> Option<MessageDescriptor> {
    POOL.get_message_by_name(&format!("skep.v1.{name}"))
}

fn message_value(message: &DynamicMessage, which: Rendered) -> Value {
    let mut object = Map::new();
    for field in message.descriptor().fields() {
        if which == Rendered::Set && !message.has_field(&field) {
            continue;
        }
        let alternative = field.containing_oneof().is_some_and(|oneof| !oneof.is_synthetic());
        let absent = field.supports_presence() && !message.has_field(&field);
        if absent && alternative {
            continue;
        }
        let value = if absent {
            Value::Null
        } else {
            field_value(&field, &message.get_field(&field), which)
        };
        object.insert(field.name().to_owned(), value);
    }
    Value::Object(object)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what is neither a list nor a map is a scalar")]
fn field_value(field: &FieldDescriptor, value: &Field, which: Rendered) -> Value {
    let kind = field.kind();
    match value {
        Field::List(items) => Value::Array(
            items.iter().map(|item| scalar(field.name(), &kind, item, which)).collect(),
        ),
        Field::Map(entries) => {
            let kind = kind
                .as_message()
                .map_or_else(|| kind.clone(), |entry| entry.map_entry_value_field().kind());
            let sorted: BTreeMap<String, Value> = entries
                .iter()
                .map(|(key, item)| (map_key(key), scalar("", &kind, item, which)))
                .collect();
            Value::Object(sorted.into_iter().collect())
        }
        other => scalar(field.name(), &kind, other, which),
    }
}

fn scalar(name: &str, kind: &Kind, value: &Field, which: Rendered) -> Value {
    match value {
        Field::Bool(b) => Value::Bool(*b),
        Field::I32(n) => Value::from(*n),
        Field::I64(n) => Value::from(*n),
        Field::U32(n) => Value::from(*n),
        Field::U64(n) if is_time(name) => Value::String(time(*n)),
        Field::U64(n) if *kind == Kind::Fixed64 => Value::String(mark(*n)),
        Field::U64(n) => Value::from(*n),
        Field::F32(n) => float(f64::from(*n)),
        Field::F64(n) => float(*n),
        Field::String(text) => Value::String(text.clone()),
        Field::Bytes(bytes) => Value::String(bytes_text(name, bytes)),
        Field::EnumNumber(number) => enum_value(kind, *number),
        Field::Message(message) => message_value(message, which),
        Field::List(_) | Field::Map(_) => Value::Null,
    }
}

fn float(n: f64) -> Value {
    Number::from_f64(n).map_or(Value::Null, Value::Number)
}

fn is_time(name: &str) -> bool {
    name == "at" || name.ends_with("_at")
}

fn is_id(name: &str) -> bool {
    matches!(name, "id" | "ids") || name.ends_with("_id") || name.ends_with("_ids")
}

fn time(ns: u64) -> String {
    if ns == 0 { String::new() } else { Timestamp(ns).to_string() }
}

/// A number that only names something, and that readers of JSON would round.
fn mark(number: u64) -> String {
    if number == 0 { String::new() } else { format!("{number:016x}") }
}

fn bytes_text(name: &str, bytes: &[u8]) -> String {
    if is_id(name) && bytes.len() == 16 {
        Id::from_bytes(bytes).to_string()
    } else if name == "text" {
        String::from_utf8_lossy(bytes).into_owned()
    } else {
        bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

fn enum_value(kind: &Kind, number: i32) -> Value {
    let Kind::Enum(words) = kind else { return Value::from(number) };
    words
        .get_value(number)
        .map_or(Value::from(number), |word| Value::String(enum_word(words, word.name())))
}

/// `TASK_STATE_RUNNING` of `TaskState` is `running`.
fn enum_word(words: &EnumDescriptor, name: &str) -> String {
    let mut prefix = String::new();
    for c in words.name().chars() {
        if c.is_ascii_uppercase() && !prefix.is_empty() {
            prefix.push('_');
        }
        prefix.push(c.to_ascii_uppercase());
    }
    prefix.push('_');
    name.strip_prefix(&prefix).unwrap_or(name).to_ascii_lowercase()
}

fn map_key(key: &MapKey) -> String {
    match key {
        MapKey::Bool(b) => b.to_string(),
        MapKey::I32(n) => n.to_string(),
        MapKey::I64(n) => n.to_string(),
        MapKey::U32(n) => n.to_string(),
        MapKey::U64(n) => n.to_string(),
        MapKey::String(text) => text.clone(),
    }
}

fn is_repeated(field: &FieldDescriptor) -> bool {
    field.cardinality() == Cardinality::Repeated
}

#[cfg(test)]
mod tests;
