//! What a failed call means. PURE.
//!
//! A status comes from two sources. The manager sends one with its own message, and with a
//! [`Refused`] in the details where there is more to say. The transport makes one when the
//! connection breaks; its message is that of a library and its code says little, but unlike the
//! manager's it has a source. This file alone distinguishes them, so that no library's message
//! reaches people.

use super::{CliError, FailureKind};
use prost::Message;
use skep_proto::v1::{RefusalCode, Refused};
use std::error::Error;
use tonic::{Code, Status};

impl From<Status> for CliError {
    fn from(status: Status) -> CliError {
        if status.source().is_some() {
            return went_away(status);
        }
        #[allow(clippy::wildcard_enum_match_arm, reason = "the other codes are told alike")]
        match status.code() {
            Code::Unimplemented if status.details().is_empty() => CliError::refused("this manager cannot answer that").hint(
                "a stopped one (--state-dir) answers only about the past; a running one may be older than this program",
            ),
            // The transport says this of a message beyond its bound, here and on the manager's
            // side.
            Code::OutOfRange if status.details().is_empty() => {
                CliError::refused("the message is larger than the manager or this program takes")
                    .hint("ask for less at once, for example with --filter; a command may have 1.5MiB")
                    .caused_by(status)
            }
            code => of_manager(&status, code),
        }
    }
}

/// The connection broke before the whole answer had come.
fn went_away(status: Status) -> CliError {
    let (message, hint) = match lost(&status) {
        Lost::Broken => (
            "the manager went away before it had answered",
            "check with `skep status` whether it runs, then repeat this command",
        ),
        Lost::Silent => (
            "the manager gave no sign of life for ten seconds, so it was given up",
            "it or this machine may be overloaded, or its disk may hang: see `skep doctor`",
        ),
    };
    CliError::unreachable(message).hint(hint).caused_by(status)
}

/// How a connection was lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lost {
    /// It was closed, or reset.
    Broken,
    /// The manager answered no ping.
    Silent,
}

fn lost(status: &Status) -> Lost {
    let mut source = status.source();
    while let Some(error) = source {
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_timeout) {
            return Lost::Silent;
        }
        source = error.source();
    }
    Lost::Broken
}

fn of_manager(status: &Status, code: Code) -> CliError {
    let refused = Refused::decode(status.details()).unwrap_or_default();
    let message = match (status.message(), code) {
        ("", Code::Unavailable) => "the manager does not answer".to_owned(),
        ("", _) => "the manager refuses, and does not say why".to_owned(),
        (message, _) => message.to_owned(),
    };
    let refusal = RefusalCode::try_from(refused.code).unwrap_or_default();
    let kind =
        if code == Code::Unavailable { FailureKind::Unreachable } else { super::kind_of(refusal) };
    let hint = match refused.hint.as_str() {
        "" if status.message().is_empty() && kind == FailureKind::Unreachable => {
            "is it running? try again in a moment".to_owned()
        }
        "" if kind == FailureKind::Unreachable => "try again in a moment".to_owned(),
        hint => hint.to_owned(),
    };
    CliError { code: refusal, ..CliError::new(kind, message).hint(hint) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: Status, exit: u8, text: &str) {
        let failure = CliError::from(status);
        assert_eq!((failure.exit_code(), failure.to_string().as_str()), (exit, text));
    }

    #[test]
    fn the_managers_words_reach_people_with_their_hint() {
        let refused = Refused { hint: "did you mean \"web\"?".into(), ..Refused::default() };
        let status =
            Status::with_details(Code::NotFound, "no service", refused.encode_to_vec().into());
        check(status, 1, "error: no service\nhint: did you mean \"web\"?");
        check(Status::data_loss("the history ends"), 1, "error: the history ends");
        let old = CliError::from(Status::unimplemented("unknown service"));
        assert_eq!(old.message(), "this manager cannot answer that");
        check(Status::internal(""), 1, "error: the manager refuses, and does not say why");
    }

    #[test]
    fn wrong_input_that_the_manager_finds_is_wrong_usage() {
        for (refusal, code) in [
            (RefusalCode::Invalid, Code::InvalidArgument),
            (RefusalCode::Unsupported, Code::Unimplemented),
        ] {
            let refused = Refused { code: refusal as i32, ..Refused::default() };
            let details = refused.encode_to_vec().into();
            check(
                Status::with_details(code, "\"a b\" is bad", details),
                2,
                "error: \"a b\" is bad",
            );
        }
    }

    #[test]
    fn a_hint_is_a_field_and_never_cut_out_of_a_message() {
        check(Status::not_found("no service \"hint: x\""), 1, "error: no service \"hint: x\"");
    }

    #[test]
    fn a_manager_that_stops_is_out_of_reach() {
        check(
            Status::unavailable("the manager is stopping"),
            3,
            "error: the manager is stopping\nhint: try again in a moment",
        );
        check(
            Status::unavailable(""),
            3,
            "error: the manager does not answer\nhint: is it running? try again in a moment",
        );
    }

    #[test]
    fn a_broken_connection_is_told_in_our_words_and_keeps_its_source() {
        for kind in [std::io::ErrorKind::ConnectionReset, std::io::ErrorKind::UnexpectedEof] {
            let status =
                Status::from_error(Box::new(std::io::Error::new(kind, "h2 protocol error")));
            let failure = CliError::from(status);
            assert_eq!(failure.exit_code(), 3);
            assert!(!failure.to_string().contains("h2"), "{failure}");
            assert!(failure.source.is_some());
        }
    }

    #[test]
    fn a_message_beyond_its_bound_is_told_in_our_words() {
        let failure =
            CliError::from(Status::out_of_range("Error, decoded message length too large"));
        assert_eq!(failure.exit_code(), 1);
        assert!(!failure.to_string().contains("decoded"), "{failure}");
    }
}
