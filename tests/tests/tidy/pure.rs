//! What pure code may not name: clock, dice, hash order, environment, files, threads, waiting.
//!
//! Pure are the packages `proto`, `projections` and `reconcilers`, and every module elsewhere whose
//! opening paragraph says PURE, with all below it. Clippy forbids the same in the packages, by
//! meaning; this test reads words, and so also covers the modules, which have no clippy
//! configuration of their own.

use super::{SourceFile, files, none};

/// Packages that are pure as a whole.
const PURE: [&str; 3] = ["proto/src/", "projections/src/", "reconcilers/src/"];

/// Words, each with the reason why it is none of pure code's.
const WORDS: [(&str, &str); 13] = [
    ("Instant", "time is an argument"),
    ("SystemTime", "time is an argument"),
    ("HashMap", "its order differs from run to run; take a BTreeMap, a sorted Vec or imbl"),
    ("HashSet", "its order differs from run to run; take a BTreeSet or a sorted Vec"),
    ("RandomState", "chance is an argument"),
    ("getrandom", "chance is an argument"),
    ("thread_rng", "chance is an argument"),
    ("TcpStream", "the network belongs to the shell"),
    ("UdpSocket", "the network belongs to the shell"),
    ("UnixStream", "the network belongs to the shell"),
    ("tokio", "pure code waits for nothing"),
    ("await", "pure code waits for nothing"),
    ("async", "pure code waits for nothing"),
];

/// Modules of the standard library, each with the reason.
const MODULES: [(&str, &str); 5] = [
    ("fs", "files belong to the shell"),
    ("env", "the environment belongs to the shell"),
    ("process", "processes belong to the shell"),
    ("thread", "one thread, one order"),
    ("io", "reading and writing belong to the shell"),
];

fn is_pure(page: &SourceFile, marked: &[String]) -> bool {
    let below = |stem: &String| {
        page.path
            .strip_prefix(stem.as_str())
            .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    };
    PURE.iter().any(|folder| page.path.starts_with(folder)) || marked.iter().any(below)
}

/// The stems of modules that call themselves PURE.
fn marked(pages: &[SourceFile]) -> Vec<String> {
    let names_others = |path: &str| path.ends_with("/lib.rs") || path.ends_with("/main.rs");
    let says = pages
        .iter()
        .filter(|page| !page.is_test && !names_others(&page.path) && says_pure(&page.opening()));
    says.map(|page| page.path.trim_end_matches(".rs").to_owned()).collect()
}

/// Whether a module calls itself pure, in any spelling. One that speaks of "the pure state machine"
/// elsewhere does not: a small letter counts only where a statement about the module ends with it.
fn says_pure(opening: &str) -> bool {
    let text: Vec<&str> = opening.split_whitespace().collect();
    text.iter().enumerate().any(|(at, word)| {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        let ends = word.ends_with(['.', ':', ';', ',', ')', '*', '_']) || at + 1 == text.len();
        let follows_verb = at > 0 && ["is", "are"].contains(&text[at - 1]);
        match bare {
            "PURE" | "Pure" => true,
            bare => bare.eq_ignore_ascii_case("pure") && (ends || follows_verb),
        }
    })
}

/// A line without its comment and without the text of its strings.
fn bare(line: &str) -> String {
    let mut out = String::new();
    let mut quoted = false;
    let mut before = ' ';
    for (at, letter) in line.char_indices() {
        if !quoted && line[at..].starts_with("//") {
            break;
        }
        if letter == '"' && before != '\\' && before != '\'' {
            quoted = !quoted;
        } else if !quoted {
            out.push(letter);
        }
        before = letter;
    }
    out
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

/// The modules of `std` that the code names: in paths, and in the lists of `use std::{…}`.
fn std_modules(code: &str) -> Vec<String> {
    let mut found: Vec<String> = code
        .split("std::")
        .skip(1)
        .filter_map(|rest| words(rest).next().map(str::to_owned))
        .collect();
    for list in code.split("use std::{").skip(1) {
        let mut depth = 0;
        let mut fresh = true;
        let mut name = String::new();
        for letter in list.split(';').next().unwrap_or_default().chars() {
            match letter {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => (fresh, name) = (true, String::new()),
                ':' => fresh = false,
                letter if depth == 0 && fresh && !letter.is_whitespace() => name.push(letter),
                _ => continue,
            }
            if depth == 0 && fresh && !name.is_empty() {
                found.push(name.clone());
            }
        }
    }
    found
}

#[test]
fn pure_code_names_nothing_that_acts() {
    let pages = files("rs");
    let marked = marked(&pages);
    assert!(!marked.is_empty(), "some module outside the pure packages says PURE");
    let mut found = Vec::new();
    for page in pages.iter().filter(|page| !page.is_test && is_pure(page, &marked)) {
        let mut code = String::new();
        for (number, line) in page.code().into_iter().enumerate() {
            let line = bare(line);
            for (word, reason) in
                WORDS.iter().filter(|(word, _)| words(&line).any(|found| found == *word))
            {
                found.push(format!(
                    "{}:{}: `{word}` in pure code: {reason}",
                    page.path,
                    number + 1
                ));
            }
            code.push_str(&line);
            code.push('\n');
        }
        let named = std_modules(&code);
        for (module, reason) in
            MODULES.iter().filter(|(module, _)| named.iter().any(|found| found == module))
        {
            found.push(format!("{}: `std::{module}` in pure code: {reason}", page.path));
        }
    }
    none(found);
}

#[test]
fn all_pure_code_is_examined_by_mutation() {
    let script = super::root().join("scripts/mutants");
    let listed = std::process::Command::new(script).arg("list").output().unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8(listed.stdout).unwrap();
    let listed: Vec<&str> = listed.lines().collect();
    let pages = files("rs");
    let marked = marked(&pages);
    let is_examined = |page: &&SourceFile| !page.is_test && is_pure(page, &marked);
    let missing = pages.iter().filter(is_examined).filter(|page| !listed.contains(&&*page.path));
    none(missing.map(|page| format!("{}: scripts/mutants does not list it", page.path)).collect());
    let is_other = |page: &&SourceFile| !page.is_test && !is_pure(page, &marked);
    let others = pages.iter().filter(is_other).filter(|page| listed.contains(&&*page.path));
    none(others.map(|page| format!("{}: it is not pure", page.path)).collect());
}

#[test]
fn a_module_calls_itself_pure_in_any_spelling() {
    for opening in [
        "What ends. PURE.",
        "What ends. Pure.",
        "What ends (pure): no more",
        "What ends, and it is pure as ever",
        "Pure functions about ends",
        "What ends; **pure**",
        "What ends: pure",
    ] {
        assert!(says_pure(opening), "{opening:?}");
    }
    for opening in ["The thread around the pure state machine", "Purely a shell", "Impure."] {
        assert!(!says_pure(opening), "{opening:?}");
    }
}

#[test]
fn pure_packages_forbid_the_same() {
    let read = |folder: &str| {
        std::fs::read_to_string(super::root().join(folder).join("clippy.toml")).unwrap()
    };
    for folder in ["projections", "reconcilers"] {
        assert_eq!(
            read(folder),
            read("proto"),
            "{folder}/clippy.toml differs from proto/clippy.toml"
        );
    }
}

#[test]
fn modules_of_std_are_found_wherever_they_are_named() {
    let named = std_modules(
        "use std::{collections::BTreeMap, fs, io::{Read, Write}};\nlet x = std::env::args();",
    );
    for module in ["collections", "fs", "io", "env"] {
        assert!(named.iter().any(|found| found == module), "{module} in {named:?}");
    }
    assert!(!named.iter().any(|found| found == "Read"), "{named:?}");
}
