//! The error message for a command line that cannot be read.
//!
//! The parser offers names that look like the wrong one. A guess that is far off misleads, and one
//! that removes something is dangerous: before there was a "node promote", it answered that there
//! is "rm". So only close guesses are kept.

use super::{
    absent,
    fail::{CliError, CliResult},
    show,
};
use clap::error::{ContextKind, ContextValue, Error};
use std::process::ExitCode;

/// Names of commands that take something away: only a slip of one key is answered with them.
const REMOVING: [&str; 5] = ["rm", "remove", "drain", "recover", "unpark"];
/// Slips of the keyboard that a guess may be away from what was written.
const SLIPS_MAX: usize = 2;

/// Help goes to the standard output with code 0; everything else is wrong usage, with code 2.
pub(super) fn tell(mut error: Error) -> ExitCode {
    if !error.use_stderr() {
        let printed: CliResult = error.print().map_err(CliError::from);
        return ExitCode::from(printed.map_or_else(|failure| failure.tell(), |()| 0));
    }
    show::talk(&text(&mut error));
    ExitCode::from(2)
}

/// What is wrong with the command line, a close guess at what was meant, and for a command of
/// Docker what to use instead.
fn text(error: &mut Error) -> String {
    keep_close_guesses(error);
    let mut text = error.render().to_string().trim_end().to_owned();
    let verb = error.get(ContextKind::InvalidSubcommand).map(ToString::to_string);
    if let Some(hint) = verb.as_deref().and_then(absent::instead_of) {
        text.push_str(&format!("\nhint: {hint}"));
    }
    text
}

fn keep_close_guesses(error: &mut Error) {
    // The parser's usage line names the flag that it guessed, as if that were required. Its advice
    // to pass an unknown flag as a value would hand the flag to the task's program.
    if error.get(ContextKind::SuggestedArg).is_some() {
        error.remove(ContextKind::Usage);
    }
    error.remove(ContextKind::Suggested);
    let guesses = [
        (ContextKind::InvalidSubcommand, ContextKind::SuggestedSubcommand),
        (ContextKind::InvalidArg, ContextKind::SuggestedArg),
        (ContextKind::InvalidValue, ContextKind::SuggestedValue),
    ];
    for (wrong, suggested) in guesses {
        let written = error.get(wrong).map(ToString::to_string).unwrap_or_default();
        match error.remove(suggested) {
            Some(ContextValue::String(guess)) if is_half_of_a_pair(&written, &guess) => {
                error.insert(suggested, ContextValue::String(format!("{}-add", flag(&written))));
            }
            Some(ContextValue::String(guess)) if is_close(&written, &guess) => {
                error.insert(suggested, ContextValue::String(guess));
            }
            Some(ContextValue::Strings(mut all)) => {
                all.retain(|guess| is_close(&written, guess));
                if !all.is_empty() {
                    error.insert(suggested, ContextValue::Strings(all));
                }
            }
            Some(other) => drop(other),
            None => {}
        }
    }
}

/// Whether a flag was written as `create` has it, where `update` has `-add` and `-rm`.
fn is_half_of_a_pair(written: &str, guess: &str) -> bool {
    ["-add", "-rm"].iter().any(|half| guess == format!("{}{half}", flag(written)))
}

/// The flag without its value.
fn flag(written: &str) -> &str {
    written.split(['=', ' ']).next().unwrap_or_default()
}

fn is_close(written: &str, guess: &str) -> bool {
    let name = |text: &str| {
        text.trim_start_matches('-').split(['=', ' ']).next().unwrap_or_default().to_owned()
    };
    let (written, guess) = (name(written), name(guess));
    let most = if REMOVING.contains(&guess.as_str()) { 1 } else { SLIPS_MAX };
    slips(&written, &guess) <= most.min(guess.chars().count() / 2)
}

/// Keys that were left out, added, mistaken or swapped (the optimal string alignment distance).
fn slips(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let mistaken = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = mistaken.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Arg, Command, value_parser};

    /// What is said of words behind `skep`, without the parser's own advice to read the help.
    fn said_of(words: &[&str]) -> String {
        let flag = |name: &'static str| Arg::new(name).long(name);
        let mode = flag("mode").value_parser(["host", "ingress"]);
        let ls = Command::new("ls").arg(flag("replicas").value_parser(value_parser!(u64)));
        let update = Command::new("update").args([flag("env-add"), flag("env-rm"), flag("filter")]);
        let rm = Command::new("rm");
        let skep =
            Command::new("skep").subcommands([ls.arg(mode), update, rm, Command::new("inspect")]);
        let words = ["skep"].iter().chain(words);
        let mut error = skep.try_get_matches_from(words).expect_err("it cannot be read");
        text(&mut error).replace("\n\nFor more information, try '--help'.", "")
    }

    #[test]
    fn only_a_slip_is_answered_with_a_guess() {
        assert!(is_close("inspct", "inspect") && is_close("--replica", "--replicas"));
        assert!(is_close("pdate", "update") && is_close("udpate", "update"));
        assert!(
            !is_close("promote", "rm") && !is_close("--colour", "--filter") && !is_close("x", "rm")
        );
    }

    #[test]
    fn what_removes_is_offered_for_one_wrong_key_alone() {
        assert!(is_close("rn", "rm") && is_close("drian", "drain"));
        assert!(!is_close("pm", "ps2") && !is_close("dain2", "drain"));
    }

    #[test]
    fn a_wrong_word_is_answered_with_a_close_guess_or_with_none() {
        let tip = |words: &[&str]| {
            let said = said_of(words);
            said.lines()
                .find(|line| line.trim().starts_with("tip:"))
                .unwrap_or("-")
                .trim()
                .to_owned()
        };
        assert_eq!(tip(&["inspct"]), "tip: a similar subcommand exists: 'inspect'");
        assert_eq!(tip(&["updat"]), "tip: a similar subcommand exists: 'update'");
        assert_eq!(tip(&["promote"]), "-");
        assert_eq!(tip(&["ls", "--replica=3"]), "tip: a similar argument exists: '--replicas'");
        assert_eq!(tip(&["update", "--env=A=1"]), "tip: a similar argument exists: '--env-add'");
        assert_eq!(tip(&["ls", "--repeat"]), "-");
        assert_eq!(tip(&["ls", "--mode", "hots"]), "tip: a similar value exists: 'host'");
        assert_eq!(tip(&["ls", "--mode", "ring"]), "-");
    }

    #[test]
    fn a_wrong_line_is_told_with_its_usage_or_with_a_guess_and_for_dockers_words_with_a_hint() {
        assert_eq!(
            said_of(&["ls", "--replica=3"]),
            "error: unexpected argument '--replica' found\n\n  tip: a similar argument exists: '--replicas'"
        );
        assert_eq!(
            said_of(&["ls", "--colour"]),
            "error: unexpected argument '--colour' found\n\nUsage: skep ls [OPTIONS]"
        );
        assert_eq!(
            said_of(&["exec"]),
            "error: unrecognized subcommand 'exec'\n\nUsage: skep [COMMAND]\nhint: `skep task inspect \
             TASK` names the node and the container: use `docker` there"
        );
    }

    #[test]
    fn slips_are_counted() {
        for (a, b, expected) in [
            ("", "", 0),
            ("a", "", 1),
            ("", "abc", 3),
            ("abc", "", 3),
            ("abc", "abc", 0),
            ("abc", "acb", 1),
            ("ab", "ba", 1),
            ("abc", "xbz", 2),
            ("abc", "ab", 1),
            ("bc", "abc", 1),
            ("abcdef", "badcfe", 3),
            ("ca", "abc", 3),
            ("kitten", "sitting", 3),
            ("aab", "aba", 1),
            ("abab", "baba", 2),
        ] {
            assert_eq!(slips(a, b), expected, "{a} {b}");
        }
    }
}
