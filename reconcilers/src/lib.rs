//! skep-reconcilers.
