//! skep-agent.
