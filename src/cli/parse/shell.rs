//! A command line in one value, as `--args` and `--entrypoint` take it. PURE.

/// The words of a command line, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShellWords(pub Vec<String>);

/// Cuts a text into words as a shell does: quotes and backslashes keep blanks together. Nothing is
/// expanded. What a shell takes for a comment is refused, since it would be left out.
pub(crate) fn shell_words(text: &str) -> Result<ShellWords, String> {
    if let Some(comment) = comment(text) {
        return Err(format!("{comment:?} is a comment to a shell; quote it: '#'"));
    }
    match shlex::split(text) {
        Some(words) => Ok(ShellWords(words)),
        None => Err("a quote is not closed, or nothing follows the last backslash".into()),
    }
}

/// The first `#` at the beginning of an unquoted word, and what follows it.
fn comment(text: &str) -> Option<&str> {
    let mut quote = None;
    let mut begins = true;
    let mut rest = text.char_indices();
    while let Some((at, letter)) = rest.next() {
        match (quote, letter) {
            (None, '#') if begins => return text.get(at..),
            (None, '\'' | '"') => quote = Some(letter),
            (Some(open), _) if letter == open => quote = None,
            // A backslash within single quotes is a letter like any other.
            (None | Some('"'), '\\') => drop(rest.next()),
            _ => {}
        }
        begins = quote.is_none() && matches!(letter, ' ' | '\t' | '\n');
    }
    None
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
    fn nothing_is_left_out_as_a_comment() {
        for text in ["#fff", "a # b", "a\t#b", "a\n# b", "'a' #b", "\\a #b"] {
            let error = shell_words(text).expect_err(text);
            assert!(error.contains("comment"), "{text}: {error}");
        }
        check("--color '#fff' a#b", &["--color", "#fff", "a#b"]);
        check("\"# \\\" #\" \\#c ''#d", &["# \" #", "#c", "#d"]);
        check("-c 'echo one # two'", &["-c", "echo one # two"]);
    }

    #[test]
    fn an_open_quote_is_refused() {
        for text in ["-c 'unclosed", "say \"this", "ends with \\"] {
            assert!(shell_words(text).is_err(), "{text}");
        }
    }
}
