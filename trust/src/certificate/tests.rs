//! Certificates of ours are read back as they were issued; those of others are refused in words.

use super::*;
use crate::fixture::{NOW, member};
use proptest::prelude::*;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SerialNumber};
use std::time::Duration;

/// A certificate that anybody can make, with these fields of its subject.
fn foreign(fields: &[(DnType, &str)], change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    for (kind, value) in fields {
        params.distinguished_name.push(kind.clone(), *value);
    }
    params.not_after = rcgen::date_time_ymd(2100, 1, 1);
    params.serial_number = Some(SerialNumber::from_slice(&[7]));
    change(&mut params);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

fn subject<'a>(node: &'a str, unit: &'a str, cluster: &'a str) -> [(DnType, &'a str); 3] {
    [
        (DnType::CommonName, node),
        (DnType::OrganizationalUnitName, unit),
        (DnType::OrganizationName, cluster),
    ]
}

#[test]
fn what_was_issued_is_read_back() {
    let member = member();
    for role in [NodeRole::Worker, NodeRole::Manager] {
        let (key, der) = member.issue(5, role, NOW);
        let read = NodeCertificate::read(&der).unwrap();
        assert_eq!(read.name(), NodeName { node: Id(5), role, cluster: member.cluster });
        assert_eq!(read.key, key.digest());
        assert_eq!(read.validity, member.validity(NOW));
    }
}

#[test]
fn a_subject_of_another_form_is_refused() {
    let (node, cluster) = (Id(5).to_string(), Id(9).to_string());
    let read = |fields: &[(DnType, &str)]| NodeCertificate::read(&foreign(fields, |_| {}));
    let good = subject(&node, "swarm-worker", &cluster);
    assert_eq!(read(&good).unwrap().serial, *b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x07");
    let unit = |unit: &str| read(&subject(&node, unit, &cluster)).unwrap_err();
    for other in ["swarm-ca", "Swarm-Manager", "swarm-manager ", "swarm"] {
        assert_eq!(unit(other), CertificateError::UnknownRole { unit: other.to_owned() });
    }
    let cut = CertificateError::UnknownRole { unit: "x".repeat(64) };
    assert_eq!(unit(&"x".repeat(100)), cut);
    let none = Id::NONE.to_string();
    for (node, cluster, field) in [
        ("web", &cluster[..], SubjectField::CommonName),
        (&none, &cluster, SubjectField::CommonName),
        (&node, "acme", SubjectField::Organization),
        (&node, &none, SubjectField::Organization),
    ] {
        let refused = read(&subject(node, "swarm-worker", cluster));
        assert_eq!(refused, Err(CertificateError::NotAnId { field }));
    }
    for (missing, field) in [
        (0, SubjectField::CommonName),
        (1, SubjectField::OrganizationalUnit),
        (2, SubjectField::Organization),
    ] {
        let mut fields = good.to_vec();
        fields.remove(missing);
        let refused = read(&fields);
        assert_eq!(refused, Err(CertificateError::Count { field, count: 0 }));
    }
}

#[test]
fn times_and_serial_numbers_of_another_form_are_refused() {
    let (node, cluster) = (Id(5).to_string(), Id(9).to_string());
    let fields = subject(&node, "swarm-worker", &cluster);
    let read =
        |change: fn(&mut CertificateParams)| NodeCertificate::read(&foreign(&fields, change));
    for times in [
        |params: &mut CertificateParams| params.not_before = rcgen::date_time_ymd(1969, 1, 1),
        |params: &mut CertificateParams| params.not_after = rcgen::date_time_ymd(2600, 1, 1),
        |params: &mut CertificateParams| params.not_after = params.not_before,
        |params: &mut CertificateParams| {
            params.not_after = params.not_before - Duration::from_secs(1)
        },
    ] {
        assert_eq!(read(times), Err(CertificateError::Times));
    }
    let serial = |bytes: &'static [u8]| {
        let der = foreign(&fields, |params| {
            params.serial_number = Some(SerialNumber::from_slice(bytes));
        });
        NodeCertificate::read(&der).map(|read| read.serial)
    };
    assert_eq!(serial(&[0xff; 16]), Ok([0xff; 16]));
    assert_eq!(serial(&[1; 17]), Err(CertificateError::Serial));
    // A negative number, which the library does not write, is put into the bytes.
    let mut der = foreign(&fields, |_| {});
    let at = der.windows(3).position(|bytes| bytes == [0x02, 0x01, 0x07]).unwrap();
    der[at + 2] = 0x87;
    assert_eq!(NodeCertificate::read(&der), Err(CertificateError::Serial));
}

#[test]
fn messages_name_the_field() {
    let error = CertificateError::Count { field: SubjectField::OrganizationalUnit, count: 2 };
    assert_eq!(
        error.to_string(),
        "the certificate's subject has 2 times the field OU instead of once"
    );
    let error = CertificateError::NotAnId { field: SubjectField::Organization };
    assert_eq!(error.to_string(), "the certificate's field O is not an id");
    let error = CertificateError::NotAnId { field: SubjectField::CommonName };
    assert_eq!(error.to_string(), "the certificate's field CN is not an id");
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(der: Vec<u8>) {
        let _ = NodeCertificate::read(&der);
    }

    #[test]
    fn changed_certificates_do_not_make_the_reader_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        end: prop::sample::Index,
    ) {
        static ISSUED: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let issued = ISSUED.get_or_init(|| member().issue(5, NodeRole::Manager, NOW).1.to_vec());
        let mut der = issued.clone();
        for (at, byte) in changes {
            let at = at.index(der.len());
            der[at] = byte;
        }
        let _ = NodeCertificate::read(&der);
        let _ = NodeCertificate::read(&der[..end.index(der.len())]);
    }
}
