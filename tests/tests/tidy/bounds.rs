//! The tables in `docs/bounds.md` are made from the constants themselves, so that neither can be
//! wrong alone. `ARCHITECTURE.md` shows the rows that matter most.
//!
//! A constant is a bound if a word of its name says so (see [`SIGNS`]): `MAX` and `MIN` for
//! amounts, `LIMIT` for a time that ends something, `PERIOD` for what repeats, `DELAY` for a wait.
//! Its doc comment says what happens at the bound; that sentence is the table's third column. After
//! a change of a bound, rewrite the table:
//!
//! ```sh
//! cargo test -p skep-tests --test tidy -- --ignored write_the_table_of_bounds
//! ```

use super::{SourceFile, files, none, root};
use std::{fmt::Write, fs};

/// Words in a constant's name that make it a bound.
const SIGNS: [&str; 8] = ["MAX", "MIN", "LIMIT", "LIMITS", "PERIOD", "PERIODS", "DELAY", "AFTER"];
/// Units that show a constant to be an amount: such a constant is a bound and has a sign, unless it
/// stands in [`NO_BOUNDS`].
const UNITS: [&str; 5] = ["BYTES", "NS", "MS", "US", "S"];
/// Amounts that bound nothing: sizes of formats, units, estimates, defaults.
const NO_BOUNDS: [&str; 23] = [
    "CERTIFICATE_EXPIRY_NS",
    "DAY_NS",
    "ENTRY_PREFIX_BYTES",
    "EVENT_BYTES",
    "FOUNDING_BYTES",
    "MEMBERSHIP_REQUEST_BYTES",
    "FRAME_HEADER_BYTES",
    "GREETING_BYTES",
    "HEADER_BYTES",
    "NEWS_BYTES",
    "OVERLAP_S",
    "PORT_BYTES",
    "READ_BYTES",
    "RENEWAL_BYTES",
    "REQUEST_BYTES",
    "RING_ENTRY_OVERHEAD_BYTES",
    "S",
    "SALT_BYTES",
    "SECOND_NS",
    "SHORT_BYTES",
    "SLOT_BYTES",
    "TAIL_ENTRY_OVERHEAD_BYTES",
    "TICK_NS",
];
/// Where the generated part of the page begins; it goes on to its end.
const HEADING: &str = "\n## In front of the log\n";
/// The sections of the table: title, and the folders whose constants it holds.
const SECTIONS: [(&str, &[&str]); 7] = [
    ("In front of the log", &["gateway/src/"]),
    ("Deciding", &["reconcilers/src/"]),
    ("In the view", &["projections/src/"]),
    ("In the log", &["log/src/"]),
    ("On the node", &["agent/src/"]),
    ("Between nodes", &["trust/src/"]),
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
    let mut bounds: Vec<Bound> = pages.iter().filter(shipped).flat_map(bounds_of).collect();
    // A bound may be a multiple of another one.
    let written: Vec<(String, String)> =
        bounds.iter().map(|bound| (bound.name.clone(), bound.value.clone())).collect();
    for bound in &mut bounds {
        for (name, value) in written.iter().filter(|(_, value)| evaluate(value).is_some()) {
            bound.value = bound.value.replace(&format!(" * {name}"), &format!(" * {value}"));
        }
        bound.value = told(&bound.name, &bound.value);
    }
    bounds
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
            found.push(Bound { value, name, about, path: page.path.clone() });
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
    // Text for an engine, which writes a size as Docker does.
    if let Some(text) = value.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        let mebibytes = text.strip_suffix('m').map(|number| format!("{number} MiB"));
        return mebibytes.unwrap_or_else(|| text.to_owned());
    }
    if let Some(mode) = value.strip_prefix("0o") {
        return format!("{mode} (octal)");
    }
    match evaluate(value) {
        Some(number) if name.starts_with("NANO_CPUS") => {
            format!("{} CPUs", number as f64 / 1e9)
        }
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
    let text =
        text.replace("_ns", "").replace(" as u64", "").replace("time::SECOND_NS", "SECOND_NS");
    if let Some((left, right)) = text.split_once(" << ") {
        return Some(evaluate(left)? << evaluate(right)?);
    }
    if let Some((left, right)) = text.rsplit_once(" - ") {
        return Some(evaluate(left)? - evaluate(right)?);
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
        "SECOND_NS" | "NANO_CPUS" => Some(1_000_000_000),
        "u32::MAX" => Some(u128::from(u32::MAX)),
        number => number.replace('_', "").parse().ok(),
    }
}

fn duration(ns: u128) -> String {
    let units = [
        (24 * 3_600_000_000_000, "d"),
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
        write!(out, "\n## {title}\n\n").unwrap();
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

/// The page in two parts: what a person wrote, and the tables.
fn parts(page: &str) -> (&str, &str) {
    page.split_at(page.find(HEADING).expect("docs/bounds.md has the tables of bounds"))
}

#[test]
fn the_table_of_bounds_is_what_the_constants_say() {
    let page = fs::read_to_string(root().join("docs/bounds.md")).unwrap();
    let bounds = bounds();
    let mut found: Vec<String> = bounds
        .iter()
        .filter(|bound| bound.about.is_empty())
        .map(|bound| format!("{}: {} does not say what happens at it", bound.path, bound.name))
        .collect();
    let (_, stands) = parts(&page);
    let made = table(&bounds);
    let differs = |a: &str, b: &str| -> Vec<String> {
        a.lines().filter(|line| !b.lines().any(|other| other == *line)).map(str::to_owned).collect()
    };
    found.extend(differs(&made, stands).iter().map(|row| format!("docs/bounds.md lacks: {row}")));
    found.extend(
        differs(stands, &made)
            .iter()
            .map(|row| format!("docs/bounds.md has, and the code has not: {row}")),
    );
    if found.is_empty() && made != stands {
        found.push("docs/bounds.md: rows are doubled, or stand in another order".into());
    }
    if !found.is_empty() {
        found.push(
            "cargo test -p skep-tests --test tidy -- --ignored write_the_table_of_bounds".into(),
        );
    }
    none(found);
}

/// The architecture shows some of the rows, word for word.
#[test]
fn the_bounds_of_the_architecture_are_those_of_the_code() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, after) = page.split_once("\n## Bounds\n").expect("the architecture names bounds");
    let section = after.split_once("\n## ").map_or(after, |(section, _)| section);
    let made = table(&bounds());
    let shown = section.lines().filter(|line| line.starts_with("| `"));
    let wrong = shown.filter(|row| !made.lines().any(|line| line == *row));
    none(wrong.map(|row| format!("ARCHITECTURE.md differs from docs/bounds.md: {row}")).collect());
}

/// A name that stood for two bounds would be looked up at the wrong one.
#[test]
fn a_bounds_name_stands_for_one_bound() {
    let bounds = bounds();
    let doubled = bounds.iter().filter(|bound| {
        bounds.iter().any(|other| other.name == bound.name && other.path != bound.path)
    });
    none(
        doubled
            .map(|bound| format!("{}: {} has another meaning", bound.path, bound.name))
            .collect(),
    );
}

#[test]
fn amounts_and_times_are_named_as_bounds() {
    let pages = files("rs");
    let mut found = Vec::new();
    let shipped = |page: &&SourceFile| {
        let folders = SECTIONS.iter().flat_map(|(_, folders)| *folders);
        !page.is_test && folders.into_iter().any(|folder| page.path.starts_with(folder))
    };
    for page in pages.iter().filter(shipped) {
        for line in page.code() {
            if let Some(name) = amount(line).filter(|name| !NO_BOUNDS.contains(name)) {
                found.push(format!("{}: {name} needs one of {SIGNS:?} in its name", page.path));
            }
        }
    }
    none(found);
}

/// The name of an amount or time that has no sign of a bound.
fn amount(line: &str) -> Option<&str> {
    let (before, after) = line.trim_start().split_once("const ")?;
    let (name, value) = after.split_once(": ")?;
    let words = || name.split('_');
    let is_item = before.is_empty() || before.starts_with("pub");
    let is_amount = value.starts_with("Duration") || words().any(|word| UNITS.contains(&word));
    let is_text = value.starts_with('&') || value.starts_with('[');
    (is_item && is_amount && !is_text && !words().any(|word| SIGNS.contains(&word))).then_some(name)
}

#[test]
#[ignore = "writes the tables of bounds into docs/bounds.md"]
fn write_the_table_of_bounds() {
    let path = root().join("docs/bounds.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, _) = parts(&page);
    fs::write(&path, format!("{before}{}", table(&bounds()))).unwrap();
}

#[test]
fn values_are_told_as_people_write_them() {
    let cases = [
        ("STEP_RETRY_DELAY_NS_MIN", "SECOND_NS / 2", "500 ms"),
        ("LOST_AFTER_NS", "24 * 3_600 * SECOND_NS", "1 d"),
        ("CALL_LIMIT", "Duration::from_secs(20)", "20 s"),
        ("COMMAND_BYTES_MAX", "3 << 19", "1.5 MiB"),
        ("WORDS_BYTES_MAX", "2_048", "2 KiB"),
        ("REPLICAS_MAX", "1_000_000", "1,000,000"),
        ("FREE_SHARE_MIN", "0.05", "5 %"),
        ("NANO_CPUS_LIMIT_MIN", "NANO_CPUS / 100", "0.01 CPUs"),
        ("SLOT_MAX", "u32::MAX as u64 - 1", "4,294,967,294"),
        ("MODE_MAX", "0o7777", "7777 (octal)"),
        ("FILE_SIZE_MAX", "\"10m\"", "10 MiB"),
    ];
    for (name, value, wanted) in cases {
        assert_eq!(told(name, value), wanted, "{name} = {value}");
    }
}
