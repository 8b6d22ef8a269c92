//! skep-gateway.
