//! skep-projections.
