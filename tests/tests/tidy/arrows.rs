//! Who may import whom. An arrow that is missing here is a decision: see the code map in
//! `ARCHITECTURE.md`.
//!
//! The arrows keep the one-way flow honest: a reconciler that could reach the log would sooner or
//! later read it.

use super::{files, none, root};
use std::{collections::BTreeMap, fs};

/// Each package with the packages of ours that it may name. `skep-tests` may name all.
const ARROWS: [(&str, &[&str]); 8] = [
    ("proto", &[]),
    // The cipher of what lies in its store.
    ("log", &["skep-proto", "skep-trust"]),
    ("projections", &["skep-proto"]),
    ("reconcilers", &["skep-proto", "skep-projections"]),
    ("trust", &["skep-proto"]),
    ("gateway", &["skep-proto", "skep-log", "skep-projections", "skep-reconcilers", "skep-trust"]),
    ("agent", &["skep-proto", "skep-trust"]),
    // The daemon joins both halves; the offline reads of a stopped manager need log and projections
    // themselves.
    (
        "",
        &["skep-proto", "skep-gateway", "skep-agent", "skep-log", "skep-projections", "skep-trust"],
    ),
];

/// What no pure package may link: whoever links it can do what it does.
const NOT_PURE: [&str; 9] =
    ["tokio", "tonic", "openraft", "rocksdb", "nix", "getrandom", "rand", "hyper-util", "bollard"];

/// The names below `[dependencies]`, and below `[dev-dependencies]`, of a manifest.
fn dependencies(manifest: &str) -> BTreeMap<&str, Vec<String>> {
    let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut section = "";
    for line in manifest.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some(name) =
            line.split(['=', '.', ' ']).next().filter(|name| !name.is_empty())
        {
            let optional = line.contains("optional = true");
            if !name.starts_with('#') && !optional {
                found.entry(section).or_default().push(name.to_owned());
            }
        }
    }
    found
}

fn manifest(folder: &str) -> String {
    let path = root().join(folder).join("Cargo.toml");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn packages_import_only_along_the_arrows() {
    let mut found = Vec::new();
    for (folder, may) in ARROWS {
        let manifest = manifest(folder);
        // A package may name itself for its own tests, with another feature.
        let own = format!("skep-{folder}");
        for (section, names) in dependencies(&manifest) {
            if !section.ends_with("dependencies") || section.starts_with("workspace") {
                continue;
            }
            let against = |name: &&String| {
                name.starts_with("skep-") && **name != own && !may.contains(&name.as_str())
            };
            let ours = names.iter().filter(against);
            found.extend(ours.map(|name| {
                format!("{folder}/Cargo.toml: [{section}] names {name}, against the arrows")
            }));
        }
    }
    none(found);
}

#[test]
fn every_package_has_its_arrows() {
    let manifest = manifest("");
    let members = manifest
        .lines()
        .find_map(|line| line.strip_prefix("members = "))
        .expect("the workspace has members");
    let unknown = members
        .split('"')
        .filter(|word| word.chars().all(char::is_alphanumeric) && !word.is_empty())
        .filter(|member| *member != "tests" && !ARROWS.iter().any(|(folder, _)| folder == member));
    none(
        unknown
            .map(|member| {
                format!("{member} is a member of the workspace without arrows in this test")
            })
            .collect(),
    );
}

#[test]
fn pure_packages_link_nothing_that_acts() {
    let mut found = Vec::new();
    for folder in ["proto", "projections", "reconcilers"] {
        let manifest = manifest(folder);
        let names = dependencies(&manifest).remove("dependencies").unwrap_or_default();
        let acting = names.iter().filter(|name| NOT_PURE.contains(&name.as_str()));
        found.extend(acting.map(|name| {
            format!("{folder}/Cargo.toml links {name}, which a pure package must not")
        }));
    }
    none(found);
}

#[test]
fn only_the_log_names_its_store_and_its_consensus() {
    let outside = |path: &str| !path.starts_with("log/") && !path.starts_with("tests/tests/tidy/");
    let mut found = Vec::new();
    for page in files("rs").iter().filter(|page| outside(&page.path)) {
        for (number, line) in page.text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if code.contains("openraft") || code.contains("rocksdb") {
                found.push(format!(
                    "{}:{}: names what only the log may name",
                    page.path,
                    number + 1
                ));
            }
        }
    }
    for (folder, _) in ARROWS.iter().filter(|(folder, _)| !["log", ""].contains(folder)) {
        let named = manifest(folder)
            .lines()
            .any(|line| line.starts_with("openraft") || line.starts_with("rocksdb"));
        found
            .extend(named.then(|| format!("{folder}/Cargo.toml links what only the log may link")));
    }
    none(found);
}
