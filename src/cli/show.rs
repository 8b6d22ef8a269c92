//! How answers look: tables for people, JSON and templates for scripts, ids alone for pipes.
//!
//! A list is described once, by a [`TableLayout`]: which of Docker's fields it has, under which
//! headings, and which message of the schema stands behind a row. What can be wrong with `--format`
//! and `--filter` is found from that description alone, before any manager is asked.

mod phrases;
mod tell;
mod template;
mod text;

pub(super) use super::stderr::{can_draw, talk, write_raw_stderr};
pub(super) use crate::untrusted;
pub(super) use phrases::{
    Truncation, ago, bytes_size, duration_text, local_time, quoted, short_id, title, truncated,
};
pub(super) use tell::{TextForm, say, say_json, write_raw};
pub(super) use template::Template;
pub(super) use text::{grid, pairs};

use super::{
    fail::{CliError, CliResult},
    style::{InspectStyle, ListStyle},
};
use serde_json::Value;
use skep_proto::v1::Filter;

/// What a list consists of.
#[derive(Clone, Copy, Debug)]
pub(super) struct TableLayout {
    /// The schema's name of what a row is.
    pub message: &'static str,
    /// Docker's field name and the table's heading; without a heading it is for templates alone.
    pub fields: &'static [(&'static str, &'static str)],
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

/// How a list will be shown.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum TableFormat {
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

impl TableLayout {
    /// Reads `--format` and `-q` against this listing.
    pub(super) fn look(&self, style: &ListStyle) -> CliResult<TableFormat> {
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
    pub(super) fn print(&self, look: &TableFormat, rows: &[TableRow]) -> CliResult {
        let text = self.text(look, rows);
        if text.is_empty() { Ok(()) } else { say(&text) }
    }

    /// What [`TableLayout::print`] shows, without the last line's end.
    pub(super) fn text(&self, look: &TableFormat, rows: &[TableRow]) -> String {
        match look {
            TableFormat::Ids => lines(rows.iter().map(|row| row.id.clone())),
            TableFormat::Json => {
                let all = Value::Array(rows.iter().map(|row| row.json.clone()).collect());
                format!("{all:#}")
            }
            TableFormat::Template(template) => lines(rows.iter().map(|row| template.fill(row))),
            TableFormat::TemplateTable(template) => {
                let split = |line: String| line.split('\t').map(str::to_owned).collect::<Vec<_>>();
                let body = rows.iter().map(|row| split(template.fill(row))).collect();
                grid(&split(template.headings(self)), body)
            }
            TableFormat::Table => {
                let shown: Vec<usize> =
                    (0..self.fields.len()).filter(|i| !self.fields[*i].1.is_empty()).collect();
                let head: Vec<String> =
                    shown.iter().map(|i| self.fields[*i].1.to_owned()).collect();
                let pick = |row: &TableRow| {
                    let mark = |at: usize| if at == 0 { row.mark } else { "" };
                    shown.iter().map(|at| format!("{}{}", row.cells[*at], mark(*at))).collect()
                };
                grid(&head, rows.iter().map(pick).collect())
            }
        }
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
