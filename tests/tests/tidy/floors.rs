//! Floors and circles: which module may import which, within a crate.
//!
//! A crate whose modules import each other in a circle has no order in which it could be read.
//! Imports are read as text: `use` trees and paths that begin with `crate` or `super`. A name that
//! a module passes on (`pub use`) counts as an import of the module that it comes from.

use super::{SourceFile, files, none};
use std::collections::{BTreeMap, BTreeSet};

/// Source folders of the crates in which no module imports itself by a detour.
const WITHOUT_CIRCLES: [&str; 8] = [
    "src",
    "log/src",
    "proto/src",
    "projections/src",
    "reconcilers/src",
    "gateway/src",
    "agent/src",
    "trust/src",
];

/// The floors of the log, from the ground up. A module imports from its own floor and from those
/// below.
const LOG_FLOORS: [&[&str]; 6] = [
    &["chain", "entry", "failure", "fence", "fold", "testing"],
    &["disk"],
    &["history"],
    &["raft"],
    &["life"],
    &["log", "simulated"],
];

/// A crate's modules: each with its path (`["life", "single"]`) and its code.
struct Crate {
    modules: BTreeMap<Vec<String>, Vec<String>>,
}

/// One path that code names, segment by segment, and whether the module only passes it on.
struct Import {
    path: Vec<String>,
    passed_on: bool,
}

impl Crate {
    fn read(folder: &str, pages: &[SourceFile]) -> Crate {
        let root = format!("{folder}/");
        let modules = pages.iter().filter(|page| !page.is_test).filter_map(|page| {
            let name = page.path.strip_prefix(&root)?.strip_suffix(".rs")?;
            let path = match name {
                "lib" | "main" => Vec::new(),
                name => name.split('/').map(str::to_owned).collect(),
            };
            let lines =
                page.code().into_iter().map(|line| line.split("//").next().unwrap_or_default());
            Some((path, lines.map(str::to_owned).collect()))
        });
        Crate { modules: modules.collect() }
    }

    /// The module that a path leads to, and what is left of the path.
    fn find<'a>(&self, path: &'a [String]) -> (Vec<String>, &'a [String]) {
        let known = (0..=path.len())
            .rev()
            .find(|len| self.modules.contains_key(&path[..*len]))
            .unwrap_or(0);
        (path[..known].to_vec(), &path[known..])
    }

    /// The module that defines what a path names: names that are passed on are followed.
    fn home(&self, path: &[String]) -> Vec<String> {
        let (module, rest) = self.find(path);
        let Some(name) = rest.first() else { return module };
        let passed_on = self.imports(&module).into_iter().find(|import| {
            import.passed_on && import.path.last() == Some(name) && import.path[..] != *path
        });
        passed_on.map_or(module, |import| self.home(&import.path))
    }

    /// All paths within the crate that a module names.
    fn imports(&self, module: &[String]) -> Vec<Import> {
        let code = self.modules.get(module).map_or(String::new(), |lines| lines.join("\n"));
        let mut found = Vec::new();
        let mut rest = code.as_str();
        while let Some((at, word)) = ["crate::", "super::", "self::", "use "]
            .iter()
            .filter_map(|word| Some((rest.find(word)?, *word)))
            .min_by_key(|(at, _)| *at)
        {
            let before = &rest[..at];
            let within_word =
                before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
            if within_word {
                rest = &rest[at + word.len()..];
                continue;
            }
            let is_use = word == "use ";
            let passed_on =
                is_use && before.trim_end().rsplit('\n').next().is_some_and(|l| l.contains("pub"));
            let start = if is_use { at + word.len() } else { at };
            let end = rest[start..]
                .find(if is_use { ';' } else { ' ' })
                .map_or(rest.len(), |end| start + end);
            let mut paths = Vec::new();
            expand(&rest[start..end], &[], &mut paths);
            let absolute = paths.into_iter().filter_map(|path| self.absolute(module, path));
            found.extend(absolute.map(|path| Import { path, passed_on }));
            rest = &rest[if is_use { end } else { start + word.len() }..];
        }
        found
    }

    fn absolute(&self, module: &[String], path: Vec<String>) -> Option<Vec<String>> {
        let mut base = match path.first()?.as_str() {
            "crate" => Vec::new(),
            "super" => module[..module.len().saturating_sub(1)].to_vec(),
            "self" => module.to_vec(),
            // A child of this module, or a package.
            child => {
                let below = [module, &[child.to_owned()]].concat();
                return self.modules.contains_key(&below).then(|| [module, &path[..]].concat());
            }
        };
        for segment in &path[1..] {
            match segment.as_str() {
                "super" => drop(base.pop()),
                "self" => {}
                segment => base.push(segment.to_owned()),
            }
        }
        Some(base)
    }

    /// Each module with those that it imports.
    fn edges(&self) -> BTreeMap<Vec<String>, BTreeSet<Vec<String>>> {
        let of = |module: &Vec<String>| {
            let imports = self.imports(module).into_iter().filter(|import| !import.passed_on);
            let homes = imports.map(|import| self.home(&import.path));
            homes.filter(|home| home != module && !home.is_empty()).collect()
        };
        self.modules.keys().map(|module| (module.clone(), of(module))).collect()
    }
}

/// `a::{b, c::d}` as `a::b` and `a::c::d`.
fn expand(tree: &str, before: &[String], paths: &mut Vec<Vec<String>>) {
    let tree = tree.trim();
    let end =
        tree.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(tree.len());
    let segments = tree[..end].split("::").filter(|segment| !segment.is_empty()).map(str::to_owned);
    let path: Vec<String> = before.iter().cloned().chain(segments).collect();
    match tree[end..].trim_start().strip_prefix('{') {
        Some(list) => {
            let mut depth = 0;
            let mut start = 0;
            for (at, letter) in list.char_indices() {
                match letter {
                    '{' => depth += 1,
                    '}' if depth > 0 => depth -= 1,
                    ',' | '}' if depth == 0 => {
                        if !list[start..at].trim().is_empty() {
                            expand(&list[start..at], &path, paths);
                        }
                        start = at + 1;
                        if letter == '}' {
                            return;
                        }
                    }
                    _ => {}
                }
            }
        }
        None => paths.push(path),
    }
}

/// A way from a module back to itself.
fn circle(
    edges: &BTreeMap<Vec<String>, BTreeSet<Vec<String>>>,
    start: &[String],
) -> Option<Vec<String>> {
    let mut seen = BTreeSet::new();
    let mut ways = vec![vec![start.to_vec()]];
    while let Some(way) = ways.pop() {
        for next in edges.get(way.last()?).into_iter().flatten() {
            if next == start {
                return Some(way.iter().map(|module| module.join("::")).collect());
            }
            if seen.insert(next.clone()) {
                ways.push([&way[..], std::slice::from_ref(next)].concat());
            }
        }
    }
    None
}

#[test]
fn modules_do_not_import_in_circles() {
    let pages = files("rs");
    let mut found = Vec::new();
    for folder in WITHOUT_CIRCLES {
        let edges = Crate::read(folder, &pages).edges();
        assert!(
            edges.values().any(|imports| !imports.is_empty()),
            "{folder} has no imports to be checked"
        );
        let circles = edges.keys().filter_map(|module| circle(&edges, module));
        found.extend(circles.map(|way| format!("{folder}: {} ─► itself", way.join(" ─► "))));
    }
    none(found);
}

/// Each top module with those that it or anything below it imports.
fn top_edges(krate: &Crate) -> BTreeMap<Vec<String>, BTreeSet<Vec<String>>> {
    let top = |module: &Vec<String>| module.first().cloned().into_iter().collect::<Vec<String>>();
    let mut edges: BTreeMap<Vec<String>, BTreeSet<Vec<String>>> = BTreeMap::new();
    for (module, imports) in krate.edges() {
        let others = imports.iter().map(top).filter(|home| *home != top(&module));
        edges.entry(top(&module)).or_default().extend(others);
    }
    edges
}

#[test]
fn the_gateways_top_modules_do_not_import_in_circles() {
    let edges = top_edges(&Crate::read("gateway/src", &files("rs")));
    assert!(edges.len() > 10, "{edges:?}");
    let circles = edges.keys().filter(|module| !module.is_empty());
    let circles = circles.filter_map(|module| circle(&edges, module));
    none(circles.map(|way| format!("{} ─► itself", way.join(" ─► "))).collect());
}

#[test]
fn the_log_imports_downwards() {
    let floor = |module: &[String]| {
        let room = module.first()?;
        LOG_FLOORS.iter().position(|rooms| rooms.contains(&room.as_str()))
    };
    let mut found = Vec::new();
    for (module, imports) in Crate::read("log/src", &files("rs")).edges() {
        if !module.is_empty() && floor(&module).is_none() {
            found.push(format!("log/src/{}.rs stands on no floor", module.join("/")));
        }
        let upwards = imports.iter().filter(|home| floor(home) > floor(&module));
        found.extend(upwards.map(|home| {
            format!("log: {} imports {}, upwards", module.join("::"), home.join("::"))
        }));
    }
    none(found);
}

#[test]
fn openraft_and_rocksdb_are_named_in_one_place_each() {
    let places = [("openraft", "log/src/raft"), ("rocksdb", "log/src/disk/store/rocks")];
    let mut found = Vec::new();
    for page in files("rs").iter().filter(|page| page.path.starts_with("log/src/")) {
        for (number, line) in page.text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let elsewhere = places.iter().filter(|(name, place)| {
                code.contains(&format!("{name}::")) && !page.path.starts_with(place)
            });
            found.extend(elsewhere.map(|(name, place)| {
                format!("{}:{}: {name} is named in {place} alone", page.path, number + 1)
            }));
        }
    }
    none(found);
}

#[test]
fn imports_are_found_wherever_they_stand() {
    let mut paths = Vec::new();
    expand("crate::{a::{b, C}, d}", &[], &mut paths);
    let joined: Vec<String> = paths.iter().map(|path| path.join("::")).collect();
    assert_eq!(joined, ["crate::a::b", "crate::a::C", "crate::d"]);
    let modules = [
        ("a", "use super::b::Thing;\npub(crate) use inner::Deep;"),
        ("a/inner", "pub(crate) struct Deep;"),
        ("b", "fn f(x: crate::a::Deep) {}\nfn g() { crate::a::h() }"),
    ];
    let modules = modules.map(|(path, code)| {
        (path.split('/').map(str::to_owned).collect(), code.lines().map(str::to_owned).collect())
    });
    let edges = Crate { modules: BTreeMap::from(modules) }.edges();
    let of = |module: &str| {
        let path: Vec<String> = module.split('/').map(str::to_owned).collect();
        edges[&path].iter().map(|home| home.join("::")).collect::<Vec<_>>()
    };
    assert_eq!(of("a"), ["b"], "what is passed on is no import of one's own");
    assert_eq!(of("b"), ["a", "a::inner"]);
    assert!(circle(&edges, &["a".to_owned()]).is_some());
}
