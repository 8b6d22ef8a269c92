//! The lowest floor: what lies on disk, how it is laid out, and what is durable when.
//!
//! RocksDB is named here and nowhere else. Nothing here knows of consensus, of sessions or of
//! readers.

pub(crate) mod appender;
pub(crate) mod entries;
pub(crate) mod files;
pub(crate) mod head;
pub(crate) mod index;
pub(crate) mod keys;
pub(crate) mod names;
pub(crate) mod snapshot;
pub(crate) mod store;
pub(crate) mod store_handle;
