//! From words on the command line to values, and what is said when that cannot be.
//!
//! Everything is read here before the first connection: a wrong flag never costs a round trip, and never half a
//! command.

mod duration;
mod mount;
mod port;
mod size;

pub use duration::{duration, duration_ns};
pub use mount::mount;
pub use port::{port, port_removal};
pub use size::{cpus, memory};

use skep_proto::{Timestamp, constraint::Constraint, v1::moment::Moment};
use std::path::PathBuf;

/// `unix:///run/skep/skep.sock`, or the path alone.
pub fn socket(text: &str) -> Result<PathBuf, String> {
    let path = text.strip_prefix("unix://").unwrap_or(text);
    if path.contains("://") {
        return Err(format!("{text:?} is no unix socket; write unix:///path/to/socket"));
    }
    if path.is_empty() { Err("the path of the socket is empty".into()) } else { Ok(PathBuf::from(path)) }
}

/// A revision, a time, or so long ago.
pub fn moment(text: &str) -> Result<Moment, String> {
    if let Some(ago) = text.strip_prefix('-') {
        return duration_ns(ago).map(Moment::AgoNs);
    }
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return text
            .parse()
            .map(Moment::Revision)
            .map_err(|_| format!("{text} is no revision: it is too large"));
    }
    Timestamp::parse(text).map(|at| Moment::TimeAt(at.0)).ok_or_else(|| {
        format!("{text:?} is no moment; write a revision (1234), a time (2026-01-31T14:00:00Z) or so long ago (-5m)")
    })
}

/// The beginning of what is wanted: a time, seconds since 1970, or so long before `now`. Nanoseconds since 1970.
pub fn since(text: &str, now: Timestamp) -> Result<u64, String> {
    if let Some(at) = Timestamp::parse(text) {
        return Ok(at.0);
    }
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        let seconds: u64 = text.parse().map_err(|_| format!("{text} is no time"))?;
        return Ok(seconds.saturating_mul(skep_proto::time::SECOND_NS));
    }
    let ago = duration_ns(text.strip_prefix('-').unwrap_or(text))
        .map_err(|_| format!("{text:?} is no time; write 2026-01-31T14:00:00Z, or so long ago: 10m"))?;
    Ok(now.0.saturating_sub(ago))
}

/// `KEY=VALUE`, or `KEY` alone for an empty value.
pub fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    if key.trim().is_empty() {
        return Err(format!("label {text:?} has no key; write KEY=VALUE"));
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// `NAME=VALUE`; a `NAME` alone takes the value that this command has in its own environment.
pub fn env(text: &str) -> Result<String, String> {
    let name = text.split('=').next().unwrap_or_default();
    if name.is_empty() || text.contains('\0') {
        return Err(format!("{text:?} is no environment variable; write NAME=VALUE"));
    }
    if text.contains('=') {
        return Ok(text.to_owned());
    }
    Ok(std::env::var(text).map_or_else(|_| text.to_owned(), |value| format!("{text}={value}")))
}

/// A placement constraint, checked; kept as it was written.
pub fn constraint(text: &str) -> Result<String, String> {
    Constraint::parse(text).map(|_| text.to_owned()).map_err(|error| format!("{error}; {}", error.hint()))
}

/// One of the networks that every node has by itself.
pub fn network(text: &str) -> Result<String, String> {
    match text {
        "host" | "none" | "bridge" => Ok(text.to_owned()),
        _ => Err(format!(
            "network {text:?}: networks of the cluster are not supported yet; use host, none or bridge"
        )),
    }
}

/// `SERVICE=REPLICAS`.
pub fn scale(text: &str) -> Result<(String, u64), String> {
    let (service, replicas) =
        text.split_once('=').ok_or_else(|| format!("{text:?}: write SERVICE=REPLICAS"))?;
    if service.is_empty() {
        return Err(format!("{text:?}: the service is missing; write SERVICE=REPLICAS"));
    }
    let count =
        replicas.parse().map_err(|_| format!("{replicas:?} is no number of replicas; write {service}=3"))?;
    Ok((service.to_owned(), count))
}

/// How many of the last lines: a number, or `all`.
pub fn tail(text: &str) -> Result<Option<u64>, String> {
    if text == "all" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| format!("{text:?} is no number of lines; write a number or all"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_revision_a_time_or_so_long_ago() {
        assert_eq!(moment("1234"), Ok(Moment::Revision(1234)));
        assert_eq!(moment("-5m"), Ok(Moment::AgoNs(300_000_000_000)));
        assert_eq!(moment("1970-01-01T00:00:01Z"), Ok(Moment::TimeAt(1_000_000_000)));
        assert!(moment("yesterday").is_err());
        assert!(moment("99999999999999999999").is_err());
    }

    #[test]
    fn the_beginning_of_a_log_is_counted_back_from_now() {
        let now = Timestamp(100_000_000_000);
        assert_eq!(since("10s", now), Ok(90_000_000_000));
        assert_eq!(since("7", now), Ok(7_000_000_000));
        assert_eq!(since("1970-01-01T00:00:02Z", now), Ok(2_000_000_000));
        assert!(since("soon", now).is_err());
    }

    #[test]
    fn pairs_are_cut_at_the_first_equals_sign() {
        assert_eq!(label("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(label("a"), Ok(("a".into(), String::new())));
        assert!(label("=b").is_err());
        assert_eq!(env("A=b=c"), Ok("A=b=c".into()));
        assert!(env("=b").is_err());
        assert_eq!(scale("web=3"), Ok(("web".into(), 3)));
        assert!(scale("web=x").is_err() && scale("web").is_err() && scale("web=-1").is_err());
    }

    #[test]
    fn sockets_and_networks() {
        assert_eq!(socket("unix:///run/s"), Ok("/run/s".into()));
        assert_eq!(socket("/run/s"), Ok("/run/s".into()));
        assert!(socket("tcp://1.2.3.4:1").is_err());
        assert!(network("host").is_ok() && network("web").is_err());
        assert!(constraint("node.role==worker").is_ok() && constraint("node.role").is_err());
        assert_eq!(tail("all"), Ok(None));
        assert_eq!(tail("10"), Ok(Some(10)));
        assert!(tail("x").is_err());
    }
}
