//! Every refusal has a test that shows its message.
//!
//! The sources of this crate are read: each place that makes a refusal, or an error of a call, must
//! be followed by its message, and some test of this crate or of the command line must have that
//! message in a string of its own. So a new refusal without a test fails here, by name.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// What begins a refusal or an error of a call.
const MAKERS: [&str; 16] = [
    "Refusal::invalid(",
    "Refusal::exists(",
    "Refusal::precondition(",
    "Refusal::unsupported(",
    "Refusal::permission(",
    "Refusal::exhausted(",
    "Refusal::expired(",
    "Refusal::not_found(",
    "Status::unauthenticated(",
    "Status::unavailable(",
    "Status::deadline_exceeded(",
    "Status::invalid_argument(",
    "Status::internal(",
    "Status::not_found(",
    "Status::resource_exhausted(",
    "Status::failed_precondition(",
];
/// What stands where the message should, because the message is made elsewhere, and the file.
const MADE_ELSEWHERE: [(&str, &str); 6] = [
    // The disk's own sentence, which the stories in `drive/core/stories/disk.rs` show.
    ("limit)", "drive/core/disk.rs"),
    // A constraint's: `a_constraint_can_be_met_and_there_are_not_too_many`.
    ("error.to_string()", "admit/spec.rs"),
    // A constant: `commands_and_moments_that_are_not_there_are_refused_with_a_hint`.
    ("reads::STOPPED)", "offline.rs"),
    // Why nobody leads, which the stories in `drive/core/stories/waiting.rs` show.
    ("why)", "drive/core/refusals.rs"),
    // What the log says of itself, and what the system says: no story can bring these about.
    ("why)", "drive.rs"),
    // Of an object's version: each kind of object has its story in `admit/tests.rs`.
    ("what", "admit/refusal.rs"),
];
/// Messages that only a fault of this program brings about.
const OURS: [&str; 2] = ["the read ended early: {error}", "an order of this number is open"];

#[test]
fn every_refusal_is_shown_by_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shown: Vec<String> = [root.join("src"), root.join("../tests/cli")]
        .iter()
        .flat_map(|folder| sources(folder))
        .flat_map(|path| literals(&tests_of(&path)))
        .collect();
    let mut missing = Vec::new();
    for path in sources(&root.join("src")) {
        let code = code_of(&path);
        let file = path.strip_prefix(root.join("src")).expect("it lies there").to_owned();
        for message in messages(&code, &file) {
            let is_shown =
                |literal: &String| shows(literal, &message) || abridged(literal, &message);
            if !OURS.contains(&message.as_str()) && !shown.iter().any(is_shown) {
                missing.push(format!("{}: {message:?}", file.display()));
            }
        }
    }
    assert!(missing.is_empty(), "no test shows these refusals:\n{}", missing.join("\n"));
}

/// What the system says goes through the one function that leaves the number out.
#[test]
fn no_error_of_a_call_carries_an_error_as_it_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let statuses = MAKERS.iter().filter(|maker| maker.starts_with("Status::"));
    for (path, maker) in
        sources(&root).iter().flat_map(|path| statuses.clone().map(move |m| (path, m)))
    {
        for (at, _) in code_of(path).match_indices(maker) {
            let code = code_of(path);
            let inside = code[at + maker.len()..].trim_start();
            assert!(!inside.starts_with("error."), "{}: use reads::failure", path.display());
        }
    }
}

#[test]
fn a_message_is_shown_by_a_string_that_has_its_fixed_parts_in_order() {
    assert!(shows("node n1 has no label \"a\" here", "node {} has no label {key:?} here"));
    assert!(!shows("node n1 has a label", "node {} has no label {key:?} here"));
    let code = "Err(Refusal::invalid(format!(\n  \"a {x} \\\"b\\\" \\\n   c\"\n))); Refusal::exists(\"d\")";
    assert_eq!(messages(code, Path::new("x.rs")), ["a {x} \"b\" c", "d"]);
    assert_eq!(literals("f(\"a\", 'b', \"\\\"c\") // d's"), ["a", "\"c"]);
}

/// All sources below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the sources are there") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn is_test_file(path: &Path) -> bool {
    let of_tests = ["tests", "stories", "world", "testing", "coverage", "cli"];
    path.components().any(|part| {
        let name = part.as_os_str().to_str().unwrap_or_default();
        of_tests.contains(&name.strip_suffix(".rs").unwrap_or(name))
    })
}

/// What is compiled into the program.
fn code_of(path: &Path) -> String {
    if is_test_file(path.strip_prefix(env!("CARGO_MANIFEST_DIR")).expect("a source of this crate"))
    {
        return String::new();
    }
    let text = fs::read_to_string(path).expect("it can be read");
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned()
}

/// What is compiled into the tests alone.
fn tests_of(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("it can be read");
    let inside = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap_or(path);
    let is_this_file = path.ends_with("refusal/coverage.rs");
    match text.split_once("#[cfg(test)]\nmod tests {") {
        _ if is_this_file => String::new(),
        _ if is_test_file(inside) => text,
        Some((_, tests)) => tests.to_owned(),
        None => String::new(),
    }
}

/// The messages of all refusals that the code makes.
fn messages(code: &str, file: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for maker in MAKERS {
        for (at, _) in code.match_indices(maker) {
            let rest = code[at + maker.len()..].trim_start();
            let rest = rest.strip_prefix("format!(").unwrap_or(rest).trim_start();
            let elsewhere =
                |(start, of): &&(&str, &str)| rest.starts_with(start) && file.ends_with(of);
            if let Some(message) = literal(rest) {
                found.push(message);
            } else if rest.starts_with("message") {
                const MADE: &str = "let message =";
                let made = code[..at].rfind(MADE).map(|at| code[at + MADE.len()..].trim_start());
                let made =
                    made.map(|made| made.strip_prefix("format!(").unwrap_or(made).trim_start());
                found.push(made.and_then(literal).expect("the message is made just before"));
            } else if !MADE_ELSEWHERE.iter().any(|made| elsewhere(&made)) {
                panic!(
                    "{}: write the message where the refusal is made: {rest:.60}",
                    file.display()
                );
            }
        }
    }
    found
}

/// The string that the text begins with.
fn literal(text: &str) -> Option<String> {
    let mut chars = text.strip_prefix('"')?.chars().peekable();
    let mut found = String::new();
    loop {
        match chars.next()? {
            '"' => return Some(found),
            '\\' => match chars.next()? {
                '\n' => while chars.next_if(|c| c.is_whitespace()).is_some() {},
                'n' => found.push('\n'),
                other => found.push(other),
            },
            other => found.push(other),
        }
    }
}

/// All strings in the text, comments left out.
fn literals(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['"', '\'', '/']) {
        let from = &rest[at..];
        let skipped = if from.starts_with("//") {
            from.find('\n').unwrap_or(from.len())
        } else if from.starts_with("'\"'") || from.starts_with("'\\\"'") {
            4.min(from.len())
        } else if let Some(string) = literal(from) {
            found.push(string);
            string_bytes(from)
        } else {
            1
        };
        rest = &from[skipped..];
    }
    found
}

/// How long the string is in the source, quotes included.
fn string_bytes(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            _ => escaped = c == '\\' && !escaped,
        }
    }
    text.len()
}

/// Whether a test's string has the message's fixed parts in their order.
fn shows(literal: &str, message: &str) -> bool {
    let mut rest = literal;
    fixed_parts(message).iter().all(|part| match rest.split_once(part.as_str()) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

/// The drive's stories write a refusal up to its first colon.
fn abridged(literal: &str, message: &str) -> bool {
    message.split_once(':').is_some_and(|(head, _)| literal.contains(&format!("refused({head})")))
}

fn fixed_parts(message: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for c in message.chars() {
        match c {
            '{' => {
                depth += 1;
                parts.push(String::new());
            }
            '}' if depth > 0 => depth -= 1,
            other if depth == 0 => parts.last_mut().expect("there is one").push(other),
            _ => {}
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}
