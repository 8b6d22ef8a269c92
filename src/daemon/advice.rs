//! The next step of an error, which is a field of its own, so that nobody has to cut it out of a
//! message.

use skep_agent::AgentError;
use skep_gateway::manager::ManagerError;
use skep_log::RecoverError;
use std::{error::Error, fmt};

/// What is wrong, and what to do about it.
#[derive(Debug)]
pub(crate) struct Advice {
    blame: Blame,
    message: String,
    hint: String,
}

/// Where the cause of an error lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Blame {
    /// In what was asked for: no other state of the machine makes it right.
    Input,
    /// In how things are.
    Circumstances,
}

impl Advice {
    /// An error that says what to do.
    pub(crate) fn new(message: impl Into<String>, hint: impl Into<String>) -> Advice {
        Advice { blame: Blame::Circumstances, message: message.into(), hint: hint.into() }
    }

    /// An error of what was asked for, with what to ask for instead.
    pub(crate) fn wrong_input(message: impl Into<String>, hint: impl Into<String>) -> Advice {
        Advice { blame: Blame::Input, ..Advice::new(message, hint) }
    }

    /// Whether what was asked for is wrong by itself.
    pub(crate) fn is_wrong_input(error: &anyhow::Error) -> bool {
        error.chain().any(|cause| {
            let advice = cause.downcast_ref::<Advice>();
            advice.is_some_and(|advice| advice.blame == Blame::Input)
                || matches!(cause.downcast_ref(), Some(AgentError::OtherRuntime { .. }))
        })
    }

    /// All causes in one line, the outermost first. Many errors repeat the message of their cause;
    /// it is said once.
    pub(crate) fn joined(error: &anyhow::Error) -> String {
        let mut line = String::new();
        for cause in error.chain().map(ToString::to_string) {
            if !line.ends_with(&cause) {
                let separator = if line.is_empty() { "" } else { ": " };
                line.push_str(separator);
                line.push_str(&cause);
            }
        }
        line
    }

    /// The next step of an error, if something in its chain of causes names one.
    pub(crate) fn hint_of(error: &anyhow::Error) -> Option<String> {
        error.chain().find_map(hint)
    }
}

fn hint(cause: &(dyn Error + 'static)) -> Option<String> {
    let own = cause.downcast_ref::<Advice>().map(|advice| advice.hint.clone());
    own.or_else(|| cause.downcast_ref::<ManagerError>().and_then(ManagerError::hint))
        .or_else(|| cause.downcast_ref::<AgentError>().and_then(AgentError::hint))
        .or_else(|| {
            cause.downcast_ref::<RecoverError>().and_then(RecoverError::hint).map(str::to_owned)
        })
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Advice {}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;
    use skep_log::OpenError;
    use skep_proto::v1::RuntimeKind;

    #[test]
    fn the_next_step_is_found_below_any_context() {
        let error =
            Err::<(), _>(Advice::new("it is in use", "stop the other")).context("state folder");
        let error = error.expect_err("it is one");
        assert_eq!(format!("{error:#}"), "state folder: it is in use");
        assert_eq!(Advice::hint_of(&error).as_deref(), Some("stop the other"));
        assert_eq!(Advice::hint_of(&anyhow::anyhow!("plain")), None);
    }

    #[test]
    fn a_message_that_ends_with_its_cause_is_not_said_twice() {
        let source = std::io::Error::from_raw_os_error(21);
        let error = skep_agent::AgentError::Folder { path: "/x".into(), source };
        let line = Advice::joined(&anyhow::Error::from(error).context("the agent"));
        assert_eq!(line, "the agent: agent state folder /x: Is a directory (os error 21)");
        assert_eq!(Advice::joined(&anyhow::anyhow!("plain").context("outer")), "outer: plain");
    }

    #[test]
    fn what_was_asked_for_is_to_blame_only_where_that_is_said() {
        let wrong = anyhow::Error::from(Advice::wrong_input("it is a file", "name a folder"));
        assert!(Advice::is_wrong_input(&wrong.context("state folder")));
        assert!(!Advice::is_wrong_input(&Advice::new("it is in use", "stop the other").into()));
        let (first, now) = (RuntimeKind::Process, RuntimeKind::Docker);
        assert!(Advice::is_wrong_input(&AgentError::OtherRuntime { first, now }.into()));
        let locked = AgentError::Locked { path: "/x".into() };
        assert!(!Advice::is_wrong_input(&locked.into()));
    }

    #[test]
    fn the_next_step_of_a_log_that_does_not_open_is_found_and_its_cause_is_told() {
        let error = OpenError::Locked { dir: "/log".into(), source: "by process 7".into() };
        let error = anyhow::Error::from(ManagerError::from(error)).context("state folder");
        let told = "state folder: the log in /log is in use by another process: by process 7";
        assert_eq!(format!("{error:#}"), told);
        assert_eq!(Advice::hint_of(&error).as_deref(), Some("stop that process first"));
        let error = RecoverError::InUse { dir: "/log".into() }.into();
        assert_eq!(Advice::hint_of(&error).as_deref(), Some("stop the daemon first"));
    }
}
