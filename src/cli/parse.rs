//! From arguments of the command line to values, and the error where that cannot be.
//!
//! Everything is read here before the first connection: a wrong flag never costs a round trip, and
//! never half a command. An error does not repeat the value, since the line that it ends does so
//! already.

mod address;
mod csv;
mod duration;
mod env;
mod mount;
mod port;
mod shell;
mod size;
mod time;

pub(super) use address::{
    engine, join_token, listen_address, manager, remote_manager, socket, trace_receiver,
};
pub(super) use duration::{duration, duration_ns};
pub(super) use env::{ENV_FILE_BYTES_MAX, last_of_each, name as env_name};
pub(super) use mount::mount;
pub(super) use port::{port, port_removal};
pub(super) use shell::{ShellWords, shell_words};
pub(super) use size::{cpus, memory};
pub(super) use time::{ParsedTime, in_zone};

use skep_proto::{Timestamp, constraint::Constraint, v1::moment::Moment};

/// The name of something, or its id.
pub(super) fn reference(text: &str) -> Result<String, String> {
    text_or(text, "it is empty; write a name, an id, or the beginning of an id")
}

/// Who did something.
pub(super) fn author(text: &str) -> Result<String, String> {
    text_or(text, "it is empty; write a user, uid:1000, a node, or a reconciler")
}

/// What is to be taken away.
pub(super) fn removal(text: &str) -> Result<String, String> {
    text_or(text, "it is empty; write what is to be removed")
}

fn text_or(text: &str, wrong: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err(wrong.to_owned()) } else { Ok(text.to_owned()) }
}

/// The revision at which something begins.
pub(super) fn from_revision(text: &str) -> Result<u64, String> {
    let is_other = moment(text).is_ok_and(|read| !matches!(read.value, Moment::Revision(_)));
    match is_other {
        true => Err("it is not a revision; --since takes a time or an age".into()),
        false => count(text),
    }
}

/// A revision, a time, or an age; times without a zone are this machine's.
pub(super) fn moment(text: &str) -> Result<ParsedTime<Moment>, String> {
    time::moment(text, &jiff::tz::TimeZone::system())
}

/// The bound of what is wanted, in nanoseconds since 1970; how it was read is said if that is in
/// doubt.
pub(super) fn since(text: &str, now: Timestamp) -> Result<u64, String> {
    let read = time::since(text, now, &jiff::tz::TimeZone::system())?;
    read.note.iter().for_each(|note| super::show::talk(&format!("note: {note}")));
    Ok(read.value)
}

/// `KEY=VALUE`, or `KEY` alone for an empty value.
pub(super) fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    if key.trim().is_empty() {
        return Err("the key is missing; write KEY=VALUE".into());
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// `NAME=VALUE`; a `NAME` alone takes the value that this command has in its own environment.
pub(super) fn env(text: &str) -> Result<String, String> {
    env::variable(text, &own_environment)
}

/// The variables of an `--env-file`.
pub(super) fn env_file(bytes: &[u8]) -> Result<Vec<String>, String> {
    env::file(bytes, &own_environment)
}

fn own_environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A placement constraint, checked; kept as it was written.
pub(super) fn constraint(text: &str) -> Result<String, String> {
    Constraint::parse(text)
        .map(|_| text.to_owned())
        .map_err(|error| format!("{error}; {}", error.hint()))
}

/// One of the networks that every node has by itself.
pub(super) fn network(text: &str) -> Result<String, String> {
    match text {
        "host" | "none" | "bridge" => Ok(text.to_owned()),
        _ => Err("networks of the cluster are not supported yet; use host, none or bridge".into()),
    }
}

/// `SERVICE=REPLICAS`.
pub(super) fn scale(text: &str) -> Result<(String, u64), String> {
    let (service, replicas) =
        text.split_once('=').ok_or("the number of replicas is missing; write SERVICE=REPLICAS")?;
    if service.is_empty() {
        return Err("the service is missing; write SERVICE=REPLICAS".into());
    }
    let count = count(replicas).map_err(|error| {
        let is_turned = count::<u64>(service).is_ok() && !replicas.is_empty();
        match is_turned {
            true => format!("the service comes first; write {replicas}={service}"),
            false if error == TOO_LARGE => format!("{replicas} replicas are too many"),
            false => format!("{replicas:?} is not a number of replicas; write {service}=3"),
        }
    })?;
    Ok((service.to_owned(), count))
}

/// A number beyond what a type holds.
const TOO_LARGE: &str = "it is too large";

/// A number of things, from zero on.
pub(super) fn count<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    let is_whole = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match (text.parse(), is_whole) {
        (Ok(count), true) => Ok(count),
        (Err(_), true) => Err(TOO_LARGE.into()),
        (_, false) => Err("it is not a whole number; write for example 0 or 3".into()),
    }
}

/// How many of the last lines: a number, or `all`.
pub(super) fn tail(text: &str) -> Result<Option<u64>, String> {
    if text == "all" {
        return Ok(None);
    }
    count(text).map(Some).map_err(|_| "it is not a number of lines; write a number or all".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_cut_at_the_first_equals_sign() {
        assert_eq!(label("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(label("a"), Ok(("a".into(), String::new())));
        assert!(label("=b").is_err());
        assert_eq!(env("A=b=c"), Ok("A=b=c".into()));
        assert!(env("=b").is_err());
        assert_eq!(scale("web=3"), Ok(("web".into(), 3)));
        assert!(scale("web=x").is_err() && scale("web").is_err() && scale("web=-1").is_err());
        assert_eq!(scale("3=web"), Err("the service comes first; write web=3".into()));
        let many = "99999999999999999999";
        assert_eq!(scale(&format!("web={many}")), Err(format!("{many} replicas are too many")));
        assert_eq!(count::<u64>("3"), Ok(3));
        for text in ["", "x", "-1", "+1", "1.5", "1e3", " 1"] {
            assert_eq!(
                count::<u64>(text),
                Err("it is not a whole number; write for example 0 or 3".into()),
                "{text:?}"
            );
        }
        assert_eq!(count::<u32>("4294967296"), Err("it is too large".into()));
    }

    #[test]
    fn what_is_named_is_not_empty() {
        assert_eq!(reference("web"), Ok("web".into()));
        for read in [reference, author, removal] {
            assert!(read("").is_err_and(|wrong| wrong.starts_with("it is empty; write ")));
            assert!(read(" ").is_err());
        }
    }

    #[test]
    fn a_first_revision_is_no_time() {
        assert_eq!(from_revision("7"), Ok(7));
        for text in ["-5m", "5m", "2026-01-31"] {
            let wrong = "it is not a revision; --since takes a time or an age";
            assert_eq!(from_revision(text), Err(wrong.into()), "{text}");
        }
        assert!(from_revision("first").is_err() && from_revision("-1").is_err());
    }

    #[test]
    fn networks_constraints_and_tails() {
        assert!(network("host").is_ok() && network("web").is_err());
        assert!(constraint("node.role==worker").is_ok() && constraint("node.role").is_err());
        assert_eq!(tail("all"), Ok(None));
        assert_eq!(tail("10"), Ok(Some(10)));
        assert!(tail("x").is_err());
    }
}
