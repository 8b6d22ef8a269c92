//! A command line in one value, as `--args` and `--entrypoint` take it. PURE.

/// The words of a command line, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShellWords(pub Vec<String>);

/// Cuts a text into words as a shell does: quotes and backslashes keep blanks together. Nothing is
/// expanded.
pub(crate) fn shell_words(text: &str) -> Result<ShellWords, String> {
    match shlex::split(text) {
        Some(words) => Ok(ShellWords(words)),
        None => Err("a quote is not closed, or nothing follows the last backslash".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let expected = expected.iter().map(ToString::to_string).collect();
        assert_eq!(shell_words(text), Ok(ShellWords(expected)), "{text}");
    }

    #[test]
    fn words_are_cut_as_a_shell_cuts_them() {
        check("sleep 60", &["sleep", "60"]);
        check(
            "-c 'echo \"one two\"; exec sleep 1000'",
            &["-c", "echo \"one two\"; exec sleep 1000"],
        );
        check("sh -c \"echo a  b\"", &["sh", "-c", "echo a  b"]);
        check("a\\ b 'c'\"d\"", &["a b", "cd"]);
        check("--flag= '' x", &["--flag=", "", "x"]);
        check("", &[]);
        check("  ", &[]);
    }

    #[test]
    fn an_open_quote_is_refused() {
        for text in ["-c 'unclosed", "say \"this", "ends with \\"] {
            assert!(shell_words(text).is_err(), "{text}");
        }
    }
}
