//! What went wrong, as people and scripts hear it: one `error:` line, a `hint:` where there is a next step, and an
//! exit code that is a promise.

use prost::Message;
use skep_proto::v1::Refused;
use std::{fmt, process::ExitCode};

/// How a command that did not succeed ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    kind: Kind,
    message: String,
    hint: String,
}

/// What an exit code stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// 1: the cluster said no, or what was asked for did not come about.
    Refused,
    /// 2: the command line makes no sense; nobody was asked.
    Usage,
    /// 3: no manager answers.
    Unreachable,
    /// The reader of our output has gone: nothing to say, and nobody to say it to.
    Unheard,
}

/// A command's outcome.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// The cluster refused, or the thing failed: exit code 1.
    pub fn refused(message: impl Into<String>) -> Failure {
        Failure { kind: Kind::Refused, message: message.into(), hint: String::new() }
    }

    /// The command line is wrong: exit code 2.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure { kind: Kind::Usage, message: message.into(), hint: String::new() }
    }

    /// No manager can be reached: exit code 3.
    pub fn unreachable(message: impl Into<String>) -> Failure {
        Failure { kind: Kind::Unreachable, message: message.into(), hint: String::new() }
    }

    /// The next step, for people.
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = hint.into();
        self
    }

    /// Whether the manager could not be reached.
    pub fn is_unreachable(&self) -> bool {
        self.kind == Kind::Unreachable
    }

    /// What is said, without `error:`.
    #[cfg(test)]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Says it on the standard error and gives the exit code.
    pub fn tell(&self) -> ExitCode {
        if self.kind != Kind::Unheard {
            eprintln!("{self}");
        }
        ExitCode::from(self.code())
    }

    fn code(&self) -> u8 {
        match self.kind {
            Kind::Refused => 1,
            Kind::Usage => 2,
            Kind::Unreachable => 3,
            Kind::Unheard => 0,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, "\nhint: {}", self.hint) }
    }
}

/// The standard output is the only thing written with `?`.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Failure { kind: Kind::Unheard, message: String::new(), hint: String::new() };
        }
        Failure::refused(format!("the output cannot be written: {error}"))
    }
}

/// Where a manager sends only a message, the hint follows this.
const HINT_MARK: &str = "hint: ";

/// A refusal travels in the status's details, with the next step; other errors are words alone.
impl From<tonic::Status> for Failure {
    fn from(status: tonic::Status) -> Failure {
        if status.code() == tonic::Code::Unimplemented {
            return Failure::refused("this manager cannot answer that")
                .hint("one that is stopped (--state-dir) tells of the past alone; one that runs may be older than this program");
        }
        let refused = Refused::decode(status.details()).unwrap_or_default();
        let (message, hint) = match status.message().split_once(HINT_MARK) {
            Some((message, hint)) => (message.trim_end_matches(['\n', ' ', ';', ',']), hint.to_owned()),
            None => (status.message(), refused.hint),
        };
        let message =
            if message.is_empty() { format!("the manager says {:?}", status.code()) } else { message.into() };
        if status.code() == tonic::Code::Unavailable {
            let hint = if hint.is_empty() { "is it running? try again in a moment".to_owned() } else { hint };
            return Failure::unreachable(format!("the manager does not answer: {message}")).hint(hint);
        }
        Failure::refused(message).hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_with_a_hint_is_told_in_two_lines() {
        let status = tonic::Status::not_found("no service \"web\"; hint: see `skep service ls`");
        assert_eq!(
            Failure::from(status).to_string(),
            "error: no service \"web\"\nhint: see `skep service ls`"
        );
    }

    #[test]
    fn a_refusal_in_the_details_brings_its_hint() {
        let refused = Refused { hint: "did you mean \"web\"?".into(), ..Refused::default() };
        let status =
            tonic::Status::with_details(tonic::Code::NotFound, "no service", refused.encode_to_vec().into());
        assert_eq!(Failure::from(status).to_string(), "error: no service\nhint: did you mean \"web\"?");
    }

    #[test]
    fn a_manager_that_went_away_is_unreachable() {
        let failure = Failure::from(tonic::Status::unavailable("broken"));
        assert_eq!((failure.code(), failure.is_unreachable()), (3, true));
    }

    #[test]
    fn a_reader_that_went_away_is_no_error() {
        let gone = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert_eq!(Failure::from(gone).code(), 0);
    }
}
