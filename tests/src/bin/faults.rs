//! Plants the semantic faults of `tests/faults` into a copy of the repository: `faults plant ROOT
//! COPY`, `faults names ROOT`.
//!
//! All faults are compiled into one program. Each stands behind a switch of its own, so that one
//! build serves for all, and the environment variable `SKEP_FAULT` names the one that is switched
//! on. The copy is thrown away afterwards.
//!
//! A fault is a paragraph: its name behind `=== `, a sentence that says what is wrong, the file,
//! and a snippet that occurs once in the file. What stands between « and » in the snippet is an
//! expression or a statement; behind `=> ` stands what replaces it.

#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

use anyhow::{Context, Result, bail};
use std::{collections::BTreeMap, env, fs, path::Path};

/// Where the switch is added, and what it is.
const SWITCH: (&str, &str) = (
    "proto/src/lib.rs",
    "\n/// The fault that is switched on.\npub fn fault(name: &str) -> bool {\n    \
     static ON: std::sync::OnceLock<String> = std::sync::OnceLock::new();\n    \
     ON.get_or_init(|| std::env::var(\"SKEP_FAULT\").unwrap_or_default()) == name\n}\n",
);

struct Fault {
    name: String,
    file: String,
    before: String,
    old: String,
    after: String,
    new: String,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["names", root] => faults(root)?.iter().for_each(|fault| println!("{}", fault.name)),
        ["plant", root, copy] => plant(&faults(root)?, root, copy)?,
        _ => bail!("faults plant ROOT COPY, or faults names ROOT"),
    }
    Ok(())
}

fn faults(root: &str) -> Result<Vec<Fault>> {
    let mut files: Vec<_> = fs::read_dir(Path::new(root).join("tests/faults"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.sort();
    let mut all = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file)?;
        for paragraph in text.split("\n=== ").skip(1) {
            let name = paragraph.lines().next().unwrap_or_default();
            all.push(read(paragraph).with_context(|| format!("{}: fault {name}", file.display()))?);
        }
    }
    Ok(all)
}

fn read(paragraph: &str) -> Result<Fault> {
    let mut lines = paragraph.splitn(4, '\n');
    let name = lines.next().context("it has no name")?.trim().to_owned();
    lines.next().context("it has no sentence")?;
    let file = lines.next().context("it has no file")?.trim().to_owned();
    let (snippet, new) =
        lines.next().context("it has no snippet")?.split_once("\n=> ").context("no `=> `")?;
    let (before, rest) = snippet.split_once('«').context("no «")?;
    let (old, after) = rest.split_once('»').context("no »")?;
    let owned = |text: &str| text.to_owned();
    Ok(Fault {
        name,
        file,
        before: owned(before),
        old: owned(old),
        after: owned(after),
        new: owned(new.trim()),
    })
}

/// The place of a fault: faults of one place are told apart by the switch alone.
type Place<'a> = (&'a str, &'a str, &'a str, &'a str);

fn plant(faults: &[Fault], root: &str, copy: &str) -> Result<()> {
    let mut places: BTreeMap<Place<'_>, Vec<&Fault>> = BTreeMap::new();
    for fault in faults {
        places
            .entry((&fault.file, &fault.before, &fault.old, &fault.after))
            .or_default()
            .push(fault);
    }
    let mut texts: BTreeMap<&str, String> = BTreeMap::new();
    for ((file, before, old, after), faults) in places {
        let original = fs::read_to_string(Path::new(root).join(file)).unwrap_or_default();
        let snippet = format!("{before}{old}{after}");
        let text = texts.entry(file).or_insert_with(|| original.clone());
        let (once, still) = (original.matches(&snippet).count(), text.matches(&snippet).count());
        if once != 1 || still != 1 {
            for fault in faults {
                println!("skipped {}: its snippet occurs {once} times in {file}", fault.name);
            }
            continue;
        }
        *text = text.replacen(&snippet, &format!("{before}{}{after}", switched(old, &faults)), 1);
    }
    for (file, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        fs::write(Path::new(copy).join(file), text)?;
    }
    let (file, switch) = SWITCH;
    let path = Path::new(copy).join(file);
    let text = fs::read_to_string(&path)? + switch;
    fs::write(path, text)?;
    Ok(())
}

/// What stood there, and before it what stands there while one of the faults is switched on.
fn switched(old: &str, faults: &[&Fault]) -> String {
    let branch = |fault: &&Fault| {
        format!("if skep_proto::fault({:?}) {{ {} }} else ", fault.name, fault.new)
    };
    let branches: String = faults.iter().map(branch).collect();
    let block = format!("{{ {branches}{{ {old} }} }}");
    // An expression is kept apart from what stands around it.
    if old.ends_with(';') { block } else { format!("({block})") }
}
