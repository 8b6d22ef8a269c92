//! Environment variables, from flags and from files. PURE: the caller's own environment is handed
//! in.

/// Largest file of variables; a larger one is refused, since a command may not be that large
/// either.
pub(crate) const ENV_FILE_BYTES_MAX: usize = 1 << 20;

/// The value that a name has in the environment of this command, if any.
pub(super) type EnvLookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// `NAME=VALUE`; a `NAME` alone takes the value that this command has in its own environment.
pub(super) fn variable(text: &str, lookup: EnvLookup<'_>) -> Result<String, String> {
    let (name, value) = super::csv::pair(text);
    if name.is_empty() {
        return Err("the name is missing; write NAME=VALUE".into());
    }
    if name.contains(char::is_whitespace) {
        return Err(format!("the name {name:?} contains a blank; write NAME=VALUE"));
    }
    if let Some(strange) = text.chars().find(|c| *c == '\0') {
        return Err(format!("it contains the character {strange:?}, which no variable can hold"));
    }
    match value {
        Some(_) => Ok(text.to_owned()),
        None => Ok(lookup(name).map_or_else(|| name.to_owned(), |value| format!("{name}={value}"))),
    }
}

/// The variables of a file, one a line. Empty lines and lines that begin with `#` are left out.
///
/// The error names the line. Editors for Windows add a byte order mark, which is dropped, and
/// carriage returns, which end a line like the newline that follows.
pub(super) fn file(bytes: &[u8], lookup: EnvLookup<'_>) -> Result<Vec<String>, String> {
    if bytes.len() > ENV_FILE_BYTES_MAX {
        return Err(format!("it is larger than {ENV_FILE_BYTES_MAX} bytes"));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(
            "line 1: the file is UTF-16; save it as UTF-8, for example with `iconv -f UTF-16 -t UTF-8`"
                .into(),
        );
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut variables = Vec::new();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let number = index + 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Ok(line) = std::str::from_utf8(line) else {
            return Err(format!("line {number}: it is not UTF-8; save the file as UTF-8"));
        };
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        variables.push(variable(line, lookup).map_err(|error| format!("line {number}: {error}"))?);
    }
    Ok(variables)
}

/// The name of a variable.
pub(crate) fn name(variable: &str) -> &str {
    super::csv::pair(variable).0
}

/// Each name once, at its first position, with its last value.
pub(crate) fn last_of_each(variables: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for variable in variables {
        match kept.iter_mut().find(|earlier| name(earlier) == name(&variable)) {
            Some(earlier) => *earlier = variable,
            None => kept.push(variable),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_greatest_length_is_read_and_a_longer_one_is_not() {
        let mut bytes = vec![b'#'; ENV_FILE_BYTES_MAX];
        assert_eq!(file(&bytes, &|_| None), Ok(Vec::new()));
        bytes.push(b'#');
        assert!(file(&bytes, &|_| None).is_err());
    }

    fn lookup(name: &str) -> Option<String> {
        (name == "THIRD").then(|| "mine".to_owned())
    }

    fn check(bytes: &[u8], expected: &[&str]) {
        assert_eq!(file(bytes, &lookup), Ok(expected.iter().map(ToString::to_string).collect()));
    }

    fn check_error(bytes: &[u8], parts: &[&str]) {
        let error = file(bytes, &lookup).expect_err("it is wrong");
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }

    #[test]
    fn a_file_from_a_windows_editor_is_read_without_mark_and_carriage_returns() {
        check(
            b"\xef\xbb\xbfFIRST=1\r\n# note\r\n  SECOND=two words \r\nTHIRD\r\nEMPTY=\r\n\r\n",
            &["FIRST=1", "SECOND=two words ", "THIRD=mine", "EMPTY="],
        );
        check(b"UNSET\nLAST=1", &["UNSET", "LAST=1"]);
        check(b"", &[]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        check_error(b"\xff\xfeF\0O\0O\0", &["line 1", "UTF-16", "UTF-8"]);
        check_error(b"\xfe\xff\0F\0O", &["line 1", "UTF-16"]);
        check_error(b"OK=1\nF\0O\0=\0", &["line 2"]);
        check_error(b"OK=1\nX=\xe4\n", &["line 2", "not UTF-8"]);
        check_error(b"OK=1\n\nA B=1\n", &["line 3", "\"A B\"", "blank"]);
        check_error(b"A =1\n", &["line 1", "blank"]);
        check_error(b"=1\n", &["line 1", "name is missing"]);
        check_error(&vec![b'#'; ENV_FILE_BYTES_MAX + 1], &["larger than"]);
    }

    #[test]
    fn flags_are_read_like_lines() {
        assert_eq!(variable("A=b=c d", &lookup), Ok("A=b=c d".into()));
        assert_eq!(variable("THIRD", &lookup), Ok("THIRD=mine".into()));
        assert_eq!(variable("OTHER", &lookup), Ok("OTHER".into()));
        assert!(variable("=b", &lookup).is_err() && variable("A B=1", &lookup).is_err());
    }

    #[test]
    fn the_last_of_several_wins_and_stands_once() {
        let all = ["X=1", "Y=2", "X=3", "X"].map(str::to_owned);
        assert_eq!(last_of_each(all[..3].to_vec()), ["X=3", "Y=2"]);
        assert_eq!(last_of_each(all), ["X", "Y=2"]);
    }
}
