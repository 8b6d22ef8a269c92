//! Tables in the columns of a terminal. PURE.
//!
//! A table that is too wide is tried in these shapes, and the first that fits is taken: without
//! columns that say nothing and with its causes cut; with each cause on a line of its own below its
//! row and other long cells cut; each row as lines of its own, a line for each cell. Nothing
//! narrows in a pipe, since programs read it; only causes are cut there.

use super::{
    cut::CellCut,
    text::{GAP, draw},
};
use crate::untrusted::one_line;
use unicode_width::UnicodeWidthStr;

/// Blanks between the columns of a table that is narrowed: as many as there is room for.
const NARROW_GAPS: [usize; 2] = [2, 1];
/// Blanks before a cause that stands below its row.
const BELOW_INDENT: &str = "   ";
/// The fewest columns of a value beside its name, however narrow the terminal is.
const VALUE_COLUMNS_MIN: usize = 8;

/// A column: its heading, and how its cells are cut.
pub(crate) type CuttableColumn = (&'static str, CellCut);

/// The rows under their headings, in a terminal of so many columns.
pub(crate) fn fitted(columns: &[CuttableColumn], rows: &[Vec<String>], width: usize) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| one_line(cell)).collect()).collect();
    let head = columns.iter().map(|(heading, _)| (*heading).to_owned()).collect::<Vec<_>>();
    let all: Vec<usize> = (0..columns.len()).collect();
    let natural: Vec<usize> = all.iter().map(|at| widest(&head, &rows, *at)).collect();
    if natural.iter().sum::<usize>() + GAP * natural.len().saturating_sub(1) <= width {
        return draw(&head, &rows, GAP);
    }
    let table = Narrowing { columns, head, natural, rows, width };
    let says_something =
        |at: &usize| table.rows.is_empty() || table.rows.iter().any(|row| !row[*at].is_empty());
    let used: Vec<usize> = all.into_iter().filter(says_something).collect();
    let is_cause = |at: &usize| columns[*at].1 == CellCut::KeepCause;
    if let Some(widths) = table.narrowed(&used, NARROW_GAPS[0], is_cause) {
        return table.drawn(&used, &widths, NARROW_GAPS[0]);
    }
    let (causes, others): (Vec<usize>, Vec<usize>) = used.iter().partition(|at| is_cause(at));
    let narrowed = NARROW_GAPS.iter().find_map(|gap| {
        let widths = table.narrowed(&others, *gap, |at| !is_cause(at))?;
        Some(table.drawn(&others, &widths, *gap))
    });
    match narrowed {
        Some(narrowed) => table.with_causes_below(&narrowed, &causes),
        // Headings alone say that there is nothing.
        None if table.rows.is_empty() => draw(&table.head, &table.rows, NARROW_GAPS[1]),
        None => table.as_lines(&used),
    }
}

/// The widest cell of a column, its heading among them.
fn widest(head: &[String], rows: &[Vec<String>], at: usize) -> usize {
    rows.iter().map(|row| row[at].width()).chain([head[at].width()]).max().unwrap_or(0)
}

struct Narrowing<'a> {
    columns: &'a [CuttableColumn],
    head: Vec<String>,
    natural: Vec<usize>,
    rows: Vec<Vec<String>>,
    width: usize,
}

impl Narrowing<'_> {
    /// The width of each column that is shown, the widest of those that may be cut being cut first;
    /// nothing if they do not fit.
    fn narrowed(
        &self,
        shown: &[usize],
        gap: usize,
        may_be_cut: impl Fn(&usize) -> bool,
    ) -> Option<Vec<usize>> {
        let room = self.width.checked_sub(gap * shown.len().saturating_sub(1))?;
        let columns_min = |at: &usize| {
            let cells = [&self.head[*at]].into_iter().chain(self.rows.iter().map(|row| &row[*at]));
            cells.map(|cell| self.columns[*at].1.columns_min(cell)).max().unwrap_or(0)
        };
        let columns_min = |at: &usize| match may_be_cut(at) {
            true => columns_min(at),
            false => self.natural[*at],
        };
        let columns_min: Vec<usize> = shown.iter().map(columns_min).collect();
        let mut widths: Vec<usize> = shown.iter().map(|at| self.natural[*at]).collect();
        let mut excess = widths.iter().sum::<usize>().saturating_sub(room);
        while excess > 0 {
            let can_shrink =
                widths.iter_mut().zip(&columns_min).filter(|(width, min)| **width > **min);
            let (widest, _) = can_shrink.max_by_key(|(width, _)| **width)?;
            (*widest, excess) = (*widest - 1, excess - 1);
        }
        Some(widths)
    }

    fn drawn(&self, shown: &[usize], widths: &[usize], gap: usize) -> String {
        let cells = |row: &Vec<String>| {
            let cut = |(at, width): (&usize, &usize)| self.columns[*at].1.apply(&row[*at], *width);
            shown.iter().zip(widths).map(cut).collect::<Vec<_>>()
        };
        let heading = |(at, width): (&usize, &usize)| {
            CellCut::KeepStart(*width).apply(&self.head[*at], *width)
        };
        let head: Vec<String> = shown.iter().zip(widths).map(heading).collect();
        draw(&head, &self.rows.iter().map(cells).collect::<Vec<_>>(), gap)
    }

    fn with_causes_below(&self, table: &str, causes: &[usize]) -> String {
        let mut lines: Vec<String> = Vec::new();
        // The first line is that of the headings.
        let rows = [None].into_iter().chain(self.rows.iter().map(Some));
        for (line, row) in table.lines().zip(rows) {
            lines.push(line.to_owned());
            let Some(row) = row else { continue };
            for at in causes.iter().filter(|at| !row[**at].is_empty()) {
                let label = format!("{BELOW_INDENT}{}: ", self.head[*at]);
                lines.push(self.labelled(&label, row, *at));
            }
        }
        lines.join("\n")
    }

    /// Each row as lines, a line for each cell that says something.
    fn as_lines(&self, shown: &[usize]) -> String {
        let label_width = shown.iter().map(|at| self.head[*at].width() + 2).max().unwrap_or(0);
        let one = |row: &Vec<String>| {
            let cells = shown.iter().filter(|at| !row[**at].is_empty());
            let line = |at: &usize| {
                let label = format!("{}:", self.head[*at]);
                self.labelled(&format!("{label:<label_width$}"), row, *at)
            };
            cells.map(line).collect::<Vec<_>>().join("\n")
        };
        self.rows.iter().map(one).collect::<Vec<_>>().join("\n\n")
    }

    fn labelled(&self, label: &str, row: &[String], at: usize) -> String {
        let room = self.width.saturating_sub(label.width()).max(VALUE_COLUMNS_MIN);
        // A name that is indented below another one needs no indent here.
        format!("{label}{}", self.columns[at].1.apply(row[at].trim_start(), room))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [CuttableColumn; 5] = [
        ("ID", CellCut::KeepId(12)),
        ("NAME", CellCut::KeepEnds(8)),
        ("DESIRED STATE", CellCut::KeepStart(8)),
        ("ERROR", CellCut::KeepCause),
        ("PORTS", CellCut::KeepStart(8)),
    ];
    const NO_PROGRAM: &str = "\"failed to create shim task: runc create failed: exec: \"nosuchprogram\": executable file not found in $PATH\"";

    fn rows() -> Vec<Vec<String>> {
        let row = |cells: [&str; 5]| cells.map(str::to_owned).to_vec();
        vec![
            row(["3rv3us5z8rqj", "frontend.1", "Running", "", ""]),
            row(["6qlg87dvf7w4", " \\_ frontend.1", "Shutdown", NO_PROGRAM, ""]),
        ]
    }

    #[track_caller]
    fn check(width: usize, expected: &str) {
        let text = fitted(&COLUMNS, &rows(), width);
        assert_eq!(text, expected);
        assert!(text.lines().all(|line| line.width() <= width), "{text}");
    }

    #[test]
    fn a_table_that_fits_is_shown_whole() {
        let whole = fitted(&COLUMNS, &rows(), 200);
        assert!(whole.contains(NO_PROGRAM) && whole.contains("PORTS"), "{whole}");
    }

    #[test]
    fn first_the_cause_is_cut_and_columns_that_say_nothing_are_left_out() {
        check(
            111,
            "ID            NAME            DESIRED STATE  ERROR\n\
             3rv3us5z8rqj  frontend.1      Running\n\
             6qlg87dvf7w4   \\_ frontend.1  Shutdown       \"failed to create shim task: … executable file not found in $PATH\"",
        );
    }

    #[test]
    fn then_the_cause_stands_below_its_row() {
        check(
            82,
            "ID            NAME            DESIRED STATE\n\
             3rv3us5z8rqj  frontend.1      Running\n\
             6qlg87dvf7w4   \\_ frontend.1  Shutdown\n   \
                ERROR: \"failed to create shim task: … executable file not found in $PATH\"",
        );
    }

    #[test]
    fn then_other_cells_are_cut() {
        check(
            40,
            "ID            NAME          DESIRED STA…\n\
             3rv3us5z8rqj  frontend.1    Running\n\
             6qlg87dvf7w4   \\_ f…tend.1  Shutdown\n   \
                ERROR: \"… executable file not found…\"",
        );
    }

    #[test]
    fn at_last_each_row_is_shown_as_lines() {
        check(
            28,
            "ID:            3rv3us5z8rqj\n\
             NAME:          frontend.1\n\
             DESIRED STATE: Running\n\
             \n\
             ID:            6qlg87dvf7w4\n\
             NAME:          \\_ frontend.1\n\
             DESIRED STATE: Shutdown\n\
             ERROR:         \"… executab…\"",
        );
    }

    #[test]
    fn no_rows_are_headings_alone_and_no_width_is_too_small() {
        assert_eq!(fitted(&COLUMNS, &[], 36), "ID  NAME  DESIRED STATE  PORTS");
        for width in 0..140 {
            let text = fitted(&COLUMNS, &rows(), width);
            let floor = width.max("DESIRED STATE: ".len() + "6qlg87dvf7w4".len());
            assert!(text.lines().all(|line| line.width() <= floor), "{width}:\n{text}");
        }
    }
}
