//! The authority's certificates have the form that Swarm's tools expect, and its tokens change with
//! everything that they are made from.

use super::*;
use crate::{
    certificate::NodeCertificate,
    fixture::{NOW, cluster, member},
    node_key::NodeKey,
};
use skep_proto::Id;
use x509_parser::{extensions::GeneralName, x509::X509Version};

#[test]
fn the_root_is_a_certificate_authority_for_twenty_years() {
    let authority = CertificateAuthority::found(NOW).unwrap();
    let (_, root) = x509_parser::parse_x509_certificate(authority.root().der()).unwrap();
    assert_eq!(root.subject().to_string(), "CN=swarm-ca");
    assert_eq!(root.issuer(), root.subject());
    assert_eq!(root.version(), X509Version::V3);
    assert!(root.is_ca());
    let usage = root.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.key_cert_sign() && !usage.value.digital_signature());
    let seconds = |at: x509_parser::time::ASN1Time| u64::try_from(at.timestamp()).unwrap();
    let now = NOW.0 / SECOND_NS;
    assert_eq!(seconds(root.validity().not_before), now - 3_600);
    assert_eq!(seconds(root.validity().not_after), now + 20 * 365 * 86_400);
    root.verify_signature(None).unwrap();
}

#[test]
fn an_authority_survives_its_text_and_needs_the_right_key() {
    let authority = CertificateAuthority::found(NOW).unwrap();
    let read = CertificateAuthority::from_pem(authority.root().pem(), &authority.key_pem());
    let read = read.unwrap();
    assert_eq!(read.root(), authority.root());
    assert_eq!(*read.key_pem(), *authority.key_pem());
    let salt = [3; 16];
    let secret = authority.token_secret(NodeRole::Manager, &salt);
    assert_eq!(read.token_secret(NodeRole::Manager, &salt), secret);
    let other = CertificateAuthority::found(NOW).unwrap();
    let mixed = CertificateAuthority::from_pem(authority.root().pem(), &other.key_pem());
    assert!(matches!(mixed, Err(AuthorityError::KeyOfAnother)), "{mixed:?}");
    let bare = CertificateAuthority::from_pem(authority.root().pem(), "");
    assert!(matches!(bare, Err(AuthorityError::Key(KeyError::NotPem))), "{bare:?}");
}

#[test]
fn debug_shows_no_key() {
    let authority = CertificateAuthority::found(NOW).unwrap();
    let shown = format!("{authority:?}");
    assert_eq!(shown, format!("CertificateAuthority({:?})", authority.root()));
}

#[test]
fn certificates_have_the_form_of_swarms() {
    let member = member();
    for (role, unit, names) in [
        (NodeRole::Worker, "swarm-worker", &["swarm-worker"][..]),
        (NodeRole::Manager, "swarm-manager", &["swarm-manager", "swarm-ca"]),
    ] {
        let (_, der) = member.issue(5, role, NOW);
        let (_, leaf) = x509_parser::parse_x509_certificate(&der).unwrap();
        let node = Id(5).to_string();
        let subject = format!("O={}, OU={unit}, CN={node}", member.cluster);
        assert_eq!(leaf.subject().to_string(), subject);
        assert_eq!(leaf.issuer().to_string(), "CN=swarm-ca");
        assert!(!leaf.is_ca());
        let usage = leaf.key_usage().unwrap().unwrap().value;
        assert!(usage.digital_signature() && usage.key_encipherment() && !usage.key_cert_sign());
        let extended = leaf.extended_key_usage().unwrap().unwrap().value;
        assert!(extended.client_auth && extended.server_auth && !extended.any);
        let found = &leaf.subject_alternative_name().unwrap().unwrap().value.general_names;
        let expected: Vec<GeneralName<'_>> =
            [&[node.as_str()], names].concat().into_iter().map(GeneralName::DNSName).collect();
        assert_eq!(found, &expected);
        let (_, root) = x509_parser::parse_x509_certificate(member.authority.root().der()).unwrap();
        leaf.verify_signature(Some(root.public_key())).unwrap();
    }
}

#[test]
fn serial_numbers_are_positive_and_of_sixteen_bytes() {
    let member = member();
    let request = NodeKey::generate().unwrap().request().unwrap();
    let request = CertificateRequest::parse(&request).unwrap();
    let name = NodeName { node: Id(5), role: NodeRole::Worker, cluster: member.cluster };
    for (given, first) in [(0x00, 0x40), (0xff, 0x7f), (0x25, 0x65)] {
        let serial = [given; 16];
        let der = member.authority.issue(&request, &name, member.validity(NOW), serial).unwrap();
        let read = NodeCertificate::read(&der).unwrap().serial;
        assert_eq!((read[0], &read[1..]), (first, &serial[1..]));
        assert_eq!(read, form::positive(serial));
    }
}

#[test]
fn a_token_depends_on_key_role_and_salt() {
    let (member, other) = (member(), cluster(9));
    let secret = |from: &CertificateAuthority, role, salt| from.token_secret(role, &[salt; 16]);
    let first = secret(&member.authority, NodeRole::Worker, 1);
    assert_eq!(first, secret(&member.authority, NodeRole::Worker, 1));
    assert_ne!(first, secret(&member.authority, NodeRole::Manager, 1));
    assert_ne!(first, secret(&member.authority, NodeRole::Worker, 2));
    assert_ne!(first, secret(&other.authority, NodeRole::Worker, 1));
    let token = member.authority.join_token(NodeRole::Worker, &[1; 16]);
    assert_eq!(token.secret, first);
    assert_eq!(token.root_digest, member.authority.root().digest());
}

/// A key that OpenSSL made for this test alone.
const KNOWN_KEY: &str = "\
     -----BEGIN PRIVATE KEY-----\n\
     MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgreDhtfa0DsKZ3QA5\n\
     zU9QWIIdPJ080ckNTvSxE2O60R6hRANCAASgQdgRwWfPzofdD3gTi/9kGhR4iBGC\n\
     bbzfffTTQ0/AdH2bLuHztt5O5nwqgrJ5nmfKcztIoI1UDAVPsw4KYHXD\n\
     -----END PRIVATE KEY-----\n";
/// OpenSSL's self-signed root certificate of it.
const KNOWN_ROOT: &str = "\
     -----BEGIN CERTIFICATE-----\n\
     MIIBfDCCASGgAwIBAgIUVbn+pRgtYv6R7ADbMu99W5MwSGwwCgYIKoZIzj0EAwIw\n\
     EzERMA8GA1UEAwwIc3dhcm0tY2EwHhcNMjYxMTI3MTk1ODIyWhcNNDYxMTIyMTk1\n\
     ODIyWjATMREwDwYDVQQDDAhzd2FybS1jYTBZMBMGByqGSM49AgEGCCqGSM49AwEH\n\
     A0IABKBB2BHBZ8/Oh90PeBOL/2QaFHiIEYJtvN999NNDT8B0fZsu4fO23k7mfCqC\n\
     snmeZ8pzO0igjVQMBU+zDgpgdcOjUzBRMB0GA1UdDgQWBBQkTaSBRyurFJqsDYb/\n\
     jcwrignJ9TAfBgNVHSMEGDAWgBQkTaSBRyurFJqsDYb/jcwrignJ9TAPBgNVHRMB\n\
     Af8EBTADAQH/MAoGCCqGSM49BAMCA0kAMEYCIQCGsz0dwfBdMTZsppEiLMT7ad6S\n\
     Vvzpa/KjLB2BZnHxDwIhAPLXIZnS2MWAlMYAa217zWOaZuixzdjXyZHh3KDwG9iI\n\
     -----END CERTIFICATE-----\n";
/// Computed with Python from the two texts above, with a manager's role and a salt of sevens.
const KNOWN_TOKEN: &str = "SWMTKN-1-3siq030o5edp1em1y2b9w4xkbsdgoalgo6v30afa5nj8i5nqoo-\
     3cvir33idtoez7ormk69tli5e";

/// The secret is part of what operators have written down: it must not change with a new version.
#[test]
fn a_known_key_gives_a_known_token() {
    let authority = CertificateAuthority::from_pem(KNOWN_ROOT, KNOWN_KEY).unwrap();
    let token = authority.join_token(NodeRole::Manager, &[7; 16]);
    assert_eq!(token.to_string(), KNOWN_TOKEN);
}
