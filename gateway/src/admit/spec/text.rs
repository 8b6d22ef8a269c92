//! Names, labels and other text of a spec. PURE.

use super::super::{Refusal, refusal::excerpt};

/// Longest service name: it becomes a host name.
const NAME_CHARS_MAX: usize = 63;
/// Longest label key or value, bytes; a longer one is refused.
const LABEL_BYTES_MAX: usize = 4_096;
/// Longest host name that a kernel takes, bytes; a longer one is refused.
const CONTAINER_HOSTNAME_BYTES_MAX: usize = 64;

/// Most characters of a text that a refusal quotes because it is too long.
const QUOTED_CHARS_MAX: usize = 80;

/// Refuses what can't be a service's name.
pub(super) fn name(name: &str) -> Result<(), Refusal> {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let ends_well = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    if name.len() > NAME_CHARS_MAX
        || !name.chars().all(inner)
        || !ends_well(name.chars().next())
        || !ends_well(name.chars().last())
    {
        return Err(Refusal::invalid(format!("{name:?} is not a service name")).hint(
            "1 to 63 letters, digits, '-' and '_', beginning and ending with a letter or digit",
        ));
    }
    Ok(())
}

/// Refuses a label that no table could show or that would fill the log.
pub(in crate::admit) fn label(key: &str, value: &str) -> Result<(), Refusal> {
    if key.is_empty() {
        return Err(Refusal::invalid("a label needs a key").hint("write key=value"));
    }
    if key.len() > LABEL_BYTES_MAX || value.len() > LABEL_BYTES_MAX {
        return Err(Refusal::invalid(format!(
            "label {:?} is longer than {LABEL_BYTES_MAX} bytes",
            excerpt(key, QUOTED_CHARS_MAX)
        )));
    }
    if has_control(key) || has_control(value) {
        return Err(Refusal::invalid(format!("label {key:?} holds control characters")));
    }
    Ok(())
}

/// Whether there are control characters in it.
pub(in crate::admit) fn has_control(text: &str) -> bool {
    // Nearly all text is plain: looked at by bytes, it need not be decoded. A loop without an early
    // end looks at many bytes at once.
    let plain = text.bytes().fold(true, |plain, byte| plain & (b' '..=b'~').contains(&byte));
    !plain && text.chars().any(char::is_control)
}

/// Refuses what can't be a container's host name; none at all is the engine's own choice.
pub(super) fn hostname(name: &str) -> Result<(), Refusal> {
    if name.is_empty() {
        return Ok(());
    }
    let ends_badly =
        |label: &str| label.is_empty() || label.starts_with('-') || label.ends_with('-');
    let bad = name.chars().find(|c| !c.is_ascii_alphanumeric() && !"-.".contains(*c));
    let refusal = if name.len() > CONTAINER_HOSTNAME_BYTES_MAX {
        Refusal::invalid(format!(
            "host name {:?} has {} bytes, {CONTAINER_HOSTNAME_BYTES_MAX} are possible",
            excerpt(name, QUOTED_CHARS_MAX),
            name.len()
        ))
    } else if let Some(bad) = bad {
        Refusal::invalid(format!("host name {name:?} holds the character {bad:?}"))
    } else if name.split('.').any(ends_badly) {
        Refusal::invalid(format!(
            "host name {name:?} has a label that is empty or begins or ends with '-'"
        ))
    } else {
        return Ok(());
    };
    Err(refusal.hint("write words of letters, digits and '-', separated by dots, 64 bytes in all"))
}

/// Refuses text that can't be handed to a program: it would end at the zero byte.
pub(super) fn no_zero(what: &str, text: &str) -> Result<(), Refusal> {
    if text.contains('\0') {
        return Err(
            Refusal::invalid(format!("{what} {text:?} holds a zero byte")).hint("leave it out")
        );
    }
    Ok(())
}

/// Refuses a template: it would be taken literally.
pub(super) fn no_template(what: &str, text: &str) -> Result<(), Refusal> {
    if text.contains("{{") {
        return Err(Refusal::unsupported(format!("{what} holds a template: not supported yet"))
            .hint("write the value itself; \"{{\" can't be part of it"));
    }
    Ok(())
}
