//! How answers look: tables for people, JSON and templates for scripts, ids alone for pipes.
//!
//! A list is described once, by a [`TableLayout`]: which of Docker's fields it has, under which
//! headings, and which message of the schema stands behind a row. What can be wrong with `--format`
//! and `--filter` is found from that description alone, before any manager is asked.

mod cut;
mod fitted;
mod phrases;
mod tell;
mod template;
mod text;

pub(super) use super::stderr::{can_draw, talk, write_raw_stderr};
pub(super) use crate::untrusted;
pub(super) use cut::CellCut;
pub(super) use phrases::{Truncation, ago, duration_text, local_time, quoted, short_id, title};
pub(super) use tell::{TextForm, say, say_json, write_raw};
pub(super) use template::Template;
pub(super) use text::{grid, pairs};

use super::{
    fail::{CliError, CliResult},
    style::{InspectStyle, ListStyle},
};
use serde_json::Value;
use skep_proto::v1::Filter;

/// Columns of a cause in a pipe or a template, its quotation marks among them.
const CAUSE_COLUMNS: usize = 62;

/// One column of a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct TableField {
    /// Docker's name of the field.
    pub name: &'static str,
    /// The column's heading; without one the field is for templates alone.
    pub heading: &'static str,
    /// What stays of a cell that is too long.
    pub cut: CellCut,
}

/// What a list consists of.
#[derive(Clone, Copy, Debug)]
pub(super) struct TableLayout {
    /// The schema's name of what a row is.
    pub message: &'static str,
    /// What its rows have.
    pub fields: &'static [TableField],
    /// Filter keys that make sense here.
    pub filters: &'static [&'static str],
}

/// One thing in a list.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TableRow {
    /// Printed by `-q`.
    pub id: String,
    /// Follows the first cell in tables alone: Docker's ` *` for the node that was asked.
    pub mark: &'static str,
    /// A cell for each field of the listing.
    pub cells: Vec<String>,
    /// The message itself.
    pub json: Value,
}

/// How a list will be shown, and in how much room.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TableLook {
    format: TableFormat,
    room: TableRoom,
}

/// How much room a table has.
#[derive(Clone, Copy, Debug, PartialEq)]
enum TableRoom {
    /// A terminal with so many columns.
    Terminal(usize),
    /// A pipe or a file: only causes are cut.
    Pipe,
    /// Nothing is to be cut.
    Boundless,
}

/// The form of a list.
#[derive(Clone, Debug, PartialEq)]
enum TableFormat {
    /// Docker's columns.
    Table,
    /// One array of messages.
    Json,
    /// Ids alone.
    Ids,
    /// A line for each row.
    Template(Template),
    /// A template under headings.
    TemplateTable(Template),
}

impl TableField {
    /// A column whose cells are never cut.
    pub(super) const fn whole(name: &'static str, heading: &'static str) -> TableField {
        TableField::cut(name, heading, CellCut::Never)
    }

    /// A column whose cells may be cut.
    pub(super) const fn cut(name: &'static str, heading: &'static str, cut: CellCut) -> TableField {
        TableField { name, heading, cut }
    }

    /// A field for templates alone.
    pub(super) const fn unlisted(name: &'static str) -> TableField {
        TableField::whole(name, "")
    }
}

impl TableRoom {
    fn of(style: &ListStyle) -> TableRoom {
        match (style.truncation(), tell::terminal_columns()) {
            (Truncation::Full, _) => TableRoom::Boundless,
            (Truncation::Shortened, Some(columns)) => TableRoom::Terminal(columns),
            (Truncation::Shortened, None) => TableRoom::Pipe,
        }
    }
}

impl TableLayout {
    /// Reads `--format` and `-q` against this listing.
    pub(super) fn look(&self, style: &ListStyle) -> CliResult<TableLook> {
        Ok(TableLook { format: self.format(style)?, room: TableRoom::of(style) })
    }

    fn format(&self, style: &ListStyle) -> CliResult<TableFormat> {
        if style.quiet {
            return Ok(TableFormat::Ids);
        }
        match style.format.as_deref() {
            None | Some("table") => Ok(TableFormat::Table),
            Some("json") => Ok(TableFormat::Json),
            Some(text) => match text.strip_prefix("table ") {
                Some(rest) => Template::parse(rest, self).map(TableFormat::TemplateTable),
                None => Template::parse(text, self).map(TableFormat::Template),
            },
        }
    }

    /// Reads `--filter`: one [`Filter`] a key, with all its values.
    pub(super) fn filters(&self, style: &ListStyle) -> CliResult<Vec<Filter>> {
        let mut filters: Vec<Filter> = Vec::new();
        for text in &style.filter {
            let (key, value) = text.split_once('=').ok_or_else(|| {
                CliError::usage(format!("filter {text:?} has no value"))
                    .hint("write --filter KEY=VALUE")
            })?;
            if !self.filters.contains(&key) {
                return Err(CliError::usage(format!("filter {key:?} is unknown here"))
                    .hint(format!("the filters are {}", self.filters.join(", "))));
            }
            match filters.iter_mut().find(|filter| filter.key == key) {
                Some(filter) => filter.values.push(value.to_owned()),
                None => {
                    filters.push(Filter { key: key.to_owned(), values: vec![value.to_owned()] })
                }
            }
        }
        Ok(filters)
    }

    /// Shows the rows on the standard output.
    pub(super) fn print(&self, look: &TableLook, rows: &[TableRow]) -> CliResult {
        let text = self.text(look, rows);
        if text.is_empty() { Ok(()) } else { say(&text) }
    }

    /// What [`TableLayout::print`] shows, without the last line's end.
    fn text(&self, look: &TableLook, rows: &[TableRow]) -> String {
        let fill = |template: &Template, row: &TableRow| template.fill(&self.cut(look.room, row));
        match &look.format {
            TableFormat::Ids => lines(rows.iter().map(|row| row.id.clone())),
            TableFormat::Json => {
                let all = Value::Array(rows.iter().map(|row| row.json.clone()).collect());
                format!("{all:#}")
            }
            TableFormat::Template(template) => lines(rows.iter().map(|row| fill(template, row))),
            TableFormat::TemplateTable(template) => {
                let split = |line: String| line.split('\t').map(str::to_owned).collect::<Vec<_>>();
                let body = rows.iter().map(|row| split(fill(template, row))).collect();
                grid(&split(template.headings(self)), body)
            }
            TableFormat::Table => self.table(look.room, rows),
        }
    }

    fn table(&self, room: TableRoom, rows: &[TableRow]) -> String {
        let is_shown = |at: &usize| !self.fields[*at].heading.is_empty();
        let shown: Vec<usize> = (0..self.fields.len()).filter(is_shown).collect();
        let pick = |row: &TableRow| -> Vec<String> {
            let mark = |at: usize| if at == 0 { row.mark } else { "" };
            shown.iter().map(|at| format!("{}{}", row.cells[*at], mark(*at))).collect()
        };
        match room {
            TableRoom::Terminal(width) => {
                let column = |at: &usize| (self.fields[*at].heading, self.fields[*at].cut);
                let columns: Vec<_> = shown.iter().map(column).collect();
                fitted::fitted(&columns, &rows.iter().map(pick).collect::<Vec<_>>(), width)
            }
            TableRoom::Pipe | TableRoom::Boundless => {
                let heading = |at: &usize| self.fields[*at].heading.to_owned();
                let head: Vec<String> = shown.iter().map(heading).collect();
                grid(&head, rows.iter().map(|row| pick(&self.cut(room, row))).collect())
            }
        }
    }

    /// The row with its causes cut, unless there is room for all of them. Programs that read a
    /// template get the same on a terminal as in a pipe.
    fn cut(&self, room: TableRoom, row: &TableRow) -> TableRow {
        let mut row = row.clone();
        if room == TableRoom::Boundless {
            return row;
        }
        for (cell, field) in row.cells.iter_mut().zip(self.fields) {
            if field.cut == CellCut::KeepCause {
                *cell = field.cut.apply(cell, CAUSE_COLUMNS);
            }
        }
        row
    }
}

/// How single objects will be shown.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Inspection {
    /// One array of messages.
    Json,
    /// For people.
    Pretty,
    /// A line for each object.
    Template(Template),
}

impl Inspection {
    /// Reads `--format` and `--pretty` for objects of one message.
    pub(super) fn look(style: &InspectStyle, listing: &TableLayout) -> CliResult<Inspection> {
        match style.format.as_deref() {
            _ if style.pretty => Ok(Inspection::Pretty),
            None | Some("json") => Ok(Inspection::Json),
            Some("table" | "pretty") => Ok(Inspection::Pretty),
            Some(text) => Template::parse(text, listing).map(Inspection::Template),
        }
    }

    /// Shows the objects; `pretty` writes one for people.
    pub(super) fn print(&self, rows: &[TableRow], pretty: impl Fn(usize) -> String) -> CliResult {
        match self {
            Inspection::Json => {
                say_json(&Value::Array(rows.iter().map(|row| row.json.clone()).collect()))
            }
            Inspection::Template(template) => {
                say(&lines(rows.iter().map(|row| template.fill(row))))
            }
            Inspection::Pretty => {
                let all: Vec<String> =
                    (0..rows.len()).map(|at| pretty(at).trim_end().to_owned()).collect();
                say(&all.join("\n\n"))
            }
        }
    }
}

fn lines(all: impl Iterator<Item = String>) -> String {
    all.collect::<Vec<_>>().join("\n")
}

/// How a single answer that is no list is shown.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum AnswerFormat {
    /// For people.
    Text,
    /// The message.
    Json,
    /// One line, or one for each record of a stream.
    Template(Template),
}

impl AnswerFormat {
    /// Reads `--format` for a message of the schema.
    pub(super) fn look(format: Option<&str>, message: &'static str) -> CliResult<AnswerFormat> {
        match format {
            None | Some("table") => Ok(AnswerFormat::Text),
            Some("json") => Ok(AnswerFormat::Json),
            Some(text) => {
                Template::parse(text, &TableLayout { message, fields: &[], filters: &[] })
                    .map(AnswerFormat::Template)
            }
        }
    }
}
