//! Columns for people: no borders, three blanks between, nothing at a line's end.

use crate::untrusted::{one_line, visible};
use unicode_width::UnicodeWidthStr;

/// Blanks between columns.
pub(super) const GAP: usize = 3;

/// A table under headings, as Docker draws it.
pub(crate) fn grid(head: &[String], rows: Vec<Vec<String>>) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| one_line(cell)).collect()).collect();
    draw(head, &rows, GAP)
}

/// The same with so many blanks between the columns; each cell is one line.
pub(super) fn draw(head: &[String], rows: &[Vec<String>], gap: usize) -> String {
    let lines = || [head].into_iter().chain(rows.iter().map(Vec::as_slice));
    let columns = lines().map(<[String]>::len).max().unwrap_or(0);
    let widest = |at: usize| lines().filter_map(|row| row.get(at)).map(|cell| cell.width()).max();
    let widths: Vec<usize> = (0..columns).map(|at| widest(at).unwrap_or(0) + gap).collect();
    let line = |row: &[String]| {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.width()));
        }
        line.trim_end().to_owned()
    };
    lines().map(line).collect::<Vec<_>>().join("\n")
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
