//! What lies where in the log's folder.

/// The database.
pub(crate) const STORE: &str = "store";
/// The database that a recovery fills; it becomes [`STORE`] at the end.
pub(crate) const FRESH_STORE: &str = "store.fresh";
/// How far the log was once durable.
pub(crate) const HEAD: &str = "head";
/// A file that is written to find out whether the disk works.
pub(crate) const PROBE: &str = "probe";
/// The same, written because somebody asks.
pub(crate) const ASKED_PROBE: &str = "probe.asked";
/// The folder of snapshots.
pub(crate) const SNAPSHOTS: &str = "snapshots";
/// Snapshots of a history that a recovery cut off.
pub(crate) const LOST_SNAPSHOTS: &str = "snapshots.lost";
/// The log's folder itself.
pub(crate) const ROOT: &str = "";

/// Where the `n`th recovery puts the damaged database.
pub(crate) fn damaged_store(n: u32) -> String {
    format!("store.damaged-{n}")
}
