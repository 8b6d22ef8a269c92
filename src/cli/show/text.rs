//! Columns for people: no borders, three blanks between, nothing at a line's end.

use crate::untrusted::{one_line, visible};
use comfy_table::{ContentArrangement, Table, presets};

/// A table under headings, as Docker draws it.
pub(crate) fn grid(head: &[String], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head.iter().map(String::as_str));
    table.add_rows(
        rows.into_iter().map(|row| row.into_iter().map(|cell| one_line(&cell)).collect::<Vec<_>>()),
    );
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    trimmed(&table)
}

/// Names and values under each other; a value that is empty is left out, names may be indented.
pub(crate) fn pairs(all: &[(&str, String)]) -> String {
    let widest = all
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, _)| name.len())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for (name, value) in all.iter().filter(|(_, value)| !value.is_empty()) {
        let label = format!("{name}:");
        for (at, line) in visible(value).lines().enumerate() {
            let label = if at == 0 { label.as_str() } else { "" };
            text.push_str(format!("{label:<width$}{line}", width = widest + 3).trim_end());
            text.push('\n');
        }
    }
    text
}

fn trimmed(table: &Table) -> String {
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_three_blanks_apart() {
        let text = grid(
            &["ID".into(), "NAME".into()],
            vec![vec!["1".into(), "a\nb".into()], vec!["22".into(), "".into()]],
        );
        assert_eq!(text, "ID   NAME\n1    a b\n22");
    }

    #[test]
    fn pairs_are_aligned_and_empty_ones_left_out() {
        let text = pairs(&[
            ("ID", "1".into()),
            ("Nothing of it", String::new()),
            (" Longer", "a\nb".into()),
        ]);
        assert_eq!(text, "ID:       1\n Longer:  a\n          b\n");
    }
}
