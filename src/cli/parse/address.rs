//! Addresses: of a manager, of a container engine, of a receiver of traces. PURE.

use skep_agent::ManagerEndpoint;
use skep_gateway::door::DOOR_PORT;
use skep_trust::{JoinToken, TokenError};
use std::{
    net::{Ipv6Addr, SocketAddr},
    path::PathBuf,
};
use tonic::transport::Uri;

/// Longest path of a socket; a longer one is refused. The kernel's field has one byte more, for the
/// end of the text.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// `unix:///run/skep/skep.sock`, or the path alone.
pub(crate) fn socket(text: &str) -> Result<PathBuf, String> {
    let path = text.strip_prefix("unix://").unwrap_or(text);
    let over_tcp = ["tcp://", "http://", "https://"].iter().any(|scheme| text.starts_with(scheme));
    if over_tcp || is_host_and_port(path) {
        return Err(
            "people reach a manager through its unix socket, on its own machine; write unix:///path/to/socket"
                .into(),
        );
    }
    if path.contains("://") || path.starts_with("unix:") {
        return Err("it is not a unix socket; write unix:///path/to/socket".into());
    }
    if path.is_empty() {
        Err("the path of the socket is empty".into())
    } else if path.len() > SOCKET_PATH_BYTES_MAX {
        Err(format!(
            "the path of a socket may have {SOCKET_PATH_BYTES_MAX} bytes, this one has {}",
            path.len()
        ))
    } else {
        Ok(PathBuf::from(path))
    }
}

/// `unix:///run/skep/skep.sock`, the path alone, or `HOST:PORT`.
pub(crate) fn manager(text: &str) -> Result<ManagerEndpoint, String> {
    match remote_manager(text) {
        Ok(address) if text.contains(':') => Ok(ManagerEndpoint::Network(address)),
        Ok(_) | Err(_) => socket(text).map(ManagerEndpoint::Unix),
    }
}

/// `HOST:PORT`, or `HOST` with the port that managers listen on. An IPv6 address stands in
/// brackets.
pub(crate) fn remote_manager(text: &str) -> Result<String, String> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => (host, port.parse::<u16>().ok()),
        Some(_) | None => (text, Some(DOOR_PORT)),
    };
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(ip) => ip.parse::<Ipv6Addr>().is_ok(),
        None => {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            !host.is_empty() && host.chars().all(fits)
        }
    };
    match port {
        Some(port) if is_host && port > 0 => Ok(format!("{host}:{port}")),
        Some(_) | None => Err("it is not the address of a manager; write HOST:PORT".into()),
    }
}

/// `SWMTKN-1-…`
pub(crate) fn join_token(text: &str) -> Result<JoinToken, String> {
    text.parse().map_err(|error: TokenError| error.to_string())
}

/// `unix:///var/run/docker.sock`, the path alone, or `tcp://127.0.0.1:2375`.
pub(crate) fn engine(text: &str) -> Result<String, String> {
    let is_engine = match text.split_once("://") {
        Some(("unix", path)) => !path.is_empty(),
        Some(("tcp" | "http", address)) => is_host_and_port(address.trim_end_matches('/')),
        Some(_) => false,
        None => text.starts_with('/'),
    };
    if is_engine {
        return Ok(text.to_owned());
    }
    Err("it is not the address of an engine; write unix:///path/to/socket or tcp://HOST:PORT"
        .into())
}

/// `http://127.0.0.1:4317`.
pub(crate) fn trace_receiver(text: &str) -> Result<String, String> {
    let expected = "write http://HOST:PORT";
    let bad = || format!("it is not the address of a receiver; {expected}");
    let uri: Uri = text.parse().map_err(|_| bad())?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => return Err(format!("TLS is not supported yet; {expected}")),
        Some(_) | None => return Err(bad()),
    }
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let host = uri.host().unwrap_or_default();
    // A port is a number up to 65535, and what stands before the host would be ignored.
    let is_whole = authority == host || (authority.starts_with(host) && uri.port_u16().is_some());
    if host.is_empty() || !is_whole {
        return Err(bad());
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(format!("traces are sent by gRPC, which has no path; {expected}"));
    }
    Ok(text.to_owned())
}

/// An address and a port to listen on.
pub(crate) fn listen_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        let port = text.strip_prefix(':').unwrap_or(text).parse::<u16>().ok();
        match port {
            Some(port) => format!("the address is missing; write 127.0.0.1:{port}"),
            None => "it is not an IP address with a port; write for example 127.0.0.1:9323".into(),
        }
    })
}

/// Whether it is `HOST:PORT`; a path has a slash somewhere, or no port.
fn is_host_and_port(text: &str) -> bool {
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty() && !host.contains('/'));
    port.is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_to_listen_on_has_an_address_and_a_port() {
        assert_eq!(listen_address("[::1]:80"), Ok(([0, 0, 0, 0, 0, 0, 0, 1], 80).into()));
        for text in ["9323", ":9323"] {
            let wrong = "the address is missing; write 127.0.0.1:9323";
            assert_eq!(listen_address(text), Err(wrong.into()));
        }
        for text in ["", "localhost:80", "1.2.3.4", "99999"] {
            let wrong = listen_address(text).expect_err("it is no such address");
            assert!(wrong.starts_with("it is not an IP address with a port"), "{text}: {wrong}");
        }
    }

    #[test]
    fn a_path_of_a_socket_is_as_long_as_the_kernel_takes() {
        let longest = format!("/{}", "s".repeat(SOCKET_PATH_BYTES_MAX - 1));
        assert_eq!(socket(&longest), Ok(longest.clone().into()));
        assert_eq!(
            socket(&format!("unix://{longest}s")),
            Err("the path of a socket may have 107 bytes, this one has 108".into())
        );
    }

    #[test]
    fn a_manager_is_a_socket_and_no_host_with_a_port() {
        assert_eq!(socket("unix:///run/s"), Ok("/run/s".into()));
        assert_eq!(socket("/run/s"), Ok("/run/s".into()));
        assert_eq!(socket("s:1/x"), Ok("s:1/x".into()), "a path");
        assert!(socket("unix:/run/s").is_err(), "a slash is missing");
        assert!(socket("").is_err() && socket("unix://").is_err());
        for text in [
            "127.0.0.1:2377",
            "[::1]:2377",
            "manager:2377",
            "tcp://1.2.3.4:1",
            "tcp://manager",
            "https://m:1",
            "unix://m:1",
        ] {
            let error = socket(text).unwrap_err();
            assert!(error.contains("on its own machine"), "{text}: {error}");
        }
    }

    #[test]
    fn an_agent_finds_a_manager_by_socket_or_by_port_and_one_that_joins_by_port_alone() {
        assert_eq!(manager("/run/s"), Ok(ManagerEndpoint::Unix("/run/s".into())));
        assert_eq!(manager("m:2377"), Ok(ManagerEndpoint::Network("m:2377".into())));
        assert!(manager("tcp://m:1").is_err());
        for (text, expected) in [("m", "m:2377"), ("10.0.0.1", "10.0.0.1:2377"), ("m:1", "m:1")] {
            assert_eq!(remote_manager(text).as_deref(), Ok(expected));
        }
        assert_eq!(remote_manager("[::1]").as_deref(), Ok("[::1]:2377"));
        for text in ["", "tcp://m:1", "m:70000", "m:", ":1", "::1", "unix:///s", "a b"] {
            assert!(remote_manager(text).is_err(), "{text:?}");
        }
        assert!(join_token("SWMTKN-1-x").is_err());
    }

    #[test]
    fn an_engine_is_a_socket_or_a_host_with_a_port() {
        for good in ["unix:///run/d.sock", "/run/d.sock", "tcp://127.0.0.1:2375", "http://e:1/"] {
            assert_eq!(engine(good), Ok(good.to_owned()));
        }
        for bad in ["", "unix://", "127.0.0.1:2375", "tcp://engine", "tcp://:1", "ssh://h:22", "d"]
        {
            assert!(engine(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_receiver_of_traces_is_an_address_without_a_path() {
        for good in ["http://127.0.0.1:4317", "http://[::1]:4317/", "http://otel"] {
            assert_eq!(trace_receiver(good), Ok(good.to_owned()));
        }
        for bad in [
            "",
            "127.0.0.1:4317",
            "not a url",
            "http://",
            "grpc://h:1",
            "http://h:",
            "http://a@h:1",
            "http://h:99999",
        ] {
            let error = trace_receiver(bad).unwrap_err();
            assert!(error.starts_with("it is not the address of a receiver"), "{bad:?}: {error}");
        }
        assert!(trace_receiver("https://h:1").unwrap_err().starts_with("TLS is not supported yet"));
        let path = trace_receiver("http://h:4318/v1/traces").unwrap_err();
        assert!(path.contains("no path"), "{path}");
    }
}
