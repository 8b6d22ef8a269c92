//! The table of bounds in `ARCHITECTURE.md` is made from the constants themselves, so that neither
//! can be wrong alone.
//!
//! A constant is a bound if a word of its name says so (see [`SIGNS`]). Its doc comment says what
//! happens at the bound; that sentence is the table's third column. After a change of a bound,
//! write the table anew:
//!
//! ```sh
//! cargo test -p skep-tests --test tidy -- --ignored write_the_table_of_bounds
//! ```

use super::{SourceFile, files, none, root};
use std::{fmt::Write, fs};

/// Words in a constant's name that make it a bound.
const SIGNS: [&str; 7] = ["MAX", "MIN", "LIMIT", "LIMITS", "PERIOD", "PERIODS", "AFTER"];
/// Where the generated part of the page begins, and the heading after it.
const HEADING: &str = "\n**In front of the log**\n";
const NEXT_HEADING: &str = "\n## Where decisions are explained\n";
/// The sections of the table: title, and the folders whose constants it holds.
const SECTIONS: [(&str, &[&str]); 6] = [
    ("In front of the log", &["gateway/src/"]),
    ("Deciding", &["reconcilers/src/"]),
    ("In the view", &["projections/src/"]),
    ("In the log", &["log/src/"]),
    ("On the node", &["agent/src/"]),
    ("The program, and what all share", &["src/", "proto/src/"]),
];

/// One constant that bounds something.
#[derive(Debug)]
struct Bound {
    name: String,
    value: String,
    about: String,
    path: String,
}

impl Bound {
    fn row(&self) -> String {
        format!("| `{}` | {} | {} | `{}` |", self.name, self.value, self.about, self.path)
    }
}

/// All bounds of the code that ships, in the order of their files.
fn bounds() -> Vec<Bound> {
    let pages = files("rs");
    let shipped = |page: &&SourceFile| {
        let path = page.path.as_str();
        let folders = SECTIONS.iter().flat_map(|(_, folders)| *folders);
        !page.is_test && folders.into_iter().any(|folder| path.starts_with(folder))
    };
    pages.iter().filter(shipped).flat_map(bounds_of).collect()
}

fn bounds_of(page: &SourceFile) -> Vec<Bound> {
    let mut found = Vec::new();
    let mut about: Vec<&str> = Vec::new();
    let code = page.code();
    for (number, line) in code.iter().enumerate() {
        let trimmed = line.trim();
        if let Some(comment) = trimmed.strip_prefix("///") {
            about.push(comment.trim());
            continue;
        }
        if let Some((name, value)) = constant(trimmed, &code[number..]) {
            let about = std::mem::take(&mut about).join(" ");
            let about = about.trim_end_matches('.').replace('|', "\\|");
            found.push(Bound { value: told(&name, &value), name, about, path: page.path.clone() });
        }
        if !trimmed.starts_with("#[") {
            about.clear();
        }
    }
    found
}

/// Name and value of the bound that this line defines; a long value goes on in the lines below.
fn constant(line: &str, rest: &[&str]) -> Option<(String, String)> {
    let (_, after) = line.split_once("const ")?;
    let (name, _) = after.split_once(':')?;
    let before = line.split("const ").next()?;
    let is_item = before.is_empty() || before.starts_with("pub");
    let is_bound = name.split('_').any(|word| SIGNS.contains(&word));
    if !is_item || !is_bound {
        return None;
    }
    let whole = rest.join(" ");
    let value = whole.split_once(" = ")?.1.split(';').next()?.trim().to_owned();
    Some((name.to_owned(), value))
}

/// The value as a person would write it, with its unit.
fn told(name: &str, value: &str) -> String {
    let inner = |call: &str| {
        let rest = value.split(&format!("{call}(")).nth(1)?;
        evaluate(rest.split(')').next()?)
    };
    let nanoseconds = [
        ("from_secs", 1_000_000_000),
        ("from_millis", 1_000_000),
        ("from_micros", 1_000),
        ("from_mins", 60_000_000_000),
        ("from_hours", 3_600_000_000_000),
    ];
    for (call, unit) in nanoseconds {
        if let Some(number) = inner(call) {
            return duration(number * unit);
        }
    }
    let words: Vec<&str> = name.split('_').collect();
    match evaluate(value) {
        Some(number) if words.contains(&"NS") => duration(number),
        Some(number) if words.contains(&"MS") => duration(number * 1_000_000),
        Some(number) if words.contains(&"US") => duration(number * 1_000),
        Some(number) if words.contains(&"BYTES") => size(number),
        Some(number) => grouped(number),
        None => match value.parse::<f64>() {
            Ok(share) if words.contains(&"SHARE") => format!("{:.0} %", share * 100.0),
            Ok(_) | Err(_) => format!("`{value}`"),
        },
    }
}

/// Sums, products, quotients and shifts of whole numbers, from left to right as these constants are
/// written.
fn evaluate(text: &str) -> Option<u128> {
    let text = text.replace("_ns", "").replace(" as u64", "");
    if let Some((left, right)) = text.split_once(" << ") {
        return Some(evaluate(left)? << evaluate(right)?);
    }
    if let Some((left, right)) = text.rsplit_once(" + ") {
        return Some(evaluate(left)? + evaluate(right)?);
    }
    if let Some((left, right)) = text.rsplit_once(" / ") {
        return Some(evaluate(left)? / evaluate(right)?);
    }
    if let Some((left, right)) = text.rsplit_once(" * ") {
        return Some(evaluate(left)? * evaluate(right)?);
    }
    match text.trim() {
        "SECOND_NS" => Some(1_000_000_000),
        number => number.replace('_', "").parse().ok(),
    }
}

fn duration(ns: u128) -> String {
    let units = [
        (3_600_000_000_000, "h"),
        (60_000_000_000, "min"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
    ];
    let fits = units.iter().find(|(unit, _)| ns >= *unit && ns.is_multiple_of(*unit));
    fits.map_or_else(
        || format!("{} µs", ns / 1_000),
        |(unit, sign)| format!("{} {sign}", ns / unit),
    )
}

fn size(bytes: u128) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let fits = units.iter().find(|(unit, _)| bytes >= *unit && (bytes * 2).is_multiple_of(*unit));
    let Some((unit, sign)) = fits else { return format!("{} B", grouped(bytes)) };
    let half = if bytes.is_multiple_of(*unit) { "" } else { ".5" };
    format!("{}{half} {sign}", bytes / unit)
}

fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The tables as they must stand on the page.
fn table(bounds: &[Bound]) -> String {
    let mut out = String::new();
    for (title, folders) in SECTIONS {
        write!(out, "\n**{title}**\n\n").unwrap();
        out.push_str(
            "| bound | value | what it is, and what happens at it | where |\n|---|---|---|---|\n",
        );
        let here = |bound: &&Bound| folders.iter().any(|folder| bound.path.starts_with(folder));
        for bound in bounds.iter().filter(here) {
            writeln!(out, "{}", bound.row()).unwrap();
        }
    }
    out
}

/// The page in three parts: before the tables, the tables, after them.
fn parts(page: &str) -> (&str, &str, &str) {
    let from = page.find(HEADING).expect("ARCHITECTURE.md has the tables of bounds");
    let to = page.find(NEXT_HEADING).expect("ARCHITECTURE.md goes on after the tables of bounds");
    (&page[..from], &page[from..to], &page[to..])
}

#[test]
fn the_table_of_bounds_is_what_the_constants_say() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let bounds = bounds();
    let mut found: Vec<String> = bounds
        .iter()
        .filter(|bound| bound.about.is_empty())
        .map(|bound| format!("{}: {} does not say what happens at it", bound.path, bound.name))
        .collect();
    let (_, stands, _) = parts(&page);
    let made = table(&bounds);
    let differs = |a: &str, b: &str| -> Vec<String> {
        a.lines().filter(|line| !b.lines().any(|other| other == *line)).map(str::to_owned).collect()
    };
    found.extend(differs(&made, stands).iter().map(|row| format!("ARCHITECTURE.md lacks: {row}")));
    found.extend(
        differs(stands, &made)
            .iter()
            .map(|row| format!("ARCHITECTURE.md has, and the code has not: {row}")),
    );
    if found.is_empty() && made != stands {
        found.push("ARCHITECTURE.md: rows are doubled, or stand in another order".into());
    }
    if !found.is_empty() {
        found.push(
            "cargo test -p skep-tests --test tidy -- --ignored write_the_table_of_bounds".into(),
        );
    }
    none(found);
}

#[test]
#[ignore = "writes the table of bounds into ARCHITECTURE.md"]
fn write_the_table_of_bounds() {
    let path = root().join("ARCHITECTURE.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, _, after) = parts(&page);
    fs::write(&path, format!("{before}{}{after}", table(&bounds()))).unwrap();
}

#[test]
fn values_are_told_as_people_write_them() {
    let cases = [
        ("RETRY_NS_MIN", "SECOND_NS / 2", "500 ms"),
        ("LOST_AFTER_NS", "24 * 3_600 * SECOND_NS", "24 h"),
        ("CALL_LIMIT", "Duration::from_secs(20)", "20 s"),
        ("COMMAND_BYTES_MAX", "3 << 19", "1.5 MiB"),
        ("WORDS_BYTES_MAX", "2_048", "2 KiB"),
        ("REPLICAS_MAX", "1_000_000", "1,000,000"),
        ("FREE_SHARE_MIN", "0.05", "5 %"),
    ];
    for (name, value, wanted) in cases {
        assert_eq!(told(name, value), wanted, "{name} = {value}");
    }
}
