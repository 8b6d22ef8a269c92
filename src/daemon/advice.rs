//! An error with the next step in a field of its own, so that nobody has to cut it out of a
//! message.

use std::{error::Error, fmt};

/// What is wrong, and what to do about it.
#[derive(Debug)]
pub(crate) struct Advice {
    message: String,
    hint: String,
}

impl Advice {
    /// An error that says what to do.
    pub(crate) fn new(message: impl Into<String>, hint: impl Into<String>) -> Advice {
        Advice { message: message.into(), hint: hint.into() }
    }

    /// The next step of an error, if something in its chain of causes names one.
    pub(crate) fn hint_of(error: &anyhow::Error) -> Option<&str> {
        error
            .chain()
            .find_map(|cause| cause.downcast_ref::<Advice>())
            .map(|advice| advice.hint.as_str())
    }
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

    #[test]
    fn the_next_step_is_found_below_any_context() {
        let error =
            Err::<(), _>(Advice::new("it is in use", "stop the other")).context("state folder");
        let error = error.expect_err("it is one");
        assert_eq!(format!("{error:#}"), "state folder: it is in use");
        assert_eq!(Advice::hint_of(&error), Some("stop the other"));
        assert_eq!(Advice::hint_of(&anyhow::anyhow!("plain")), None);
    }
}
