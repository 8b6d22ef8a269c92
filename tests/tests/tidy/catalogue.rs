//! That the documents speak of what exists: every event, every test that a row promises, every
//! link.

use super::{files, none, root};
use skep_proto::event::KINDS;
use std::fs;

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_event_is_in_the_catalogue() {
    let catalogue = read("docs/events.md");
    let absent = KINDS.iter().filter(|kind| !catalogue.contains(&format!("`{kind}`")));
    none(absent.map(|kind| format!("docs/events.md: no `{kind}`")).collect());
}

#[test]
fn the_catalogue_has_no_event_of_its_own() {
    let catalogue = read("docs/events.md");
    let rows = catalogue
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|rest| rest.split('`').next());
    none(
        rows.filter(|kind| !KINDS.contains(kind))
            .map(|kind| format!("docs/events.md: `{kind}` is no event"))
            .collect(),
    );
}

#[test]
fn every_event_has_golden_bytes() {
    let absent =
        KINDS.iter().filter(|kind| !root().join(format!("proto/golden/v1/{kind}.hex")).is_file());
    none(absent.map(|kind| format!("proto/golden/v1/{kind}.hex is not there")).collect());
}

/// Cells of each table row below a header.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let lines = text.lines().filter(|line| line.starts_with('|')).collect::<Vec<_>>();
    let is_rule = |line: &str| line.chars().all(|c| "|-: ".contains(c));
    let bodies = lines.iter().enumerate().filter(|(at, line)| {
        !is_rule(line) && !lines.get(at + 1).is_some_and(|next| is_rule(next))
    });
    bodies.map(|(_, line)| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

#[test]
fn every_failure_names_a_test_that_exists() {
    let text = read("docs/failures.md");
    let sources: String = files("rs").into_iter().map(|page| page.text).collect();
    let mut found = Vec::new();
    let rows = rows(&text);
    assert!(!rows.is_empty(), "docs/failures.md has no rows");
    for row in rows {
        let last = row.last().copied().unwrap_or_default();
        let names: Vec<&str> = last.split('`').skip(1).step_by(2).collect();
        if names.is_empty() {
            found.push(format!("docs/failures.md: {:?} names no test", row.first().unwrap_or(&"")));
        }
        let absent = names.iter().filter(|name| !sources.contains(&format!("fn {name}(")));
        found.extend(absent.map(|name| format!("docs/failures.md: there is no test {name}")));
    }
    none(found);
}

#[test]
fn every_stop_of_the_journey_exists() {
    let text = read("docs/journey.md");
    let mut found = Vec::new();
    let rows = rows(&text);
    assert!(rows.len() >= 12, "docs/journey.md has {} stops", rows.len());
    for row in rows {
        let file = row.get(2).and_then(|cell| cell.split("](../").nth(1)).unwrap_or_default();
        let source =
            fs::read_to_string(root().join(file.trim_end_matches(')'))).unwrap_or_default();
        let function = row.last().copied().unwrap_or_default().trim_matches('`');
        if !source.contains(&format!("fn {function}("))
            && !source.contains(&format!("fn {function}<"))
        {
            found.push(format!("docs/journey.md: {file} has no function {function}"));
        }
    }
    none(found);
}

/// The anchors of a page's headings, as they are made for links.
fn anchors(text: &str) -> Vec<String> {
    let headings = text
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| line.trim_start_matches('#').trim());
    let anchor = |heading: &str| {
        let kept = heading.to_lowercase();
        kept.chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut found = Vec::new();
    for page in files("md") {
        let folder =
            root().join(&page.path).parent().expect("a file stands in a folder").to_path_buf();
        for link in
            page.text.split("](").skip(1).filter_map(|rest| rest.split([')', ' ', '\n']).next())
        {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { root().join(&page.path) } else { folder.join(path) };
            if !target.exists() {
                found.push(format!("{}: {link} leads nowhere", page.path));
            } else if !anchor.is_empty()
                && !anchors(&fs::read_to_string(&target).unwrap()).iter().any(|a| a == anchor)
            {
                found.push(format!("{}: {link} names no heading there", page.path));
            }
        }
    }
    none(found);
}

#[test]
fn the_documents_that_are_promised_exist() {
    let topics = [
        "journey",
        "decisions/README",
        "vocabulary",
        "lifecycle",
        "log",
        "events",
        "scheduling",
        "failures",
        "simulation",
        "benchmarks",
        "operating",
    ];
    let mut pages: Vec<String> = topics.iter().map(|topic| format!("docs/{topic}.md")).collect();
    pages.extend(
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"]
            .map(str::to_owned),
    );
    none(
        pages
            .into_iter()
            .filter(|page| !root().join(page).is_file())
            .map(|page| format!("{page} is not there"))
            .collect(),
    );
}
