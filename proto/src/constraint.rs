//! Placement constraints: `key == value` or `key != value` about a node.
//!
//! Parsed at admission, so that a bad one is refused before anything happens, and again by placement and fitness.
//! Comparison is without case and over the whole value; there are no globs. A key nobody knows never matches,
//! with either operator; `!=` matches a node that lacks the label.

use std::net::IpAddr;
use thiserror::Error;

/// What a constraint looks at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Key {
    /// `node.id`
    NodeId,
    /// `node.hostname`
    Hostname,
    /// `node.ip`: an address or a network
    Ip,
    /// `node.role`
    Role,
    /// `node.platform.os`
    Os,
    /// `node.platform.arch`
    Arch,
    /// `node.labels.KEY`
    NodeLabel(String),
    /// `engine.labels.KEY`
    EngineLabel(String),
    /// Well formed, and known to nobody.
    Unknown(String),
}

/// How a constraint compares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operator {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

/// One parsed constraint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Constraint {
    /// What is looked at.
    pub key: Key,
    /// How it is compared.
    pub operator: Operator,
    /// With what.
    pub value: String,
}

/// Why a constraint cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ConstraintError {
    /// Neither operator is there.
    #[error("constraint {0:?} has no operator; write key==value or key!=value")]
    NoOperator(String),
    /// The part before the operator is no key.
    #[error(
        "constraint {0:?} has a bad key; a key is letters, digits, '-', '_' and '.', and begins with a letter"
    )]
    BadKey(String),
    /// The part after the operator is no value.
    #[error("constraint {0:?} has a bad value")]
    BadValue(String),
}

/// What a constraint may ask about a node.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The id's text.
    pub id: &'a str,
    /// As the agent described itself.
    pub hostname: &'a str,
    /// The address that the node is reached at; may be empty.
    pub addr: &'a str,
    /// `worker` or `manager`.
    pub role: &'a str,
    /// Operating system.
    pub os: &'a str,
    /// Processor architecture.
    pub arch: &'a str,
    /// Given by people.
    pub node_labels: &'a std::collections::BTreeMap<String, String>,
    /// Given by the engine.
    pub engine_labels: &'a std::collections::BTreeMap<String, String>,
}

impl Constraint {
    /// Reads `key==value` or `key!=value`; blanks around either are dropped.
    pub fn parse(text: &str) -> Result<Constraint, ConstraintError> {
        let equal = text.find("==").map(|at| (at, Operator::Equal));
        let not_equal = text.find("!=").map(|at| (at, Operator::NotEqual));
        let first = [equal, not_equal].into_iter().flatten().min_by_key(|(at, _)| *at);
        let (at, operator) = first.ok_or_else(|| ConstraintError::NoOperator(text.into()))?;
        let (key, value) = (text[..at].trim(), text[at + 2..].trim());
        if !is_key(key) {
            return Err(ConstraintError::BadKey(text.into()));
        }
        if value.is_empty() || !value.chars().all(is_value_char) {
            return Err(ConstraintError::BadValue(text.into()));
        }
        Ok(Constraint { key: Key::parse(key), operator, value: value.into() })
    }

    /// Whether the node meets it.
    pub fn admits(&self, node: &Subject<'_>) -> bool {
        let found = match &self.key {
            Key::NodeId => Some(node.id),
            Key::Hostname => Some(node.hostname),
            Key::Role => Some(node.role),
            Key::Os => Some(node.os),
            Key::Arch => return self.decide(same_arch(&self.value, node.arch)),
            Key::Ip => return self.decide(address_within(node.addr, &self.value)),
            Key::NodeLabel(label) => node.node_labels.get(label).map(String::as_str),
            Key::EngineLabel(label) => node.engine_labels.get(label).map(String::as_str),
            Key::Unknown(_) => return false,
        };
        self.decide(found.is_some_and(|found| found.eq_ignore_ascii_case(&self.value)))
    }

    fn decide(&self, equal: bool) -> bool {
        match self.operator {
            Operator::Equal => equal,
            Operator::NotEqual => !equal,
        }
    }
}

impl Key {
    fn parse(text: &str) -> Key {
        let lower = text.to_ascii_lowercase();
        match lower.as_str() {
            "node.id" => Key::NodeId,
            "node.hostname" => Key::Hostname,
            "node.ip" => Key::Ip,
            "node.role" => Key::Role,
            "node.platform.os" => Key::Os,
            "node.platform.arch" => Key::Arch,
            other if other.starts_with("node.labels.") && other.len() > 12 => {
                Key::NodeLabel(text[12..].into())
            }
            other if other.starts_with("engine.labels.") && other.len() > 14 => {
                Key::EngineLabel(text[14..].into())
            }
            _ => Key::Unknown(text.into()),
        }
    }
}

/// Whether two names mean one architecture: `x86_64` is `amd64`, `aarch64` is `arm64`.
pub fn same_arch(a: &str, b: &str) -> bool {
    canonical_arch(a).eq_ignore_ascii_case(canonical_arch(b))
}

fn canonical_arch(arch: &str) -> &str {
    if arch.eq_ignore_ascii_case("x86_64") {
        "amd64"
    } else if arch.eq_ignore_ascii_case("aarch64") {
        "arm64"
    } else {
        arch
    }
}

fn is_key(text: &str) -> bool {
    text.len() > 1
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

fn is_value_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || ":-_.*()?+[]\\^$|/".contains(c)
}

fn address_within(addr: &str, wanted: &str) -> bool {
    let Ok(addr) = addr.parse::<IpAddr>() else { return false };
    match wanted.split_once('/') {
        None => wanted.parse::<IpAddr>().is_ok_and(|wanted| wanted == addr),
        Some((net, bits)) => match (net.parse::<IpAddr>(), bits.parse::<u32>()) {
            (Ok(net), Ok(bits)) => same_network(addr, net, bits),
            (Ok(_) | Err(_), _) => false,
        },
    }
}

fn same_network(a: IpAddr, b: IpAddr, bits: u32) -> bool {
    let (a, b, width) = match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits(), b.to_bits(), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    bits <= width && (bits == 0 || a >> (width - bits) == b >> (width - bits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn check(constraint: &str, expected: bool) {
        let labels = BTreeMap::from([("zone".to_owned(), "b1".to_owned())]);
        let node = Subject {
            id: "n1",
            hostname: "Alpha",
            addr: "10.1.2.3",
            role: "worker",
            os: "linux",
            arch: "x86_64",
            node_labels: &labels,
            engine_labels: &BTreeMap::new(),
        };
        let parsed = Constraint::parse(constraint).expect("a good constraint");
        assert_eq!(parsed.admits(&node), expected, "{constraint}");
    }

    #[test]
    fn every_kind_of_key_is_compared() {
        check("node.id==n1", true);
        check("node.hostname == alpha", true);
        check("node.hostname!=alpha", false);
        check("node.ip==10.1.0.0/16", true);
        check("node.ip==10.2.0.0/16", false);
        check("node.ip!=10.1.2.4", true);
        check("node.role==worker", true);
        check("node.platform.os==Linux", true);
        check("node.platform.arch==amd64", true);
        check("node.labels.zone==B1", true);
        check("node.labels.zone!=b2", true);
        check("node.labels.rack!=b2", true);
        check("node.labels.rack==b2", false);
        check("engine.labels.gpu==yes", false);
    }

    #[test]
    fn a_key_nobody_knows_never_matches() {
        check("node.colour==red", false);
        check("node.colour!=red", false);
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        assert!(matches!(Constraint::parse("node.id=n1"), Err(ConstraintError::NoOperator(_))));
        assert!(matches!(Constraint::parse("1zone==b"), Err(ConstraintError::BadKey(_))));
        assert!(matches!(Constraint::parse("node.id=="), Err(ConstraintError::BadValue(_))));
    }
}
