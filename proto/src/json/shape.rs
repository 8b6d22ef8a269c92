//! Which fields a message has, asked before there is a message: so that a wrong name in a template
//! is said at once, whatever the answer will hold.

use super::{descriptor, is_repeated};
use prost_reflect::MessageDescriptor;

/// Finds the JSON path that somebody's field names mean, in any case and with or without
/// underscores: `Status`, `RunningTasks` is `status`, `running_tasks`. Below a map or a list any
/// name may follow.
///
/// # Errors
/// The name that is not there, and those that are.
pub fn resolve(message: &str, path: &[String]) -> Result<Vec<String>, UnknownField> {
    let mut at = descriptor(message);
    let mut found = Vec::with_capacity(path.len());
    for (parents, name) in path.iter().enumerate() {
        let Some(here) = at else {
            found.push(name.clone());
            continue;
        };
        let field = here
            .fields()
            .find(|field| means(field.name(), name))
            .ok_or_else(|| unknown(name, parents, &here))?;
        found.push(field.name().to_owned());
        let is_single = !field.is_map() && !is_repeated(&field);
        at = field.kind().as_message().filter(|_| is_single).cloned();
    }
    Ok(found)
}

/// A name that the schema does not have at that place.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("there is no field {name:?}; there are {}", known.join(", "))]
pub struct UnknownField {
    /// As it was asked for.
    pub name: String,
    /// How many names of the path stand before it.
    pub parents: usize,
    /// What could have been asked for.
    pub known: Vec<String>,
}

fn means(field: &str, asked: &str) -> bool {
    let plain = |text: &str| text.replace('_', "").to_ascii_lowercase();
    plain(field) == plain(asked)
}

fn unknown(name: &str, parents: usize, message: &MessageDescriptor) -> UnknownField {
    UnknownField {
        name: name.to_owned(),
        parents,
        known: message.fields().map(|field| field.name().to_owned()).collect(),
    }
}
