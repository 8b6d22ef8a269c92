//! Imports at the top of a file: few enough to be read.
//!
//! A file that needs many names from many places holds two things, or should name a module and say
//! `v1::Task`. What a file passes on (`pub use`) is no import: it is the contents of a door.

use super::{SourceFile, files, none};

/// Most lines of imports of one file. At it, the file is split, or modules are imported instead of
/// what is in them.
const IMPORT_LINES_MAX: usize = 15;

/// The `use` statements that stand on their own in a file, line by line.
fn imports(page: &SourceFile) -> Vec<&str> {
    let mut found = Vec::new();
    let mut inside = false;
    for line in page.text.lines() {
        inside |= line.starts_with("use ");
        if inside {
            found.push(line);
        }
        inside &= !line.split("//").next().unwrap_or_default().contains(';');
    }
    found
}

#[test]
fn imports_fit_on_a_few_lines() {
    let pages = files("rs");
    let long = pages.iter().map(|page| (page, imports(page).len()));
    none(
        long.filter(|(_, lines)| *lines > IMPORT_LINES_MAX)
            .map(|(page, lines)| {
                format!("{}: {lines} lines of imports, at most {IMPORT_LINES_MAX}", page.path)
            })
            .collect(),
    );
}

/// A file that imports all of its parent's names hides how many it needs.
#[test]
fn only_tests_import_all_of_their_parent() {
    let pages = files("rs");
    let code = pages.iter().filter(|page| !page.is_test);
    let all = code.filter(|page| {
        page.code().iter().any(|line| {
            line.starts_with("use super::") && line.trim_end_matches(';').ends_with("super::*")
        })
    });
    none(all.map(|page| format!("{}: name what is imported from above", page.path)).collect());
}

#[test]
fn statements_are_counted_to_their_end() {
    let text = "use a::b;\npub use c::d;\nuse e::{\n    f, // g;\n    h,\n};\nfn f() {\n    use i::j;\n}\n";
    let page = SourceFile { path: "a.rs".into(), text: text.into(), is_test: false };
    assert_eq!(imports(&page), ["use a::b;", "use e::{", "    f, // g;", "    h,", "};"]);
}
