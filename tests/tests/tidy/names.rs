//! One name, one thing: a type's name is defined once in the whole repository, so that a search for
//! it finds one definition and a reader never asks which of several is meant.
//!
//! Tests, examples and helper binaries count as well: who searches finds them too. An indented
//! `type` is exempt, since it belongs to a trait, and so does its name.

use super::{SourceFile, files, none, pages::type_name};
use std::collections::BTreeMap;

/// Where each type name is defined.
fn definitions(pages: &[SourceFile]) -> BTreeMap<&str, Vec<String>> {
    let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for page in pages {
        for (number, line) in page.text.lines().enumerate() {
            if let Some(name) = type_name(line) {
                found.entry(name).or_default().push(format!("{}:{}", page.path, number + 1));
            }
        }
    }
    found
}

#[test]
fn a_type_name_stands_for_one_thing() {
    let pages = files("rs");
    let shared = definitions(&pages).into_iter().filter(|(_, definitions)| definitions.len() > 1);
    none(
        shared
            .map(|(name, definitions)| {
                format!("{name} is defined {} times: {}", definitions.len(), definitions.join(", "))
            })
            .collect(),
    );
}

#[test]
fn definitions_are_found_in_every_spelling() {
    let page = |path: &str, text: &str| SourceFile {
        path: path.to_owned(),
        text: text.to_owned(),
        is_test: false,
    };
    let pages = [
        page("a.rs", "pub struct Chain {\npub(super) enum Chain<T> {\n    struct Inner;"),
        page("b.rs", "type Chain<'a> = &'a str;\n    type Output = Chain;\nunsafe trait Inner {"),
        page("c.rs", "// struct Chain\nlet text = \"struct Chain\";\nfn structure(chain: Chain) {"),
    ];
    let found = definitions(&pages);
    assert_eq!(found["Chain"], ["a.rs:1", "a.rs:2", "b.rs:1"]);
    assert_eq!(found["Inner"], ["a.rs:3", "b.rs:3"]);
    assert_eq!(found.len(), 2, "{found:?}");
}
