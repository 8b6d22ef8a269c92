//! Errors of the operating system as people read them. PURE.
//!
//! The standard library writes "No such file or directory (os error 2)". The number says nothing
//! that the message does not say, and the capital letter stands in the middle of our sentences. So
//! log lines, reports and error messages pass through here before somebody reads them.

use std::fmt::Display;

/// What stands before an error's number.
const NUMBER_BEGINS: &str = " (os error ";

/// The error's message without the numbers that the standard library adds, each system message in
/// lower case.
pub fn message(error: &dyn Display) -> String {
    plain(&error.to_string())
}

/// Text in which messages of the operating system may stand, likewise.
pub fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(NUMBER_BEGINS) {
        let (before, number) = (&rest[..at], &rest[at + NUMBER_BEGINS.len()..]);
        let digits = number.len() - number.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let Some(after) = number[digits..].strip_prefix(')').filter(|_| digits > 0) else {
            shown.push_str(&rest[..at + NUMBER_BEGINS.len()]);
            rest = number;
            continue;
        };
        // The system's message begins behind what was written before it.
        let begin = before.rfind(": ").map_or(0, |colon| colon + 2);
        shown.push_str(&before[..begin]);
        shown.push_str(&lower_first(&before[begin..]));
        rest = after;
    }
    shown.push_str(rest);
    shown
}

fn lower_first(message: &str) -> String {
    let mut letters = message.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_message_loses_its_number_and_its_capital() {
        let error = std::io::Error::from_raw_os_error(2);
        assert!(error.to_string().contains(NUMBER_BEGINS), "{error}");
        assert_eq!(message(&error), "no such file or directory");
    }

    #[test]
    fn messages_are_found_wherever_they_stand() {
        for (text, shown) in [
            ("", ""),
            ("plain: Text", "plain: Text"),
            ("/Var/a: Permission denied (os error 13)", "/Var/a: permission denied"),
            (
                "A: Is a directory (os error 21); B: Input/output error (os error 5), again",
                "A: is a directory; B: input/output error, again",
            ),
            ("a (os error x) (os error ", "a (os error x) (os error "),
            ("a (os error )", "a (os error )"),
            ("É (os error 1)", "é"),
        ] {
            assert_eq!(plain(text), shown, "{text}");
        }
    }
}
