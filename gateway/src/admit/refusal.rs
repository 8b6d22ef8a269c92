//! Why a request was refused, and what to do next. PURE.

use crate::resolve::ResolveError;
use skep_proto::{
    Revision, os_error,
    v1::{RefusalCode, Refused},
};

/// Longest message or hint of a refusal, bytes; what is longer is cut. A message may quote what was
/// asked, which may have megabytes, and an error of a call travels in the headers of its answer.
const REFUSAL_TEXT_BYTES_MAX: usize = 1_024;

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
        Refusal { code, message: cut(message.into()), hint: String::new() }
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
        self.hint = cut(hint.into());
        self
    }

    /// As the wire carries it: errors of the system stand in it without their numbers.
    pub fn to_message(&self) -> Refused {
        let [message, hint] = [&self.message, &self.hint].map(|text| os_error::plain(text));
        Refused { code: self.code as i32, message, hint }
    }
}

impl From<ResolveError> for Refusal {
    fn from(error: ResolveError) -> Refusal {
        Refusal::new(error.code(), error.to_string()).hint(error.hint())
    }
}

/// The first characters of a text that a message quotes.
pub(super) fn excerpt(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn cut(mut text: String) -> String {
    if text.len() > REFUSAL_TEXT_BYTES_MAX {
        let end = (0..=REFUSAL_TEXT_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod coverage;
#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::Noun;

    #[test]
    fn an_excerpt_says_that_it_is_one() {
        assert_eq!(excerpt("öäü", 3), "öäü");
        assert_eq!(excerpt("öäü", 2), "öä…");
    }

    #[test]
    fn a_message_that_quotes_megabytes_is_cut_between_characters() {
        let whole = "x".repeat(REFUSAL_TEXT_BYTES_MAX);
        assert_eq!(Refusal::invalid(whole.clone()).message, whole);
        let long = Refusal::invalid(format!("x{}", "ö".repeat(1 << 20))).hint("ö".repeat(1 << 20));
        assert_eq!(long.message, format!("x{}…", "ö".repeat(REFUSAL_TEXT_BYTES_MAX / 2 - 1)));
        assert_eq!(long.hint, format!("{}…", "ö".repeat(REFUSAL_TEXT_BYTES_MAX / 2)));
        let reference = "9".repeat(1 << 20);
        let error = ResolveError::NotFound { noun: Noun::Object, reference, near: None };
        let refusal = Refusal::from(error);
        assert!(refusal.message.len() < REFUSAL_TEXT_BYTES_MAX + 4, "{}", refusal.message.len());
        assert_eq!(refusal.code, RefusalCode::NotFound);
    }
}
