//! Unlock keys as people give them: in a file, or typed.

use super::{
    fail::{CliError, CliResult},
    stderr,
};
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use skep_trust::UnlockKey;
use std::{
    fs::File,
    io::{BufRead, IsTerminal, Read, stdin},
    path::Path,
    str::FromStr,
};
use zeroize::Zeroizing;

/// What is read of a file or a line: a key is far shorter.
const KEY_FILE_BYTES_MAX: u64 = 4 << 10;

/// The key in a file.
pub(super) fn in_file(path: &Path) -> CliResult<UnlockKey> {
    let wrong = |message: String| {
        CliError::usage(format!("--unlock-key-file {}: {message}", path.display()))
            .hint("`skep cluster unlock-key -q` prints the key on a manager that is unlocked")
    };
    let mut text = Zeroizing::new(String::new());
    let read =
        File::open(path).and_then(|file| file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text));
    read.map_err(|error| wrong(skep_proto::os_error::plain(&error.to_string())))?;
    UnlockKey::from_str(&text).map_err(|error| wrong(error.to_string()))
}

/// The key that somebody types, unseen, or that another program writes.
pub(super) fn typed() -> CliResult<UnlockKey> {
    let hint = "`skep cluster unlock-key -q` prints the key on a manager that is unlocked";
    let line = line().map_err(|error| CliError::usage(format!("no unlock key: {error}")))?;
    UnlockKey::from_str(&line).map_err(|error| CliError::usage(error.to_string()).hint(hint))
}

fn line() -> std::io::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(String::new());
    let input = stdin();
    let seen = if input.is_terminal() { Some(tcgetattr(&input)?) } else { None };
    if let Some(seen) = &seen {
        stderr::prompt("Please enter unlock key: ");
        let mut unseen = seen.clone();
        unseen.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(&input, SetArg::TCSANOW, &unseen)?;
    }
    let read = input.lock().take(KEY_FILE_BYTES_MAX).read_line(&mut line);
    if let Some(seen) = &seen {
        tcsetattr(&input, SetArg::TCSANOW, seen)?;
        stderr::prompt("\n");
    }
    read.map(|_| line)
}
