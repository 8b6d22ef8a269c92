//! The part of Go's templates that people use with Docker: `{{.Field}}`, `{{.Field.Sub}}`, `{{json
//! .Field}}`.
//!
//! A field is one of Docker's for that list, or one of the JSON's, which is found in any case and
//! with or without underscores. A name that neither has is refused before anybody is asked. A field
//! that is there but not set is empty.

use super::{TableField, TableLayout, TableRow};
use crate::cli::fail::{CliError, CliResult};
use serde_json::Value;
use skep_proto::json::shape;

/// A template that is known to make sense.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Literal(String),
    /// One of Docker's fields, by its place.
    Cell(usize, Style),
    /// A path into the JSON; empty is all of it.
    Path(Vec<String>, Style),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Plain,
    Json,
}

impl Template {
    /// Reads a template for rows of a listing.
    pub(crate) fn parse(text: &str, listing: &TableLayout) -> CliResult<Template> {
        let mut parts = Vec::new();
        let text = text.replace("\\t", "\t").replace("\\n", "\n");
        let mut rest = text.as_str();
        if !rest.contains("{{") {
            let example = listing
                .fields
                .first()
                .map_or("{{json .}}".to_owned(), |field| format!("{{{{.{}}}}}", field.name));
            return Err(CliError::usage(format!("format {rest:?} is unknown"))
                .hint(format!("choose table, json or a template such as '{example}'")));
        }
        while let Some(start) = rest.find("{{") {
            let end = rest[start..].find("}}").map(|end| start + end).ok_or_else(|| {
                CliError::usage(format!("template {text:?} has a {{{{ without }}}}"))
                    .hint("write '{{.Field}}'")
            })?;
            if start > 0 {
                parts.push(Part::Literal(rest[..start].to_owned()));
            }
            parts.push(action(rest[start + 2..end].trim(), listing)?);
            rest = &rest[end + 2..];
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        Ok(Template { parts })
    }

    /// The template with a row's values.
    pub(crate) fn fill(&self, row: &TableRow) -> String {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Literal(text) => text.clone(),
                Part::Cell(at, Style::Plain) => row.cells[*at].clone(),
                Part::Cell(at, Style::Json) => Value::from(row.cells[*at].clone()).to_string(),
                Part::Path(path, style) => written(find(&row.json, path), *style),
            })
            .collect()
    }

    /// The template with the value of a message alone.
    pub(crate) fn fill_json(&self, json: Value) -> String {
        self.fill(&TableRow { id: String::new(), mark: "", cells: Vec::new(), json })
    }

    /// The template with headings in place of values.
    pub(crate) fn headings(&self, listing: &TableLayout) -> String {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Literal(text) => text.clone(),
                Part::Cell(at, _) => match listing.fields[*at] {
                    TableField { name, heading: "", .. } => name.to_uppercase(),
                    TableField { heading, .. } => heading.to_owned(),
                },
                Part::Path(path, _) => path
                    .last()
                    .map_or_else(String::new, |name| name.replace('_', " ").to_uppercase()),
            })
            .collect()
    }
}

fn action(text: &str, listing: &TableLayout) -> CliResult<Part> {
    let (style, field) = match text.split_once(char::is_whitespace) {
        None => (Style::Plain, text),
        Some(("json", field)) => (Style::Json, field.trim()),
        Some(_) => return Err(not_built(text)),
    };
    let names = field.strip_prefix('.').ok_or_else(|| not_built(text))?;
    let well_formed = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if names.is_empty() {
        return Ok(Part::Path(Vec::new(), style));
    }
    let path: Vec<String> = names.split('.').map(str::to_owned).collect();
    if !path.iter().all(|name| well_formed(name)) {
        return Err(not_built(text));
    }
    if let [name] = path.as_slice()
        && let Some(at) = listing.fields.iter().position(|field| field.name == name)
    {
        return Ok(Part::Cell(at, style));
    }
    match shape::resolve(listing.message, &path) {
        Ok(path) => Ok(Part::Path(path, style)),
        Err(unknown) => {
            // Columns are fields of the whole row alone.
            let columns = if unknown.parents == 0 { listing.fields } else { &[] };
            let parents: String =
                path[..unknown.parents].iter().map(|name| format!(".{name}")).collect();
            let columns = columns.iter().map(|field| field.name);
            let known: Vec<String> = columns
                .chain(unknown.known.iter().map(String::as_str))
                .map(|name| format!("{parents}.{name}"))
                .collect();
            Err(CliError::usage(format!(
                "the template's field {field:?} is unknown: there is no {:?}",
                unknown.name
            ))
            .hint(format!("the fields are {}", known.join(" "))))
        }
    }
}

fn not_built(text: &str) -> CliError {
    CliError::usage(format!("template action {text:?} is not supported yet")).hint(
        "there are {{.Field}}, {{.Field.Sub}} and {{json .Field}}; for more use --format json",
    )
}

fn find<'a>(json: &'a Value, path: &[String]) -> &'a Value {
    path.iter().fold(json, |value, name| value.get(name).unwrap_or(&Value::Null))
}

fn written(value: &Value, style: Style) -> String {
    match (style, value) {
        (Style::Json, value) => value.to_string(),
        (Style::Plain, Value::Null) => String::new(),
        (Style::Plain, Value::String(text)) => text.clone(),
        (Style::Plain, value) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const LIST: TableLayout = TableLayout {
        message: "Service",
        fields: &[TableField::whole("ID", "ID"), TableField::unlisted("Self")],
        filters: &[],
    };

    const ID_ALONE: [TableField; 1] = [TableField::whole("ID", "ID")];

    fn check(template: &str, expected: Result<&str, &str>) {
        let json = json!({"spec": {"annotations": {"name": "web", "labels": {"a": "b"}}}, "spec_version": 7, "blocked": null});
        let row =
            TableRow { id: "1".into(), mark: "", cells: vec!["1".into(), "true".into()], json };
        let said = Template::parse(template, &LIST)
            .map(|t| t.fill(&row))
            .map_err(|e| e.message().to_owned());
        match expected {
            Ok(text) => assert_eq!(said.as_deref(), Ok(text), "{template}"),
            Err(part) => {
                assert!(said.as_ref().is_err_and(|e| e.contains(part)), "{template}: {said:?}")
            }
        }
    }

    #[test]
    fn fields_of_docker_and_of_the_message_are_filled_in() {
        check("{{.ID}}: {{ .Spec.Annotations.Name }}", Ok("1: web"));
        check("{{.SpecVersion}}\\t{{.spec_version}}", Ok("7\t7"));
        check(
            "{{json .Spec.Annotations.Labels}} {{.Spec.Annotations.Labels.a}}",
            Ok("{\"a\":\"b\"} b"),
        );
        check("{{json .ID}}", Ok("\"1\""));
        check("[{{.Blocked.Message}}]", Ok("[]"));
    }

    #[test]
    fn a_message_alone_is_filled_in() {
        let template = Template::parse("{{.SpecVersion}}!", &LIST).expect("it is a template");
        assert_eq!(template.fill_json(json!({"spec_version": 7})), "7!");
    }

    #[test]
    fn what_makes_no_sense_is_refused_at_once() {
        check("{{.Colour}}", Err("Colour"));
        check("{{.Spec.Colour}}", Err("Colour"));
        check("{{range .Spec}}", Err("not supported yet"));
        check("{{.ID", Err("without"));
        check("yaml", Err("unknown"));
        check("{{.A..B}}", Err("not supported yet"));
    }

    #[test]
    fn a_hint_lists_the_fields_of_the_level_at_which_the_wrong_name_stands() {
        let hint =
            |template: &str| Template::parse(template, &LIST).expect_err("it is wrong").to_string();
        let nested = hint("{{.Spec.Colour}}");
        assert!(nested.contains("the fields are .Spec.annotations "), "{nested}");
        assert!(!nested.contains(".Self") && !nested.contains(".ID"), "{nested}");
        let top = hint("{{.Colour}}");
        assert!(top.contains("the fields are .ID .Self "), "{top}");
    }

    #[test]
    fn the_template_in_the_help_of_inspect_is_good_for_all_that_is_inspected() {
        for message in ["Service", "Node", "Task"] {
            let table = TableLayout { message, fields: &ID_ALONE, filters: &[] };
            Template::parse("{{.ID}} {{json .Spec}}", &table).expect(message);
        }
    }

    #[test]
    fn headings_stand_over_a_table_of_templates() {
        let template = Template::parse("{{.ID}}\\t{{.Self}}\\t{{.SpecVersion}}", &LIST)
            .expect("a good template");
        assert_eq!(template.headings(&LIST), "ID\tSELF\tSPEC VERSION");
    }
}
