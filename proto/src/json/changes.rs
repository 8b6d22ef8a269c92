//! Which fields of a message differ from those of another one of its kind. Pure.

use super::{JsonMessage, render};
use serde_json::Value;

/// Paths named of one change; of more only the first are named.
pub const CHANGED_FIELDS_MAX: usize = 64;

/// The paths of the fields that differ, as JSON shows them: `task.container.image`. A list is one
/// field.
pub fn changed_fields<M: JsonMessage>(before: &M, after: &M) -> Vec<String> {
    let mut paths = Vec::new();
    compare("", &render(before), &render(after), &mut paths);
    paths.truncate(CHANGED_FIELDS_MAX);
    paths
}

fn compare(path: &str, before: &Value, after: &Value, paths: &mut Vec<String>) {
    if before == after {
        return;
    }
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        paths.push(path.to_owned());
        return;
    };
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let of = |object: &serde_json::Map<String, Value>| {
            object.get(name).cloned().unwrap_or(Value::Null)
        };
        compare(&below, &of(old), &of(new), paths);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{Annotations, ServiceSpec, TaskSpec};

    fn spec(labels: &[(&str, &str)], force_update: u64) -> ServiceSpec {
        let labels =
            labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        ServiceSpec {
            annotations: Some(Annotations { name: "web".into(), labels }),
            task: Some(TaskSpec { force_update, ..TaskSpec::default() }),
            ..ServiceSpec::default()
        }
    }

    #[test]
    fn each_field_that_differs_is_named_once() {
        let (before, after) =
            (spec(&[("a", "1"), ("b", "2")], 0), spec(&[("b", "3"), ("c", "")], 7));
        let expected = [
            "annotations.labels.a",
            "annotations.labels.b",
            "annotations.labels.c",
            "task.force_update",
        ];
        assert_eq!(changed_fields(&before, &after), expected);
        assert_eq!(changed_fields(&before, &before), Vec::<String>::new());
        assert_eq!(
            changed_fields(&before, &ServiceSpec { task: None, ..before.clone() }),
            ["task"]
        );
    }

    #[test]
    fn many_changes_are_bounded() {
        let keys: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        let labels: Vec<_> = keys.iter().map(|key| (key.as_str(), "")).collect();
        assert_eq!(changed_fields(&spec(&[], 0), &spec(&labels, 0)).len(), CHANGED_FIELDS_MAX);
    }
}
