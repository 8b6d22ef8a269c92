//! The list of semantic faults in `tests/faults`, and how they are planted.
//!
//! A fault is a paragraph: its name behind `=== `, a sentence that says what is wrong, the file,
//! and a snippet that occurs once in the file. What stands between « and » in the snippet is an
//! expression or a statement; behind `=> ` stands what replaces it. Each fault is compiled in
//! behind a switch of its own, so that one build serves for all.

use anyhow::{Context, Result};
use std::{collections::BTreeMap, fs, path::Path};

/// Where the switch is added, and what it is.
const SWITCH: (&str, &str) = (
    "proto/src/lib.rs",
    "\n/// The fault that is switched on.\npub fn fault(name: &str) -> bool {\n    \
     static ON: std::sync::OnceLock<String> = std::sync::OnceLock::new();\n    \
     ON.get_or_init(|| std::env::var(\"SKEP_FAULT\").unwrap_or_default()) == name\n}\n",
);

/// A fault of the list.
pub struct PlantedFault {
    /// What it is called.
    pub name: String,
    file: String,
    before: String,
    old: String,
    after: String,
    new: String,
}

/// All faults of the list below a repository's folder.
pub fn all(root: &Path) -> Result<Vec<PlantedFault>> {
    let mut files: Vec<_> = fs::read_dir(root.join("tests/faults"))?
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

fn read(paragraph: &str) -> Result<PlantedFault> {
    let mut lines = paragraph.splitn(4, '\n');
    let name = lines.next().context("it has no name")?.trim().to_owned();
    lines.next().context("it has no sentence")?;
    let file = lines.next().context("it has no file")?.trim().to_owned();
    let (snippet, new) =
        lines.next().context("it has no snippet")?.split_once("\n=> ").context("no `=> `")?;
    let (before, rest) = snippet.split_once('«').context("no «")?;
    let (old, after) = rest.split_once('»').context("no »")?;
    let owned = |text: &str| text.to_owned();
    Ok(PlantedFault {
        name,
        file,
        before: owned(before),
        old: owned(old),
        after: owned(after),
        new: owned(new.trim()),
    })
}

/// Where a fault is planted: faults of one place are told apart by the switch alone.
type Snippet<'a> = (&'a str, &'a str, &'a str, &'a str);

/// What a repository becomes when all faults are planted.
#[derive(Default)]
pub struct Planted {
    /// The files that change, and what stands in them.
    texts: BTreeMap<String, String>,
    /// Faults whose snippet does not occur exactly once, and what was found instead.
    pub unplaced: Vec<String>,
}

/// Plants all faults into the texts of a repository; writes nothing.
pub fn plant(faults: &[PlantedFault], root: &Path) -> Planted {
    let mut snippets: BTreeMap<Snippet<'_>, Vec<&PlantedFault>> = BTreeMap::new();
    for fault in faults {
        snippets
            .entry((&fault.file, &fault.before, &fault.old, &fault.after))
            .or_default()
            .push(fault);
    }
    let mut planted = Planted::default();
    for ((file, before, old, after), faults) in snippets {
        let original = fs::read_to_string(root.join(file)).unwrap_or_default();
        let snippet = format!("{before}{old}{after}");
        let text = planted.texts.entry(file.to_owned()).or_insert_with(|| original.clone());
        let (once, still) = (original.matches(&snippet).count(), text.matches(&snippet).count());
        if once == 1 && still == 1 {
            let switched = format!("{before}{}{after}", switched(old, &faults));
            *text = text.replacen(&snippet, &switched, 1);
            continue;
        }
        let why = if once == 1 {
            format!("its snippet overlaps another one in {file}")
        } else {
            format!("its snippet occurs {once} times in {file}")
        };
        planted.unplaced.extend(faults.iter().map(|fault| format!("{}: {why}", fault.name)));
    }
    planted
}

impl Planted {
    /// Writes the changed files, and the switch, into a copy of the repository.
    pub fn write(self, copy: &Path) -> Result<()> {
        for (file, text) in self.texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            fs::write(copy.join(file), text)?;
        }
        let (file, switch) = SWITCH;
        let path = copy.join(file);
        let text = fs::read_to_string(&path)? + switch;
        fs::write(path, text)?;
        Ok(())
    }
}

/// What stood there, and before it what stands there while one of the faults is switched on.
fn switched(old: &str, faults: &[&PlantedFault]) -> String {
    let branch = |fault: &&PlantedFault| {
        format!("if skep_proto::fault({:?}) {{ {} }} else ", fault.name, fault.new)
    };
    let branches: String = faults.iter().map(branch).collect();
    let block = format!("{{ {branches}{{ {old} }} }}");
    // An expression is kept apart from what stands around it.
    if old.ends_with(';') { block } else { format!("({block})") }
}
