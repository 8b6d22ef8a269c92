//! The records of an entry that is being written, each encoded and hashed as it comes (PURE).
//!
//! A record is encoded while the processor still has it at hand, and need not be kept until its
//! entry is full: that takes less time than to walk all records again.

use super::{RECORD_TAG, field_len, touched_by, tree};
use prost::{Message, encoding};
use skep_proto::{Id, v1};
use std::ops::Range;

/// The numbers of a record's fields.
const AUTHOR: u32 = 1;
const CAUSE: u32 = 2;
const COMMAND: u32 = 3;
const TRACE: u32 = 4;
const REASON: u32 = 5;
/// The protobuf tag of `Record.event` (field 6, length-delimited).
const EVENT_TAG: u8 = 0x32;
/// Of `Record.salt` (field 7, length-delimited).
const SALT_TAG: u8 = 0x3a;
const WARNINGS: u32 = 8;
/// Bytes of room kept for the records of the next entry.
const ROOM_BYTES_MAX: usize = 1 << 20;

/// Records as an entry holds them.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct EncodedRecords {
    /// Each with its tag and its length in front.
    pub(super) bytes: Vec<u8>,
    /// Where each record lies in them.
    pub(super) ranges: Vec<Range<usize>>,
    pub(super) tree: tree::Tree,
    /// Objects, each with the index of a record about it.
    pub(super) touched: Vec<(Id, u32)>,
    /// The newest record: what stands before its event, the event, and what stands after it. Their
    /// lengths stand before them, and are known when they are encoded.
    envelope: Vec<u8>,
    event: Vec<u8>,
    tail: Vec<u8>,
}

impl EncodedRecords {
    /// Adds a record, which has the next revision.
    pub fn push(&mut self, record: &v1::Record) {
        self.push_salted(record, &record.salt);
    }

    /// The same with this salt in place of the record's own: nobody needs it before it is read
    /// again.
    pub fn push_salted(&mut self, record: &v1::Record, salt: &[u8]) {
        self.envelope.clear();
        encode_envelope(record, &mut self.envelope);
        let event_len = record.event.as_ref().map(|event| {
            self.event.clear();
            event.encode_raw(&mut self.event);
            self.event.len()
        });
        self.tail.clear();
        encode_tail(salt, &record.warnings, &mut self.tail);
        let length = self.envelope.len() + event_len.map_or(0, field_len) + self.tail.len();
        self.bytes.push(RECORD_TAG);
        encoding::encode_varint(length as u64, &mut self.bytes);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&self.envelope);
        if let Some(length) = event_len {
            self.bytes.push(EVENT_TAG);
            encoding::encode_varint(length as u64, &mut self.bytes);
            self.bytes.extend_from_slice(&self.event);
        }
        self.bytes.extend_from_slice(&self.tail);
        let index = self.ranges.len() as u32;
        self.touched.extend(record.event.iter().flat_map(touched_by).map(|id| (id, index)));
        self.ranges.push(start..self.bytes.len());
        self.tree.push(tree::leaf(&self.bytes[start..]));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Takes all away and keeps the room for others.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(ROOM_BYTES_MAX);
        self.envelope.clear();
        self.envelope.shrink_to(ROOM_BYTES_MAX);
        self.event.clear();
        self.event.shrink_to(ROOM_BYTES_MAX);
        self.tail.clear();
        self.tail.shrink_to(ROOM_BYTES_MAX);
        self.ranges.clear();
        self.tree = tree::Tree::default();
        self.touched.clear();
    }
}

/// What protobuf puts before a record's event.
fn encode_envelope(record: &v1::Record, to: &mut Vec<u8>) {
    let v1::Record { author, cause, command, trace, reason, event: _, salt: _, warnings: _ } =
        record;
    author.iter().for_each(|author| encoding::message::encode(AUTHOR, author, to));
    if *cause != 0 {
        encoding::uint64::encode(CAUSE, cause, to);
    }
    command.iter().for_each(|command| encoding::message::encode(COMMAND, command, to));
    trace.iter().for_each(|trace| encoding::message::encode(TRACE, trace, to));
    if !reason.is_empty() {
        encoding::string::encode(REASON, reason, to);
    }
}

/// What protobuf puts after it.
fn encode_tail(salt: &[u8], warnings: &[String], to: &mut Vec<u8>) {
    if !salt.is_empty() {
        to.push(SALT_TAG);
        encoding::encode_varint(salt.len() as u64, to);
        to.extend_from_slice(salt);
    }
    encoding::string::encode_repeated(WARNINGS, warnings, to);
}

impl FromIterator<v1::Record> for EncodedRecords {
    fn from_iter<I: IntoIterator<Item = v1::Record>>(records: I) -> EncodedRecords {
        let mut encoded = EncodedRecords::default();
        records.into_iter().for_each(|record| encoded.push(&record));
        encoded
    }
}
