//! What went wrong, as people and scripts hear it: an `error:` line, a `hint:` where there is a
//! next step, and an exit code that is a promise.

mod reply;

use super::stderr::talk;
use skep_proto::{
    os_error,
    v1::{RefusalCode, Refused},
};
use std::{error::Error, fmt, sync::Arc};

/// How a command that did not succeed ends.
#[derive(Clone, Debug)]
pub(super) struct CliError {
    kind: FailureKind,
    code: RefusalCode,
    message: String,
    hint: String,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// What an exit code stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum FailureKind {
    /// 1: the cluster said no, or what was asked for did not come about.
    Refused,
    /// 2: what was asked for is wrong by itself, whatever the cluster's state. Most of it is found
    /// before anybody is asked, the rest by the manager.
    Usage,
    /// 3: no manager answers, so that nothing is known of what was asked for.
    Unreachable,
    /// The reader of our output has gone: nothing to say, and nobody to say it to.
    Unheard,
}

/// A command's outcome.
pub(super) type CliResult<T = ()> = Result<T, CliError>;

impl CliError {
    fn new(kind: FailureKind, message: impl Into<String>) -> CliError {
        let (code, hint) = (RefusalCode::Unspecified, String::new());
        CliError { kind, code, message: message.into(), hint, source: None }
    }

    /// The cluster refused, or the thing failed: exit code 1.
    pub(super) fn refused(message: impl Into<String>) -> CliError {
        CliError::new(FailureKind::Refused, message)
    }

    /// The command line is wrong: exit code 2.
    pub(super) fn usage(message: impl Into<String>) -> CliError {
        CliError::new(FailureKind::Usage, message)
    }

    /// No manager can be reached, or it went away before it had answered: exit code 3.
    pub(super) fn unreachable(message: impl Into<String>) -> CliError {
        CliError::new(FailureKind::Unreachable, message)
    }

    /// The next step, for people.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> CliError {
        self.hint = hint.into();
        self
    }

    /// What follows from it.
    pub(super) fn and(mut self, what: &str) -> CliError {
        self.message = format!("{}; {what}", self.message);
        self
    }

    /// What caused it. It is kept for those who look for a fault of the program (`SKEP_LOG=debug`),
    /// since the messages of libraries and systems help nobody else.
    pub(super) fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> CliError {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// Whether the manager could not be reached.
    pub(super) fn is_unreachable(&self) -> bool {
        self.kind == FailureKind::Unreachable
    }

    /// Whether nobody reads what the command says. The command's work goes on all the same.
    pub(super) fn is_unheard(&self) -> bool {
        self.kind == FailureKind::Unheard
    }

    /// Why the manager refused; unspecified for what it did not refuse.
    pub(super) fn code(&self) -> RefusalCode {
        self.code
    }

    /// What is said, without `error:`.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// Says it on the standard error and gives the exit code.
    pub(super) fn tell(&self) -> u8 {
        let log_level = std::env::var("SKEP_LOG").unwrap_or_default();
        self.lines(&log_level).iter().for_each(|line| talk(line));
        self.exit_code()
    }

    /// What is said on the standard error; the causes only at the log levels of those who look for
    /// a fault of the program.
    fn lines(&self, log_level: &str) -> Vec<String> {
        if self.is_unheard() {
            return Vec::new();
        }
        let mut lines = vec![self.to_string()];
        if log_level.contains("debug") || log_level.contains("trace") {
            lines.extend(causes(self).into_iter().map(|cause| format!("cause: {cause}")));
        }
        lines
    }

    fn exit_code(&self) -> u8 {
        match self.kind {
            FailureKind::Refused => 1,
            FailureKind::Usage => 2,
            FailureKind::Unreachable => 3,
            FailureKind::Unheard => 0,
        }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", os_error::plain(&self.message))?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, "\nhint: {}", self.hint) }
    }
}

impl Error for CliError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

/// What people and scripts see of it is compared; the source is not part of that.
impl PartialEq for CliError {
    fn eq(&self, other: &CliError) -> bool {
        (self.kind, self.code, &self.message, &self.hint)
            == (other.kind, other.code, &other.message, &other.hint)
    }
}

/// The standard output is the only thing written with `?`.
impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> CliError {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return CliError::new(FailureKind::Unheard, "");
        }
        CliError::refused(format!("the output cannot be written: {}", os_error::message(&error)))
            .caused_by(error)
    }
}

/// A refusal, with the message of the manager.
impl From<Refused> for CliError {
    fn from(refused: Refused) -> CliError {
        let code = refused.code();
        CliError { code, ..CliError::new(kind_of(code), refused.message).hint(refused.hint) }
    }
}

/// Whether a refusal is about what was written, or about the state of the cluster.
fn kind_of(code: RefusalCode) -> FailureKind {
    match code {
        RefusalCode::Invalid | RefusalCode::Unsupported => FailureKind::Usage,
        RefusalCode::Unspecified
        | RefusalCode::NotFound
        | RefusalCode::AlreadyExists
        | RefusalCode::OutOfSequence
        | RefusalCode::Precondition
        | RefusalCode::Permission
        | RefusalCode::Exhausted
        | RefusalCode::Expired
        | RefusalCode::Ambiguous => FailureKind::Refused,
    }
}

fn causes(failure: &CliError) -> Vec<String> {
    let mut causes = Vec::new();
    let mut next = Error::source(failure);
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    causes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_its_code_and_its_hint() {
        let refused = Refused {
            code: RefusalCode::OutOfSequence as i32,
            message: "service web is at version 7".into(),
            hint: "read it again".into(),
        };
        let failure = CliError::from(refused);
        assert_eq!(failure.to_string(), "error: service web is at version 7\nhint: read it again");
        assert_eq!((failure.code(), failure.exit_code()), (RefusalCode::OutOfSequence, 1));
    }

    #[test]
    fn wrong_input_has_one_exit_code_whoever_finds_it() {
        let refused = |code: RefusalCode| Refused { code: code as i32, ..Refused::default() };
        let exit = |code| CliError::from(refused(code)).exit_code();
        assert_eq!(exit(RefusalCode::Invalid), CliError::usage("").exit_code());
        assert_eq!(exit(RefusalCode::Unsupported), 2);
        assert_eq!(exit(RefusalCode::NotFound), 1);
        assert_eq!(exit(RefusalCode::Precondition), 1);
    }

    #[test]
    fn a_reader_that_went_away_is_no_error() {
        let gone = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert_eq!(CliError::from(gone).exit_code(), 0);
    }

    #[test]
    fn a_full_output_is_told_in_the_systems_words_without_its_number() {
        let full = CliError::from(std::io::Error::from_raw_os_error(28));
        assert_eq!(
            full.to_string(),
            "error: the output cannot be written: no space left on device"
        );
        assert_eq!(causes(&full).len(), 1, "the source is kept");
        assert_eq!((full.exit_code(), full.message().starts_with("the output")), (1, true));
    }

    #[test]
    fn causes_are_told_to_those_who_look_for_a_fault_of_the_program() {
        let failure = CliError::unreachable("no manager answers")
            .hint("start one")
            .caused_by(CliError::usage("no socket").caused_by("no such file"));
        let told = "error: no manager answers\nhint: start one";
        let causes = ["cause: error: no socket", "cause: no such file"];
        assert_eq!(failure.lines(""), [told]);
        assert_eq!(failure.lines("info"), [told]);
        assert_eq!(failure.lines("debug"), [told, causes[0], causes[1]]);
        assert_eq!(failure.lines("skep=trace"), [told, causes[0], causes[1]]);
        let unheard = CliError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert!(unheard.lines("debug").is_empty(), "nobody reads it");
    }

    #[test]
    fn each_kind_of_failure_is_known_by_its_exit_code_and_asked_for_by_name() {
        let gone = CliError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        let all = [
            CliError::refused("a"),
            CliError::usage("a"),
            CliError::unreachable("a"),
            gone.clone(),
        ];
        let of = |look: fn(&CliError) -> bool| all.each_ref().map(look);
        assert_eq!(all.each_ref().map(CliError::exit_code), [1, 2, 3, 0]);
        assert_eq!(all.each_ref().map(CliError::tell), [1, 2, 3, 0]);
        assert_eq!(of(CliError::is_unreachable), [false, false, true, false]);
        assert_eq!(of(CliError::is_unheard), [false, false, false, true]);
        assert_eq!(all[0].to_string(), "error: a", "without a hint there is one line");
    }

    #[test]
    fn failures_are_alike_when_they_say_the_same_whatever_caused_them() {
        let one = CliError::refused("a").hint("b");
        assert_eq!(one, one.clone().caused_by("c"));
        for other in [
            CliError::usage("a").hint("b"),
            CliError::refused("x").hint("b"),
            CliError::refused("a").hint("x"),
            CliError { code: RefusalCode::NotFound, ..one.clone() },
        ] {
            assert_ne!(one, other);
        }
    }
}
