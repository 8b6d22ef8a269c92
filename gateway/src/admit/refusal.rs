//! Why a request was refused, and what to do next. PURE.

use crate::resolve::ResolveError;
use skep_proto::{
    Revision,
    v1::{RefusalCode, Refused},
};

/// A refusal: typed, and fit to be shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// What kind of wrong.
    pub code: RefusalCode,
    /// What is wrong, and where.
    pub message: String,
    /// The next step, where there is one.
    pub hint: String,
}

impl Refusal {
    fn new(code: RefusalCode, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into(), hint: String::new() }
    }

    /// The request itself is wrong.
    pub fn invalid(message: impl Into<String>) -> Refusal {
        Refusal::new(RefusalCode::Invalid, message)
    }

    /// The name is taken.
    pub fn exists(message: impl Into<String>) -> Refusal {
        Refusal::new(RefusalCode::AlreadyExists, message)
    }

    /// Somebody changed the object since the caller read it, at version `made_for`.
    pub fn overtaken(what: &str, made_for: u64, version: Revision, changed_by: &str) -> Refusal {
        let message = format!(
            "{what} is at version {version}, the update was made for version {made_for}: {changed_by} changed it \
             at revision {version}"
        );
        Refusal::new(RefusalCode::OutOfSequence, message)
            .hint("read it again and repeat the change")
    }

    /// Not in this state of the cluster.
    pub fn precondition(message: impl Into<String>) -> Refusal {
        Refusal::new(RefusalCode::Precondition, message)
    }

    /// Known, but not built.
    pub fn unsupported(message: impl Into<String>) -> Refusal {
        Refusal::new(RefusalCode::Unsupported, message)
    }

    /// Not yours to do.
    pub fn permission(message: impl Into<String>) -> Refusal {
        Refusal::new(RefusalCode::Permission, message)
    }

    /// The manager cannot take it now: a bound is reached.
    pub fn exhausted(message: impl Into<String>) -> Refusal {
        Refusal::new(RefusalCode::Exhausted, message)
    }

    /// The command's id is too old for anybody to know whether it was done.
    pub fn expired(message: impl Into<String>) -> Refusal {
        Refusal::new(RefusalCode::Expired, message)
    }

    /// The object does not exist.
    pub fn not_found(message: impl Into<String>) -> Refusal {
        Refusal::new(RefusalCode::NotFound, message)
    }

    /// Adds the next step.
    pub fn hint(mut self, hint: impl Into<String>) -> Refusal {
        self.hint = hint.into();
        self
    }

    /// As the wire carries it.
    pub fn to_message(&self) -> Refused {
        Refused { code: self.code as i32, message: self.message.clone(), hint: self.hint.clone() }
    }
}

impl From<ResolveError> for Refusal {
    fn from(error: ResolveError) -> Refusal {
        Refusal { code: error.code(), message: error.to_string(), hint: error.hint() }
    }
}

#[cfg(test)]
mod coverage;
