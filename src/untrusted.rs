//! Text of others, made safe to print. PURE.
//!
//! Host names, error messages, labels, task output and answers of registries are written by other
//! people and by programs. A terminal obeys control characters in them: it moves the cursor,
//! changes its title, or hides what was printed. So every control character is replaced by its
//! escape, such as `\x1b`, which the reader can see. The characters that change the direction of
//! text are treated alike, because they make one name look like another.

use std::fmt::Write;

/// Several lines: control characters are made visible, line breaks and tabs stay.
///
/// JSON stays JSON: its writer has escaped the low control characters already, and the high ones
/// get JSON's escapes.
pub(crate) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    text.chars()
        .for_each(|c| if matches!(c, '\n' | '\t') { shown.push(c) } else { push(&mut shown, c) });
    shown
}

/// One line: control characters are made visible, line breaks and tabs become blanks.
pub(crate) fn one_line(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' if chars.peek() == Some(&'\n') => {}
            '\n' | '\t' => shown.push(' '),
            other => push(&mut shown, other),
        }
    }
    shown
}

/// Bytes that need not be text: what is text is treated as [`visible`] does, other bytes become
/// `\x9b`.
pub(crate) fn visible_bytes(bytes: &[u8]) -> Vec<u8> {
    let mut shown = Vec::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        shown.extend_from_slice(visible(chunk.valid()).as_bytes());
        chunk
            .invalid()
            .iter()
            .for_each(|byte| shown.extend_from_slice(format!("\\x{byte:02x}").as_bytes()));
    }
    shown
}

fn push(shown: &mut String, c: char) {
    match c {
        '\r' => shown.push_str("\\r"),
        '\n' => shown.push_str("\\n"),
        // Writing to a string cannot fail.
        c if u32::from(c) < 0x20 => drop(write!(shown, "\\x{:02x}", u32::from(c))),
        c if c.is_control() || misleads(c) => drop(write!(shown, "\\u{:04x}", u32::from(c))),
        c => shown.push(c),
    }
}

/// Characters that reorder the text around them or break lines, although Unicode does not call them
/// control characters.
fn misleads(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, several: &str, one: &str) {
        assert_eq!(visible(text), several, "{text:?}");
        assert_eq!(one_line(text), one, "{text:?}");
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown_instead() {
        check("plain Zürich ✓", "plain Zürich ✓", "plain Zürich ✓");
        check("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m", "\\x1b[31mred\\x1b[0m");
        check("bell\x07 back\x08", "bell\\x07 back\\x08", "bell\\x07 back\\x08");
        check("a\nb\tc", "a\nb\tc", "a b c");
        check("a\r\nb\rc", "a\\r\nb\\rc", "a b\\rc");
        check("\u{9b}2J\u{7f}", "\\u009b2J\\u007f", "\\u009b2J\\u007f");
        check("\u{202e}gpj.exe", "\\u202egpj.exe", "\\u202egpj.exe");
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_numbers() {
        assert_eq!(visible_bytes(b"ok \x9b2J \xff\x1b[1m"), b"ok \\x9b2J \\xff\\x1b[1m");
    }

    #[test]
    fn json_stays_json() {
        let value = serde_json::json!({"name": "a\u{1b}[1m\u{9b}\u{202e}b\nc"});
        let shown = visible(&format!("{value:#}"));
        assert!(!shown.contains(['\u{1b}', '\u{9b}', '\u{202e}']));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).ok(), Some(value));
    }
}
