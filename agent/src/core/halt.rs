//! Why an agent ends by itself. PURE.

use skep_proto::Id;
use thiserror::Error;

/// Why an agent ends by itself. Each needs somebody to do something.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum AgentHalt {
    /// The cluster does not believe us.
    #[error("the cluster refuses this node's key ({message})")]
    WrongKey {
        /// The manager's.
        message: String,
    },
    /// The cluster lets nobody in with the join token.
    #[error("the cluster refuses the join token ({message})")]
    WrongToken {
        /// The manager's.
        message: String,
    },
    /// What answers is not a manager of the cluster that this node is to join.
    #[error("{message}")]
    Untrusted {
        /// What is wrong with it.
        message: String,
    },
    /// Somebody removed this node. Its tasks have been stopped and cleared away.
    #[error("{message}")]
    NodeRemoved {
        /// The manager's.
        message: String,
    },
    /// Somebody on this machine took the node out of its cluster.
    #[error("this node has left its cluster")]
    Left,
    /// Another cluster answers where ours was, or takes us for another node.
    #[error(
        "the manager is of cluster {cluster}, where this node is not the {node} of the state folder; its \
         tasks run on"
    )]
    Elsewhere {
        /// What we say we are, or what it called us.
        node: Id,
        /// Whose manager it is.
        cluster: Id,
    },
}

impl AgentHalt {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            AgentHalt::WrongToken { .. } => {
                "ask a manager for the token with `skep cluster token worker` (or `manager`), and join with it"
            }
            AgentHalt::Untrusted { .. } => {
                "compare the address and the join token with what `skep cluster token worker` (or `manager`) prints on a manager"
            }
            AgentHalt::WrongKey { .. } => {
                "the folder `agent` in the state folder may be a copy, or older: remove that folder alone, and the \
                 node with `skep node rm`, to join as a new node"
            }
            AgentHalt::NodeRemoved { .. } => {
                "remove the folder `agent` in the state folder to join as a new node"
            }
            AgentHalt::Left => "`skep cluster join` joins another one",
            AgentHalt::Elsewhere { .. } => {
                "check the manager's address, or remove the state folder to join as a new node"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_names_the_next_step() {
        let message = String::new;
        let next = [
            (AgentHalt::WrongKey { message: message() }, "skep node rm"),
            (AgentHalt::WrongToken { message: message() }, "skep cluster token worker"),
            (AgentHalt::Untrusted { message: message() }, "compare the address"),
            (AgentHalt::NodeRemoved { message: message() }, "remove the folder `agent`"),
            (AgentHalt::Left, "skep cluster join"),
            (AgentHalt::Elsewhere { node: Id(1), cluster: Id(2) }, "check the manager's address"),
        ];
        for (halt, step) in next {
            assert!(halt.hint().contains(step), "{halt:?}: {}", halt.hint());
        }
    }
}
