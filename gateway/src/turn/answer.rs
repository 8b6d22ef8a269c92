//! What a request is answered. PURE.

use crate::admit::Refusal;
use skep_proto::{Id, Revision};

/// What came of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It is so, or was so already.
    Accepted {
        /// Of the intent; of the newest record where nothing changed.
        revision: Revision,
        /// The newest record of the same turn.
        through: Revision,
        /// What it was about.
        object: Id,
        /// Whether anything was recorded.
        changed: bool,
        /// What the caller should know.
        warnings: Vec<String>,
    },
    /// It is not so.
    Refused(Refusal),
    /// Nobody knows: the log failed while it was being written. Asking again under the same id
    /// tells.
    Unknown(String),
}
