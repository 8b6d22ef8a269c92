//! The agent: the part of a node that runs tasks.
//!
//! A pure core decides what the next step of each task is, a shell takes the steps, a journal
//! remembers what the cluster wants of this node, and a session carries news both ways. The agent
//! follows: it runs what is assigned to it and nothing else, and a manager that is away changes
//! nothing about what runs.

pub mod core;
pub mod journal;
pub mod machine;
pub mod runtime;
pub mod session;
mod wall;

pub use session::{
    AgentConfig, AgentError, AgentHandle, AgentStatus, ContactedAddress, ManagerEndpoint, NodeAgent,
};
