//! No `bool` parameters: at a call, `true` says nothing, and a word of the field does.
//!
//! A field of a struct has a name wherever it is set, and a return value has the function's; both
//! may be a `bool`. Functions of tests are exempt.

use super::{SourceFile, files, none};

/// Parameters whose functions a foreign trait declares.
const FOREIGN: [(&str, &str); 1] = [("log/src/raft/machine.rs", "try_create_snapshot_builder")];

/// The functions of a text that take a `bool`, each with its parameter.
fn flags(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("fn ") {
        let starts = text[..at].chars().next_back().is_none_or(|before| before.is_whitespace());
        let Some((name, after)) = text[at + 3..].split_once('(').filter(|_| starts) else {
            continue;
        };
        for parameter in parameters(after).split(',') {
            let Some((word, kind)) = parameter.split_once(':') else { continue };
            if kind.trim() == "bool" {
                let name = name.split('<').next().unwrap_or(name);
                found.push((name.trim().to_owned(), word.trim().to_owned()));
            }
        }
    }
    found
}

/// What stands before the parenthesis that ends the parameters.
fn parameters(after: &str) -> &str {
    let mut depth = 1;
    let end = after.find(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth == 0
    });
    &after[..end.unwrap_or(after.len())]
}

fn code(page: &SourceFile) -> String {
    let lines = page.code().into_iter().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn no_function_takes_a_bool() {
    let pages = files("rs");
    let mut found = Vec::new();
    for page in pages.iter().filter(|page| !page.is_test) {
        for (function, parameter) in flags(&code(page)) {
            if !FOREIGN.contains(&(page.path.as_str(), function.as_str())) {
                found.push(format!("{}: {function}({parameter}: bool): take an enum", page.path));
            }
        }
    }
    none(found);
}

#[test]
fn flags_are_found_and_other_parameters_are_not() {
    let text = "pub fn a(x: u8, loud: bool) -> bool {\nfn b<T>(\n    f: impl Fn(bool) -> u8,\n    \
                quiet: bool,\n) {\nfn c(is_set: &mut bool, all: Vec<bool>) -> bool {\n";
    let found = flags(text);
    let pairs = [("a", "loud"), ("b", "quiet")].map(|(f, p)| (f.to_owned(), p.to_owned()));
    assert_eq!(found, pairs);
}
