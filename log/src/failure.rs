//! What can go wrong with an open log, by what comes after it.

/// Why the log does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The disk refused: opening the log anew may heal it.
    Disk(String),
    /// The log is not what was written: only a person can help.
    Damaged(String),
    /// The log holds what this program must not pass over: only a person can help.
    Halted(String),
}

impl Failure {
    /// What is wrong.
    pub fn message(&self) -> &str {
        let (Failure::Disk(message) | Failure::Damaged(message) | Failure::Halted(message)) = self;
        message
    }
}
