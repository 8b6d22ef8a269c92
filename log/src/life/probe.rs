//! Whether the log's disk works: it is asked to take a small file.
//!
//! A log that nobody writes to does not notice that its disk hangs or has become read-only.

use crate::disk::files::Files;
use std::io;

/// What a disk must take before it counts as working.
const DISK_PROBE_BYTES_MIN: usize = 64 << 10;

/// Whether the disk takes a new file of this name and its bytes, and makes them durable. Waits for
/// as long as the disk takes.
pub(crate) fn write(files: &dyn Files, name: &str) -> io::Result<()> {
    let written = files.write(name, &[&[0x5a; DISK_PROBE_BYTES_MIN]]);
    files.remove(name)?;
    written
}
