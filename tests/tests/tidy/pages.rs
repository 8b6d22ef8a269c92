//! Files as pages: an opening paragraph, a bound on length, names that say something, exceptions
//! with a reason.

use super::{files, none, root};
use std::fs;

/// Longest file. A longer one holds two things and must be split.
const FILE_LINES_MAX: usize = 500;
/// Fewest words of an opening paragraph: a crate's name alone says nothing.
const OPENING_WORDS_MIN: usize = 3;
/// Longest `main.rs`: it only chooses who speaks next.
const MAIN_LINES_MAX: usize = 60;
/// Longest `ARCHITECTURE.md`: what does not fit belongs to `docs/`.
const ARCHITECTURE_LINES_MAX: usize = 400;

/// Longest line of a comment. Code is held to the same by rustfmt.
const LINE_CHARS_MAX: usize = 100;

/// File names that say nothing of what is in them.
const EMPTY_NAMES: [&str; 8] =
    ["mod", "util", "utils", "common", "helper", "helpers", "misc", "shared"];
/// Endings of type names that say nothing of what the type is.
const EMPTY_ENDINGS: [&str; 5] = ["Manager", "Impl", "Info", "Helper", "Data"];

#[test]
fn every_file_opens_with_what_it_is_for() {
    let bare = |text: &str| text.split_whitespace().count() < OPENING_WORDS_MIN;
    let pages = files("rs");
    let found = pages.iter().filter(|page| bare(&page.opening()));
    none(found.map(|page| format!("{}: no opening `//!` paragraph", page.path)).collect());
}

#[test]
fn no_file_is_longer_than_a_room() {
    let pages = files("rs");
    let mut lengths: Vec<usize> =
        pages.iter().filter(|page| !page.is_test).map(|page| page.code().len()).collect();
    lengths.sort_unstable();
    let at = |share: usize| lengths.get(lengths.len() * share / 100).copied().unwrap_or_default();
    println!(
        "{} files without tests: median {} lines, p95 {}, longest {}",
        lengths.len(),
        at(50),
        at(95),
        lengths.last().unwrap_or(&0)
    );
    let lengths = pages.iter().map(|page| (&page.path, page.text.lines().count()));
    let mut found: Vec<String> = lengths
        .filter(|(_, lines)| *lines > FILE_LINES_MAX)
        .map(|(path, lines)| format!("{path}: {lines} lines, at most {FILE_LINES_MAX}"))
        .collect();
    let mains = pages
        .iter()
        .filter(|page| page.path == "src/main.rs" && page.code().len() > MAIN_LINES_MAX);
    found.extend(mains.map(|page| format!("{}: at most {MAIN_LINES_MAX} lines", page.path)));
    none(found);
}

#[test]
fn comments_fit_on_a_line() {
    let settings = fs::read_to_string(root().join("rustfmt.toml")).unwrap();
    assert!(settings.contains(&format!("max_width = {LINE_CHARS_MAX}")), "{settings}");
    let mut found = Vec::new();
    for page in files("rs") {
        let mut in_fence = false;
        for (number, line) in page.text.lines().enumerate() {
            let Some(comment) = line.trim_start().strip_prefix("//") else { continue };
            let text = comment.trim_start_matches(['/', '!']);
            in_fence ^= text.trim_start().starts_with("```");
            // A drawing or a layout is indented, and may be as wide as what it shows.
            let is_drawn = in_fence || text.starts_with("   ");
            if line.chars().count() > LINE_CHARS_MAX && !is_drawn {
                found.push(format!(
                    "{}:{}: a comment of over {LINE_CHARS_MAX} characters",
                    page.path,
                    number + 1
                ));
            }
        }
    }
    none(found);
}

#[test]
fn the_architecture_stays_readable() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let lines = text.lines().count();
    assert!(lines <= ARCHITECTURE_LINES_MAX, "{lines} lines, at most {ARCHITECTURE_LINES_MAX}");
}

#[test]
fn names_say_something() {
    let mut found = Vec::new();
    for page in files("rs") {
        let stem = page.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
        if EMPTY_NAMES.contains(&stem) {
            found.push(format!("{}: a file's name says what it is for", page.path));
        }
        for (number, line) in page.text.lines().enumerate() {
            let Some(name) = type_name(line) else { continue };
            // A whole name may be such a word: a manager is a thing of our world.
            if EMPTY_ENDINGS.iter().any(|ending| name.ends_with(ending) && name != *ending) {
                found.push(format!(
                    "{}:{}: {name} ends in a word that says nothing",
                    page.path,
                    number + 1
                ));
            }
        }
    }
    none(found);
}

/// The name of the type that this line defines. An indented alias is a foreign trait's, and so is
/// its name.
pub(crate) fn type_name(line: &str) -> Option<&str> {
    let code = line.trim_start();
    let code = match code.strip_prefix("pub(") {
        Some(restricted) => restricted.split_once(')')?.1.trim_start(),
        None => code.strip_prefix("pub ").unwrap_or(code),
    };
    let (keyword, rest) = code.strip_prefix("unsafe ").unwrap_or(code).split_once(' ')?;
    let defines = ["struct", "enum", "trait", "union"].contains(&keyword)
        || keyword == "type" && !line.starts_with(' ');
    let name = rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next()?;
    (defines && !name.is_empty()).then_some(name)
}

#[test]
fn every_exception_has_a_reason() {
    let mut found = Vec::new();
    for page in files("rs").iter().filter(|page| !page.path.starts_with("tests/tests/tidy/")) {
        for (at, _) in
            page.text.match_indices("allow(").filter(|(at, _)| is_attribute(&page.text[..*at]))
        {
            let end = page.text[at..].find(")]").map_or(page.text.len(), |end| at + end);
            if !page.text[at..end].contains("reason") {
                let number = page.text[..at].lines().count();
                found.push(format!("{}:{number}: an `allow` carries a `reason`", page.path));
            }
        }
    }
    none(found);
}

fn is_attribute(before: &str) -> bool {
    before.ends_with("#[")
        || before.ends_with("#![")
        || before.trim_end().ends_with(',') && before.contains("cfg_attr")
}
