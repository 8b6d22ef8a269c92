//! Fields of one value, separated by commas: `--mount` and `--publish`. PURE.
//!
//! The form is CSV (RFC 4180), as Docker's is: a whole field may stand in double quotes and then
//! hold commas, and two double quotes within it mean one.

use std::collections::BTreeSet;

/// The fields of a value.
pub(super) fn fields(text: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => bare_field(rest)?,
        };
        if field != field.trim_start() {
            return Err(format!("a blank stands before {:?}: remove it", field.trim_start()));
        }
        fields.push(field);
        match after {
            Some(after) => rest = after,
            None => return Ok(fields),
        }
    }
}

/// A key, and its value where it has one.
pub(super) fn pair(field: &str) -> (&str, Option<&str>) {
    field.split_once('=').map_or((field, None), |(key, value)| (key, Some(value)))
}

/// Refuses a key that may be given once, by any of its names, and was given before.
pub(super) fn once(
    seen: &mut BTreeSet<&'static str>,
    key: &str,
    name: &'static str,
) -> Result<(), String> {
    match seen.insert(name) {
        true => Ok(()),
        false if key == name => Err(format!("{key} is given twice")),
        false => Err(format!("{name} is given twice, here as {key}")),
    }
}

fn bare_field(text: &str) -> Result<(String, Option<&str>), String> {
    let (field, after) =
        text.split_once(',').map_or((text, None), |(field, after)| (field, Some(after)));
    if field.trim_start().starts_with('"') {
        return Err("a blank stands before a quote: remove it".into());
    }
    match field.contains('"') {
        false => Ok((field.to_owned(), after)),
        true => Err(format!(
            "{field:?} has a quote in its middle: quotes go around the whole field, \"key=a,b\""
        )),
    }
}

/// What follows an opening quote, up to the closing one.
fn quoted_field(text: &str) -> Result<(String, Option<&str>), String> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('"').ok_or("a quote is not closed")?;
        field.push_str(part);
        match after.strip_prefix('"') {
            Some(after) => {
                field.push('"');
                rest = after;
            }
            None if after.is_empty() => return Ok((field, None)),
            None => {
                let after = after.strip_prefix(',').ok_or("a comma must follow a closing quote")?;
                return Ok((field, Some(after)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        assert_eq!(fields(text), Ok(expected.iter().map(ToString::to_string).collect()), "{text}");
    }

    fn check_error(text: &str, part: &str) {
        let error = fields(text).expect_err(text);
        assert!(error.contains(part), "{text}: {error}");
    }

    #[test]
    fn a_field_in_quotes_may_hold_commas_and_quotes() {
        check("a=1,b,c=3", &["a=1", "b", "c=3"]);
        check("a=1,\"o=size=8m,mode=1777\",b", &["a=1", "o=size=8m,mode=1777", "b"]);
        check("\"src=/a,b\"", &["src=/a,b"]);
        check("\"say \"\"hi\"\"\",x", &["say \"hi\"", "x"]);
        check("a=b c", &["a=b c"]);
        check("", &[""]);
        check("a,", &["a", ""]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        check_error("type=bind, source=/x", "blank stands before \"source=/x\"");
        check_error("a, \"b\"", "blank stands before a quote");
        check_error("o=\"a,b\"", "whole field");
        check_error("\"a,b", "not closed");
        check_error("\"a\"b,c", "comma must follow");
    }
}
