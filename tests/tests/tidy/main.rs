//! The rules of this repository, as tests: what a reviewer would otherwise have to look for in
//! every change.
//!
//! Each module holds one kind of rule and reports all that it found at once, file by file, so that
//! one run shows the whole work. What the compiler and clippy can check stands in the lints, not
//! here.

#![allow(clippy::unwrap_used, reason = "what goes wrong here shall stop it")]

mod arrows;
mod bounds;
mod catalogue;
mod faults;
mod flags;
mod floors;
mod imports;
mod names;
mod pages;
mod pure;
mod streams;

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The repository's folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package stands in the repository")
        .to_path_buf()
}

/// A text file of the repository.
struct SourceFile {
    /// Its path from the repository's folder, with `/`.
    path: String,
    /// All of it.
    text: String,
    /// Whether the whole file is compiled for tests alone.
    is_test: bool,
}

/// All files with this ending that belong to the repository, in the order of their paths.
fn files(ending: &str) -> Vec<SourceFile> {
    let root = root();
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    let mut pages: Vec<SourceFile> = paths
        .into_iter()
        .filter(|path| path.extension().is_some_and(|found| found == ending))
        .map(|path| SourceFile {
            text: fs::read_to_string(&path)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display())),
            is_test: false,
            path: path.strip_prefix(&root).unwrap().to_string_lossy().into_owned(),
        })
        .collect();
    pages.sort_by(|a, b| a.path.cmp(&b.path));
    let modules: Vec<String> = pages.iter().flat_map(test_modules).collect();
    for page in &mut pages {
        let below = |module: &String| {
            page.path.strip_prefix(module.as_str()).is_some_and(|rest| rest.starts_with(['.', '/']))
        };
        page.is_test = page.path.starts_with("tests/")
            || page.path.contains("/tests/")
            || modules.iter().any(below);
    }
    assert!(!pages.is_empty(), "no file ends in .{ending} below {}", root.display());
    pages
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
    {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_symlink() || name.starts_with('.') || name == "target" {
            continue;
        }
        match path.is_dir() {
            true => collect(&path, paths),
            false => paths.push(path),
        }
    }
}

/// The modules that a file has for its tests alone, as paths without an ending.
fn test_modules(page: &SourceFile) -> Vec<String> {
    let stem = page.path.trim_end_matches(".rs");
    let folder = ["/lib", "/main"].iter().find_map(|end| stem.strip_suffix(end)).unwrap_or(stem);
    let lines: Vec<&str> = page.text.lines().collect();
    let marked = lines.windows(2).filter(|pair| pair[0].trim() == "#[cfg(test)]");
    let names = marked.filter_map(|pair| pair[1].trim().strip_suffix(';')?.split("mod ").nth(1));
    names.map(|name| format!("{folder}/{name}")).collect()
}

impl SourceFile {
    /// The lines before the file's own test module, which stands last.
    fn code(&self) -> Vec<&str> {
        let lines: Vec<&str> = self.text.lines().collect();
        let tests =
            lines.windows(2).position(|pair| pair[0] == "#[cfg(test)]" && pair[1] == "mod tests {");
        lines[..tests.unwrap_or(lines.len())].to_vec()
    }

    /// The paragraph that opens the file: its `//!` lines without the sign.
    fn opening(&self) -> String {
        let lines = self.text.lines().skip_while(|line| line.starts_with("#!"));
        lines
            .map_while(|line| line.strip_prefix("//!"))
            .map(|line| format!("{}\n", line.trim()))
            .collect()
    }
}

/// Fails with all that was found, one line each.
#[track_caller]
fn none(found: Vec<String>) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}
