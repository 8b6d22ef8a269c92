//! Published ports, in Docker's long and short forms. PURE.
//!
//! The short form means the ingress mesh, which is not built. It is read all the same, so that the
//! error can say what to write instead.

use super::csv;
use skep_proto::v1::{PortConfig, PortProtocol, PublishMode};
use std::collections::BTreeSet;

/// The keys of a port.
const KEYS: [&str; 5] = ["published", "target", "protocol", "mode", "name"];

/// `published=8080,target=80,protocol=tcp,mode=host`.
pub(crate) fn port(text: &str) -> Result<PortConfig, String> {
    if !text.contains('=') {
        let (published, target, protocol) = short(text)?;
        let protocol = if protocol == PortProtocol::Tcp {
            String::new()
        } else {
            format!(",protocol={}", word(protocol))
        };
        return Err(format!(
            "it asks for the ingress mesh, which is not supported yet; write \
             published={published},target={target}{protocol},mode=host to use a port of each node"
        ));
    }
    let mut port =
        PortConfig { publish_mode: PublishMode::Ingress as i32, ..PortConfig::default() };
    let mut seen = BTreeSet::new();
    for field in csv::fields(text)? {
        let (key, Some(value)) = csv::pair(&field) else {
            return Err(format!("{field:?} has no value"));
        };
        if let Some(name) = KEYS.into_iter().find(|name| *name == key) {
            csv::once(&mut seen, key, name)?;
        }
        match key {
            "target" => port.target_port = number(value)?,
            "published" => port.published_port = number(value)?,
            "protocol" => port.protocol = protocol(value)? as i32,
            "mode" => port.publish_mode = mode(value)? as i32,
            "name" => port.name = value.to_owned(),
            _ => {
                return Err(format!(
                    "key {key:?} is unknown; there are published, target, protocol, mode and name"
                ));
            }
        }
    }
    if port.target_port == 0 {
        return Err("it names no target port; write published=8080,target=80,mode=host".into());
    }
    if port.publish_mode() == PublishMode::Ingress {
        return Err(
            "it asks for the ingress mesh, which is not supported yet; add mode=host".into()
        );
    }
    Ok(port)
}

/// Which published ports are taken away: a target port, with its protocol where that is not tcp:
/// `80`, `53/udp`.
pub(crate) fn port_removal(text: &str) -> Result<(u32, PortProtocol), String> {
    let (target, name) = text.split_once('/').unwrap_or((text, "tcp"));
    Ok((number(target)?, protocol(name)?))
}

fn short(text: &str) -> Result<(u32, u32, PortProtocol), String> {
    let (ports, name) = text.split_once('/').unwrap_or((text, "tcp"));
    let (published, target) = ports.split_once(':').unwrap_or(("0", ports));
    let bad = |_| "it is not a port; write published=8080,target=80,mode=host".to_owned();
    Ok((
        number(published).or_else(|_| number_or_zero(published)).map_err(bad)?,
        number(target).map_err(bad)?,
        protocol(name)?,
    ))
}

fn number_or_zero(text: &str) -> Result<u32, String> {
    if text == "0" { Ok(0) } else { number(text) }
}

fn number(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(port @ 1..=65_535) => Ok(port),
        Ok(_) | Err(_) => Err(format!("{text:?} is not a port; ports are 1 to 65535")),
    }
}

fn protocol(text: &str) -> Result<PortProtocol, String> {
    match text {
        "tcp" => Ok(PortProtocol::Tcp),
        "udp" => Ok(PortProtocol::Udp),
        "sctp" => Ok(PortProtocol::Sctp),
        _ => Err(format!("{text:?} is not a protocol; there are tcp, udp and sctp")),
    }
}

fn mode(text: &str) -> Result<PublishMode, String> {
    match text {
        "host" => Ok(PublishMode::Host),
        "ingress" => Ok(PublishMode::Ingress),
        _ => Err(format!("{text:?} is not a publish mode; use host")),
    }
}

fn word(protocol: PortProtocol) -> &'static str {
    match protocol {
        PortProtocol::Tcp => "tcp",
        PortProtocol::Udp => "udp",
        PortProtocol::Sctp => "sctp",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_long_form_is_read() {
        let port = port("published=5353,target=53,protocol=udp,mode=host").expect("a good port");
        assert_eq!((port.published_port, port.target_port), (5353, 53));
        assert_eq!((port.protocol(), port.publish_mode()), (PortProtocol::Udp, PublishMode::Host));
    }

    #[test]
    fn the_mesh_is_answered_with_what_to_write_instead() {
        let error = port("8080:80").expect_err("the mesh is not built");
        assert!(error.contains("published=8080,target=80,mode=host"), "{error}");
        let error = port("81").expect_err("the mesh is not built");
        assert!(error.contains("target=81,mode=host"), "{error}");
        let error = port("53:53/udp").expect_err("the mesh is not built");
        assert!(error.contains("protocol=udp"), "{error}");
        assert!(port("published=8080,target=80").is_err());
    }

    #[test]
    fn nothing_is_overridden_silently() {
        for (text, key) in [
            ("published=80,published=81,target=80,mode=host", "published"),
            ("published=80,target=80,mode=ingress,mode=host", "mode"),
        ] {
            assert_eq!(port(text).expect_err(text), format!("{key} is given twice"), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "x",
            "target=0,mode=host",
            "target=70000,mode=host",
            "published=80,mode=host",
            "colour=red",
        ] {
            assert!(port(text).is_err(), "{text:?}");
        }
        assert_eq!(port_removal("53/udp"), Ok((53, PortProtocol::Udp)));
        assert!(port_removal("53/ip").is_err());
    }
}
