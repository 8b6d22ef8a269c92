//! What can go wrong with an open log, by what comes after it.

use skep_proto::os_error;
use std::{error::Error, fmt, sync::Arc};

/// What caused an error.
pub type ErrorSource = Box<dyn Error + Send + Sync>;

/// Why the log does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogFailure {
    /// The disk refused: opening the log again may heal it.
    Disk(FailureCause),
    /// Raft ended, and not because of the disk: to start it again may help, or not.
    Panicked(FailureCause),
    /// The log is not what was written: only a person can help.
    Damaged(FailureCause),
    /// The log holds what this program must not pass over: only a person can help.
    Halted(FailureCause),
}

/// What is wrong, for people, and the error that says so.
#[derive(Clone, Debug)]
pub struct FailureCause {
    message: String,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl LogFailure {
    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.cause().message
    }

    fn cause(&self) -> &FailureCause {
        let (LogFailure::Disk(cause)
        | LogFailure::Panicked(cause)
        | LogFailure::Damaged(cause)
        | LogFailure::Halted(cause)) = self;
        cause
    }
}

impl fmt::Display for LogFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl Error for LogFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause().source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

impl FailureCause {
    /// The error itself says what is wrong.
    pub(crate) fn of(error: impl Error + Send + Sync + 'static) -> FailureCause {
        FailureCause { message: os_error::message(&error), source: Some(Arc::new(error)) }
    }

    /// This message says more than the error that caused it.
    pub(crate) fn caused_by(
        message: impl Into<String>,
        error: impl Error + Send + Sync + 'static,
    ) -> FailureCause {
        FailureCause { message: message.into(), source: Some(Arc::new(error)) }
    }

    /// As the source of another error: the one behind it, or else its message.
    pub(crate) fn into_source(self) -> ErrorSource {
        match self.source {
            Some(source) => Box::new(source),
            None => self.message.into(),
        }
    }

    /// What is wrong.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// What is wrong.
    pub(crate) fn into_message(self) -> String {
        self.message
    }
}

impl From<String> for FailureCause {
    fn from(message: String) -> FailureCause {
        FailureCause { message, source: None }
    }
}

impl From<&str> for FailureCause {
    fn from(message: &str) -> FailureCause {
        FailureCause::from(message.to_owned())
    }
}

/// Two causes are alike when they say the same.
impl PartialEq for FailureCause {
    fn eq(&self, other: &FailureCause) -> bool {
        self.message == other.message
    }
}

impl Eq for FailureCause {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_keeps_the_error_that_caused_it() {
        let full = std::io::Error::from_raw_os_error(28);
        let failure = LogFailure::Disk(FailureCause::of(full));
        assert_eq!(failure.to_string(), "no space left on device");
        let source = failure.source().and_then(|source| source.downcast_ref::<std::io::Error>());
        assert_eq!(source.and_then(std::io::Error::raw_os_error), Some(28));
        assert!(LogFailure::Halted("an unknown record".into()).source().is_none());
    }
}
