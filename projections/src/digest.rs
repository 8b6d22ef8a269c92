//! A sum of per-object hashes, kept up to date by `apply`.
//!
//! An object's hash is itself the sum of the hashes of its parts, so a record pays for the parts it
//! changes: the old ones are taken out of the sum, the new ones put in. Addition has no order, so
//! views that hold the same objects have the same digest whatever way they came; objects are hashed
//! by id, never by row index. What can be computed from the rows (counters, indexes) is left out.
//!
//! The hash is xxh3 with 128 bits. It guards against our own mistakes, not against forgery (the
//! chain of entries does that), and SHA-256 would cost more than all the rest of folding an
//! observation.

pub(crate) mod parts;

pub(crate) use parts::{NodePart, ServicePart, TaskPart};

/// 128 bits; addition wraps.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Digest(pub u128);

impl Digest {
    /// The bytes as a checkpoint carries them, most significant first.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    pub(crate) fn put(&mut self, part: u128) {
        self.0 = self.0.wrapping_add(part);
    }

    pub(crate) fn take(&mut self, part: u128) {
        self.0 = self.0.wrapping_sub(part);
    }
}
