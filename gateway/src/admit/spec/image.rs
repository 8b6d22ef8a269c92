//! Whether a text can be an image: a reference to one, or the name of a program. PURE.
//!
//! The grammar is that of the registries: `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`, with names in lower
//! case. The process runtime takes a program's absolute path or its name instead, so those are
//! admitted where a node could run one.

use super::super::{Refusal, refusal::excerpt};
use skep_projections::View;
use skep_proto::v1::RuntimeKind;

/// Longest name of an image without tag and digest, bytes; registries refuse a longer one.
const IMAGE_NAME_BYTES_MAX: usize = 255;
/// Longest path of a program, bytes: the kernel takes no longer one.
const PROGRAM_BYTES_MAX: usize = 4_095;
/// Longest tag, characters.
const TAG_CHARS_MAX: usize = 128;
/// Shortest digest, hexadecimal digits.
const DIGEST_DIGITS_MIN: usize = 32;
/// Digits of a SHA-256.
const SHA256_DIGITS: usize = 64;

pub(super) fn absent() -> Refusal {
    Refusal::invalid("the service has no image").hint("name an image or a program to run")
}

/// Refuses what no runtime can run.
pub(super) fn validate(view: &View, image: &str) -> Result<(), Refusal> {
    if image.trim().is_empty() {
        return Err(absent());
    }
    if image.chars().any(|c| c.is_whitespace() || c.is_control()) {
        let what =
            if image.chars().any(char::is_control) { "control characters" } else { "blanks" };
        let shown = excerpt(image, 300);
        return Err(Refusal::invalid(format!("{shown:?} is not an image: it holds {what}")));
    }
    match fault(image) {
        Some(fault) if !(may_be_program(image) && runs_programs(view)) => {
            Err(Refusal::invalid(format!("{:?} is not an image: {fault}", excerpt(image, 300)))
                .hint("write [HOST[:PORT]/]NAME[:TAG][@DIGEST], with the name in lower case"))
        }
        Some(_) | None => Ok(()),
    }
}

/// A program's path or its name alone.
fn may_be_program(image: &str) -> bool {
    image.len() <= PROGRAM_BYTES_MAX && (image.starts_with('/') || !image.contains(['/', ':', '@']))
}

/// Whether there is a node that runs programs, or may still come: a cluster without nodes says
/// nothing of them.
fn runs_programs(view: &View) -> bool {
    let mut kinds = view.classes().map(|(_, class)| class.key.machine.runtime).peekable();
    kinds.peek().is_none() || kinds.any(|runtime| runtime != RuntimeKind::Docker as i32)
}

/// What keeps it from being a reference to an image.
fn fault(image: &str) -> Option<&'static str> {
    let (rest, digest) =
        image.split_once('@').map_or((image, None), |(rest, digest)| (rest, Some(digest)));
    let slash = rest.rfind('/').map_or(0, |at| at + 1);
    let tag_at = rest[slash..].find(':').map(|at| slash + at);
    let (name, tag) = tag_at.map_or((rest, None), |at| (&rest[..at], Some(&rest[at + 1..])));
    let (host, path) = match name.split_once('/') {
        Some((first, path)) if is_host(first) => (Some(first), path),
        Some(_) | None => (None, name),
    };
    if name.is_empty() || name.len() > IMAGE_NAME_BYTES_MAX {
        Some("its name must have 1 to 255 bytes")
    } else if host.is_some_and(|host| !is_address(host)) {
        Some("its host is malformed")
    } else if path.chars().any(|c| c.is_ascii_uppercase()) {
        Some("its name must be lower case")
    } else if !path.split('/').all(is_component) {
        Some("its name must be letters and digits, separated by single '.', '_', '-' or '/'")
    } else if tag.is_some_and(|tag| !is_tag(tag)) {
        Some(
            "its tag must be 1 to 128 letters, digits, '_', '.' and '-', not beginning with '.' or '-'",
        )
    } else if digest.is_some_and(|digest| !is_digest(digest)) {
        Some("its digest must be sha256: and 64 hexadecimal digits")
    } else {
        None
    }
}

/// The part before the first slash is a host where it can be no part of a name.
fn is_host(first: &str) -> bool {
    first == "localhost"
        || first.contains(['.', ':'])
        || first.chars().any(|c| c.is_ascii_uppercase())
}

fn is_address(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        let Some((addr, port)) = rest.split_once(']') else { return false };
        let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return addr.parse::<std::net::Ipv6Addr>().is_ok() && is_port;
    }
    let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let is_label = |label: &str| {
        let inner = label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        !label.is_empty() && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    name.split('.').all(is_label) && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// Runs of letters and digits, parted by one '.', one or two '_', or any number of '-'.
fn is_component(component: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut rest = component;
    loop {
        let run = rest.trim_start_matches(is_plain);
        if run.len() == rest.len() {
            return false;
        }
        let after = run.trim_start_matches(|c: char| "._-".contains(c));
        let separator = &run[..run.len() - after.len()];
        let parts =
            matches!(separator, "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-');
        if run.is_empty() || !parts || separator.is_empty() {
            return run.is_empty();
        }
        rest = after;
    }
}

fn is_tag(tag: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    !tag.is_empty()
        && tag.len() <= TAG_CHARS_MAX
        && tag.chars().all(inner)
        && !tag.starts_with(['.', '-'])
}

fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else { return false };
    let is_hex = hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    let long_enough = if algorithm == "sha256" {
        hex.len() == SHA256_DIGITS
    } else {
        hex.len() >= DIGEST_DIGITS_MIN
    };
    let parts = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic())
            && part.chars().all(|c| c.is_ascii_alphanumeric())
    };
    is_hex && long_enough && algorithm.split(['-', '_', '+', '.']).all(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_as_registries_read_them() {
        let sha = "a".repeat(64);
        let good = [
            "sh".to_owned(),
            "busybox:1.36".into(),
            "a__b/c-d--e.f_g".into(),
            "localhost/app".into(),
            "LOCAL/app".into(),
            "registry.example.com:5000/team/app:v1.2_3-x".into(),
            "[::1]:5000/app".into(),
            "[::1]/app".into(),
            format!("app@sha256:{sha}"),
            format!("app:v1@sha512+b64:{sha}"),
            format!("app:{}", "t".repeat(128)),
            "n".repeat(255),
        ];
        for image in good {
            assert_eq!(fault(&image), None, "{image}");
        }
    }

    #[test]
    fn what_no_registry_takes_is_told() {
        let name =
            Some("its name must be letters and digits, separated by single '.', '_', '-' or '/'");
        for image in [
            "a..b", "a___b", "-a", "a-", "a//b", "/a", "a/", "a._b", "a.-b", "ä", "a b", "a/-b",
            "a.:x",
        ] {
            assert_eq!(fault(image), name, "{image}");
        }
        let lower = Some("its name must be lower case");
        assert_eq!(fault("Busybox"), lower);
        assert_eq!(fault("host.example/App"), lower);
        let host = Some("its host is malformed");
        for image in [
            "a:b/c",
            "a..b/c",
            "-a.b/c",
            "a-.b/c",
            "host:99999/a",
            "h:+1/a",
            "[::1/a",
            "[::g]:1/a",
            "[::1]5/a",
            "LOC_AL/a",
        ] {
            assert_eq!(fault(image), host, "{image}");
        }
        let tag = fault("a:");
        assert!(tag.is_some_and(|fault| fault.starts_with("its tag")));
        for image in ["a:.x", "a:-x", "a:x:y", &format!("a:{}", "t".repeat(129)), "a:ä"] {
            assert_eq!(fault(image), tag, "{image}");
        }
        let digest = Some("its digest must be sha256: and 64 hexadecimal digits");
        let (short, bad) = ("a".repeat(63), "g".repeat(64));
        for text in [
            "sha256",
            &format!("sha256:{short}"),
            &format!("sha256:{bad}"),
            "x:abc",
            "",
            &format!("1a:{short}"),
            &format!("a+:{short}"),
            &format!("a@b:{short}"),
        ] {
            assert_eq!(fault(&format!("a@{text}")), digest, "{text}");
        }
        let length = Some("its name must have 1 to 255 bytes");
        assert_eq!(fault(&"n".repeat(256)), length);
        assert_eq!(fault(":x"), length);
    }
}
