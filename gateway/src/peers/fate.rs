//! What became of a call to another manager that has failed.
//!
//! What may have been carried out must not be asked again under another name, and what surely was
//! not must not be reported as unknown: so this is decided in one place.

use std::{error::Error, io};
use tonic::{Code, Status};

/// What became of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CallFate {
    /// Nothing was done, and asking another manager does no harm.
    NotDone,
    /// It may have been done.
    MayBeDone,
}

/// What became of a call that ended so.
pub(super) fn of(status: &Status) -> CallFate {
    let is_refused = matches!(
        status.code(),
        Code::PermissionDenied | Code::Unauthenticated | Code::Unimplemented
    );
    if is_refused || is_unsent(status) { CallFate::NotDone } else { CallFate::MayBeDone }
}

/// Whether there was not even a connection.
fn is_unsent(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        let refused = error.downcast_ref::<io::Error>();
        if refused.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Whether the connection is at fault, so that the next call needs another one. One whose end is
/// known already says so without a source.
pub(super) fn is_connection_lost(status: &Status) -> bool {
    matches!(status.code(), Code::Unknown | Code::Unavailable) || status.source().is_some()
}

/// Why it failed, for people: what the other manager says, or that there was no saying.
pub(super) fn reason(status: &Status) -> String {
    match status.source() {
        Some(cause) => {
            let broke = || "the connection to it broke".to_owned();
            skep_trust::disbelief_of(cause).unwrap_or_else(broke)
        }
        None => status.message().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(kind: io::ErrorKind) -> Status {
        Status::from_error(Box::new(io::Error::from(kind)))
    }

    #[test]
    fn only_what_was_refused_or_never_sent_is_surely_not_done() {
        let refused = [Code::PermissionDenied, Code::Unauthenticated, Code::Unimplemented];
        for code in refused {
            assert_eq!(of(&Status::new(code, "no")), CallFate::NotDone, "{code:?}");
        }
        assert_eq!(of(&broken(io::ErrorKind::ConnectionRefused)), CallFate::NotDone);
        let others = [Code::Unknown, Code::Unavailable, Code::Internal, Code::DeadlineExceeded];
        for code in others {
            assert_eq!(of(&Status::new(code, "?")), CallFate::MayBeDone, "{code:?}");
        }
        for kind in [io::ErrorKind::ConnectionReset, io::ErrorKind::TimedOut] {
            assert_eq!(of(&broken(kind)), CallFate::MayBeDone, "{kind:?}");
        }
    }

    #[test]
    fn a_connection_is_made_anew_after_it_broke_and_not_after_a_refusal() {
        for lost in [
            Status::new(Code::Unknown, "the end is known"),
            Status::new(Code::Unavailable, "gone"),
            broken(io::ErrorKind::ConnectionReset),
        ] {
            assert!(is_connection_lost(&lost), "{lost:?}");
        }
        assert!(!is_connection_lost(&Status::new(Code::PermissionDenied, "no")));
    }

    #[test]
    fn what_the_other_manager_says_is_told_and_not_what_a_library_says() {
        assert_eq!(
            reason(&Status::new(Code::PermissionDenied, "node 7 is no manager")),
            "node 7 is no manager"
        );
        assert_eq!(reason(&broken(io::ErrorKind::BrokenPipe)), "the connection to it broke");
    }
}
