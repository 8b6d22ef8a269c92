//! skep-log.
