//! Placement constraints: `key == value` or `key != value` about a node.
//!
//! They are read at admission, so that a bad one is refused before anything happens, and again by
//! placement and fitness. Values are compared as a whole and without case; there are no patterns. A
//! value may be whatever a label may hold, also nothing at all. `!=` admits a node that lacks the
//! label.

use crate::Id;
use std::{fmt, net::IpAddr};
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
    /// Anything else: refused at admission, and admits no node.
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

/// The keys that a constraint may begin with.
pub const KNOWN_KEYS: &str = "node.id, node.hostname, node.ip, node.role, node.platform.os, node.platform.arch, \
                              node.labels.KEY, engine.labels.KEY";
/// Longest constraint, bytes: the longest label key and value and the prefix. A longer one is
/// refused.
pub const CONSTRAINT_BYTES_MAX: usize = 8_256;

/// Why a constraint cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ConstraintError {
    /// Neither operator is there.
    #[error("constraint {0:?} has no operator")]
    NoOperator(String),
    /// The part before the operator is no key of a node.
    #[error("constraint {text:?} has the key {key:?}, which nodes do not have")]
    UnknownKey {
        /// The whole constraint.
        text: String,
        /// Its key.
        key: String,
    },
    /// No node can ever have such a value.
    #[error("constraint {text:?} can't be met: {value:?} is not {expected}")]
    BadValue {
        /// The whole constraint.
        text: String,
        /// Its value.
        value: String,
        /// What the value has to be.
        expected: &'static str,
    },
    /// It holds control characters.
    #[error("constraint {0:?} holds control characters")]
    Control(String),
    /// It is longer than any label.
    #[error("a constraint is longer than {CONSTRAINT_BYTES_MAX} bytes")]
    TooLong,
}

impl ConstraintError {
    /// The next step.
    pub fn hint(&self) -> String {
        match self {
            ConstraintError::NoOperator(_) => "write key==value or key!=value".into(),
            ConstraintError::UnknownKey { .. } => format!("the keys are {KNOWN_KEYS}"),
            ConstraintError::BadValue { expected, .. } => format!("write {expected}"),
            ConstraintError::Control(_) => "leave them out: no label can hold any".into(),
            ConstraintError::TooLong => "no label is that long".into(),
        }
    }
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
    /// Reads `key==value` or `key!=value`, as somebody asks for it. Blanks around key and value are
    /// dropped.
    pub fn parse(text: &str) -> Result<Constraint, ConstraintError> {
        if text.len() > CONSTRAINT_BYTES_MAX {
            return Err(ConstraintError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(ConstraintError::Control(text.into()));
        }
        let (key, operator, value) =
            split(text).ok_or_else(|| ConstraintError::NoOperator(text.into()))?;
        let constraint = Constraint { key: Key::parse(key), operator, value: value.into() };
        if let Key::Unknown(key) = constraint.key {
            return Err(ConstraintError::UnknownKey { text: text.into(), key });
        }
        match constraint.misfit_of_value() {
            Some(expected) => {
                let value = constraint.value;
                Err(ConstraintError::BadValue { text: text.into(), value, expected })
            }
            None => Ok(constraint),
        }
    }

    /// Reads a constraint of a recorded spec. One that cannot be read admits no node; admission
    /// lets none in.
    pub fn recorded(text: &str) -> Constraint {
        let (key, operator, value) = split(text).unwrap_or((text, Operator::Equal, ""));
        Constraint { key: Key::parse(key), operator, value: value.into() }
    }

    /// What the value would have to be, where no node can have this one.
    fn misfit_of_value(&self) -> Option<&'static str> {
        let value = self.value.as_str();
        let (fits, expected) = match &self.key {
            Key::NodeId => {
                (Id::parse(&value.to_ascii_lowercase()).is_some(), "the whole id of a node")
            }
            Key::Ip => (is_network(value), "an address or a network such as 10.0.0.0/8"),
            Key::Role => {
                (same_text(value, "worker") || same_text(value, "manager"), "worker or manager")
            }
            Key::Hostname => (!value.is_empty(), "a host name"),
            Key::Os => (!value.is_empty(), "an operating system such as linux"),
            Key::Arch => (!value.is_empty(), "an architecture such as amd64"),
            Key::NodeLabel(_) | Key::EngineLabel(_) | Key::Unknown(_) => (true, ""),
        };
        (!fits).then_some(expected)
    }

    /// Whether the node meets it.
    pub fn admits(&self, node: &Subject<'_>) -> bool {
        let same = |found: &str| same_text(found.trim(), &self.value);
        let is_equal = match &self.key {
            Key::NodeId => same(node.id),
            Key::Hostname => same(node.hostname),
            Key::Role => same(node.role),
            Key::Os => same(node.os),
            Key::Arch => same_arch(&self.value, node.arch),
            Key::Ip => address_within(node.addr, &self.value),
            Key::NodeLabel(label) => node.node_labels.get(label).is_some_and(|found| same(found)),
            Key::EngineLabel(label) => {
                node.engine_labels.get(label).is_some_and(|found| same(found))
            }
            Key::Unknown(_) => return false,
        };
        match self.operator {
            Operator::Equal => is_equal,
            Operator::NotEqual => !is_equal,
        }
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operator = match self.operator {
            Operator::Equal => "==",
            Operator::NotEqual => "!=",
        };
        write!(f, "{}{operator}{}", self.key, self.value)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::NodeId => f.write_str("node.id"),
            Key::Hostname => f.write_str("node.hostname"),
            Key::Ip => f.write_str("node.ip"),
            Key::Role => f.write_str("node.role"),
            Key::Os => f.write_str("node.platform.os"),
            Key::Arch => f.write_str("node.platform.arch"),
            Key::NodeLabel(label) => write!(f, "node.labels.{label}"),
            Key::EngineLabel(label) => write!(f, "engine.labels.{label}"),
            Key::Unknown(text) => f.write_str(text),
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

/// Key, operator and value of a text that has an operator.
fn split(text: &str) -> Option<(&str, Operator, &str)> {
    let equal = text.find("==").map(|at| (at, Operator::Equal));
    let not_equal = text.find("!=").map(|at| (at, Operator::NotEqual));
    let (at, operator) = [equal, not_equal].into_iter().flatten().min_by_key(|(at, _)| *at)?;
    Some((text[..at].trim(), operator, text[at + 2..].trim()))
}

/// Whether two texts differ in case at most.
fn same_text(a: &str, b: &str) -> bool {
    let lower = |text: &'_ str| text.chars().flat_map(char::to_lowercase).collect::<String>();
    a.eq_ignore_ascii_case(b) || (!(a.is_ascii() && b.is_ascii()) && lower(a) == lower(b))
}

/// Whether it is an address, or an address and as many bits of it as there can be.
fn is_network(text: &str) -> bool {
    let (addr, bits) = text.split_once('/').map_or((text, None), |(addr, bits)| (addr, Some(bits)));
    let width = match addr.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.is_none_or(|bits| bits.parse::<u32>().is_ok_and(|bits| bits <= width))
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

    fn labels() -> BTreeMap<String, String> {
        let labels = [
            ("zone", "b1"),
            ("jobs", ""),
            ("owner", "team@x"),
            ("site", "Zürich, west "),
            ("a/b c", "1==2"),
        ];
        labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    }

    #[test]
    fn an_architecture_has_two_names_and_case_does_not_count() {
        assert!(same_arch("x86_64", "AMD64") && same_arch("aarch64", "arm64"));
        assert!(!same_arch("arm64", "amd64") && !same_arch("riscv64", "amd64"));
    }

    #[test]
    fn texts_are_compared_without_case_in_any_script() {
        assert!(same_text("ZÜRICH", "zürich") && same_text("Web", "wEB"));
        assert!(same_text("\u{212a}", "k"), "the sign for kelvin is a letter K");
        assert!(!same_text("zurich", "zürich") && !same_text("a", "b") && !same_text("é", "e"));
    }

    #[test]
    fn a_label_has_a_name() {
        assert_eq!(Key::parse("engine.labels."), Key::Unknown("engine.labels.".into()));
        assert_eq!(Key::parse("engine.labels.x"), Key::EngineLabel("x".into()));
        assert_eq!(
            Key::parse("engine.label.long-enough"),
            Key::Unknown("engine.label.long-enough".into())
        );
        assert_eq!(Key::parse("node.labels.x"), Key::NodeLabel("x".into()));
        assert_eq!(Key::parse("node.labels."), Key::Unknown("node.labels.".into()));
    }

    #[test]
    fn a_network_has_at_most_all_bits_of_its_address() {
        assert!(is_network("10.0.0.1/32") && is_network("10.0.0.1/0") && is_network("::1/128"));
        assert!(address_within("10.0.0.1", "10.0.0.1/32"));
        assert!(!address_within("10.0.0.2", "10.0.0.1/32"));
        assert!(!is_network("10.0.0.1/33") && !is_network("::1/129") && !is_network("10.0.0.1/"));
    }

    fn subject(labels: &BTreeMap<String, String>) -> Subject<'_> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        Subject {
            id: "0000000000000000000000042",
            hostname: "Alpha",
            addr: "10.1.2.3",
            role: "worker",
            os: "linux",
            arch: "x86_64",
            node_labels: labels,
            engine_labels: &NONE,
        }
    }

    fn check(constraint: &str, expected: bool) {
        let parsed = Constraint::parse(constraint).expect("a good constraint");
        assert_eq!(parsed.admits(&subject(&labels())), expected, "{constraint}");
    }

    #[test]
    fn every_kind_of_key_is_compared() {
        check("node.id==0000000000000000000000042", true);
        check("node.id==0000000000000000000000043", false);
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
    fn what_a_label_may_hold_can_be_named() {
        check("node.labels.jobs==", true);
        check("node.labels.jobs!=", false);
        check("node.labels.rack==", false);
        check("node.labels.rack!=", true);
        check("node.labels.owner==team@x", true);
        check("node.labels.site==zürich, WEST", true);
        check("node.labels.site==zürich", false);
        check("node.labels.a/b c == 1==2", true);
        check("node.labels.a/b c!=1==2", false);
    }

    #[test]
    fn an_unreadable_constraint_of_a_recorded_spec_admits_no_node() {
        for text in ["node.colour==red", "node.colour!=red", "nothing", "node.labels.==x"] {
            assert!(!Constraint::recorded(text).admits(&subject(&labels())), "{text}");
        }
        assert!(Constraint::recorded("node.role != manager").admits(&subject(&labels())));
    }

    fn refused(constraint: &str, message: &str, hint: &str) {
        let error = Constraint::parse(constraint).expect_err(constraint);
        assert_eq!((error.to_string().as_str(), error.hint().as_str()), (message, hint));
    }

    #[test]
    fn what_no_node_can_ever_meet_is_refused() {
        refused(
            "node.id=n1",
            "constraint \"node.id=n1\" has no operator",
            "write key==value or key!=value",
        );
        let keys = format!("the keys are {KNOWN_KEYS}");
        refused(
            "node.foo==1",
            "constraint \"node.foo==1\" has the key \"node.foo\", which nodes do not have",
            &keys,
        );
        refused("==1", "constraint \"==1\" has the key \"\", which nodes do not have", &keys);
        refused(
            "node.labels.==1",
            "constraint \"node.labels.==1\" has the key \"node.labels.\", which nodes do not have",
            &keys,
        );
        refused(
            "node.role==mangaer",
            "constraint \"node.role==mangaer\" can't be met: \"mangaer\" is not worker or manager",
            "write worker or manager",
        );
        refused(
            "node.id==n1",
            "constraint \"node.id==n1\" can't be met: \"n1\" is not the whole id of a node",
            "write the whole id of a node",
        );
        for bad in [
            "node.ip==10.0.0.0/33",
            "node.ip==10.0.0",
            "node.ip==::1/129",
            "node.ip==10.0.0.1/",
            "node.ip==",
        ] {
            let error = Constraint::parse(bad).expect_err(bad);
            assert_eq!(error.hint(), "write an address or a network such as 10.0.0.0/8", "{bad}");
        }
        for bad in ["node.hostname==", "node.platform.os==", "node.platform.arch=="] {
            assert!(
                matches!(Constraint::parse(bad), Err(ConstraintError::BadValue { .. })),
                "{bad}"
            );
        }
        refused(
            "node.labels.a==\u{7}",
            "constraint \"node.labels.a==\\u{7}\" holds control characters",
            "leave them out: no label can hold any",
        );
        let long = format!("node.labels.a=={}", "x".repeat(CONSTRAINT_BYTES_MAX));
        refused(&long, "a constraint is longer than 8256 bytes", "no label is that long");
        assert!(Constraint::parse(&long[..CONSTRAINT_BYTES_MAX]).is_ok());
    }

    #[test]
    fn addresses_and_networks_of_both_kinds_are_read() {
        for good in ["10.0.0.1", "10.0.0.0/0", "10.0.0.0/32", "::1", "fd00::/8", "::1/128"] {
            assert!(Constraint::parse(&format!("node.ip=={good}")).is_ok(), "{good}");
        }
    }
}
