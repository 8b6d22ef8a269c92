//! What can go wrong with an open log, by what comes after it.

/// What caused an error.
pub type ErrorSource = Box<dyn std::error::Error + Send + Sync>;

/// Why the log does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogFailure {
    /// The disk refused: opening the log anew may heal it.
    Disk(String),
    /// The log is not what was written: only a person can help.
    Damaged(String),
    /// The log holds what this program must not pass over: only a person can help.
    Halted(String),
}

impl LogFailure {
    /// What is wrong.
    pub fn message(&self) -> &str {
        let (LogFailure::Disk(message)
        | LogFailure::Damaged(message)
        | LogFailure::Halted(message)) = self;
        message
    }
}
