//! A command's synopsis in its manual page. PURE.
//!
//! The library's own names every option without its value, which for `service create` fills half a
//! page. Here options are named with their values if they are few, and are `[OPTIONS]` otherwise.

use clap::{Arg, ArgAction, Command};

/// Options that a synopsis names; of more it says that there are some.
const OPTIONS_MAX: usize = 7;

/// The command with this synopsis, and all below it with theirs. It must have been built.
pub(super) fn with_synopses(command: Command) -> Command {
    let synopsis = synopsis(&command);
    command.override_usage(synopsis).mut_subcommands(with_synopses)
}

fn synopsis(command: &Command) -> String {
    let mut words = vec![command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned()];
    let is_named = |arg: &&Arg| {
        let explains = matches!(
            arg.get_action(),
            ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
        );
        !arg.is_hide_set() && !arg.is_positional() && !explains
    };
    let (required, others): (Vec<&Arg>, Vec<&Arg>) =
        command.get_arguments().filter(is_named).partition(|arg| arg.is_required_set());
    if others.len() > OPTIONS_MAX {
        words.push("[OPTIONS]".into());
    } else {
        words.extend(others.iter().map(|arg| format!("[{}]{}", flag(arg), again(arg))));
    }
    words.extend(required.iter().map(|arg| format!("{}{}", flag(arg), again(arg))));
    let operands = command.get_positionals().filter(|arg| !arg.is_hide_set());
    words.extend(operands.map(ToString::to_string));
    if command.get_subcommands().any(|one| !one.is_hide_set()) {
        words.push("COMMAND".into());
    }
    words.join(" ")
}

/// `-n|--tail <LINES>`.
fn flag(arg: &Arg) -> String {
    match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(_)) => format!("-{short}|{}", once(arg)),
        (Some(_) | None, _) => once(arg),
    }
}

/// The flag and its value without the dots behind them: they stand behind the brackets.
fn once(arg: &Arg) -> String {
    let text = arg.to_string();
    text.strip_suffix("...").unwrap_or(&text).to_owned()
}

/// Dots behind an option that may be given several times.
fn again(arg: &Arg) -> &'static str {
    if matches!(arg.get_action(), ArgAction::Append | ArgAction::Count) { "..." } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory;

    #[track_caller]
    fn check(path: &[&str], expected: &str) {
        let mut command = Cli::command().disable_help_subcommand(true);
        command.build();
        let below = |command: Command, name: &&str| {
            command.find_subcommand(name).cloned().unwrap_or_else(|| panic!("no {name}"))
        };
        assert_eq!(synopsis(&path.iter().fold(command, below)), expected);
    }

    #[test]
    fn few_options_are_named_with_their_values() {
        check(&["version"], "skep version [--format <FORMAT>]");
        check(
            &["service", "rm"],
            "skep service rm [--host <unix://SOCK>]... [--reason <TEXT>] <SERVICE>...",
        );
        check(
            &["cluster", "unlock-key"],
            "skep cluster unlock-key [--rotate] [-q|--quiet] [--host <unix://SOCK>]... [--reason <TEXT>]",
        );
    }

    #[test]
    fn many_options_are_summed_up_and_required_ones_named() {
        check(&["service", "create"], "skep service create [OPTIONS] <IMAGE> [COMMAND]...");
        check(
            &["recover"],
            "skep recover [--state-dir <DIR>] [--unlock-key-file <FILE>] [--force] --accept-loss",
        );
        check(&["agent"], "skep agent [OPTIONS] --state-dir <DIR>");
    }

    #[test]
    fn commands_below_are_named_as_such() {
        check(&["service"], "skep service COMMAND");
    }
}
