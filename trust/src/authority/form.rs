//! What stands in the certificates that the authority makes, field by field.

use crate::{
    certificate::{NodeName, unit},
    validity::Validity,
};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyUsagePurpose, SanType, SerialNumber,
};
use skep_proto::{time::SECOND_NS, v1::NodeRole};
use std::time::Duration;

/// The common name of the root certificate, and a name that every manager's certificate has.
const AUTHORITY_NAME: &str = "swarm-ca";

/// The root certificate. It has no bound on the length of a chain, so that a later root can be
/// signed with it.
pub(super) fn root(validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, AUTHORITY_NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    date(&mut params, validity);
    params
}

/// The certificate of a node, which may not sign others.
pub(super) fn node(
    name: &NodeName,
    validity: Validity,
    serial: [u8; 16],
) -> Result<CertificateParams, rcgen::Error> {
    let (node, unit) = (name.node.to_string(), unit(name.role));
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let subject = &mut params.distinguished_name;
    subject.push(DnType::OrganizationName, name.cluster.to_string());
    subject.push(DnType::OrganizationalUnitName, unit);
    subject.push(DnType::CommonName, node.as_str());
    let mut names = vec![node.as_str(), unit];
    match name.role {
        NodeRole::Manager => names.push(AUTHORITY_NAME),
        NodeRole::Worker => {}
    }
    for name in names {
        params.subject_alt_names.push(SanType::DnsName(name.try_into()?));
    }
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.serial_number = Some(SerialNumber::from_slice(&positive(serial)));
    date(&mut params, validity);
    Ok(params)
}

fn date(params: &mut CertificateParams, validity: Validity) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(validity.not_before.0 / SECOND_NS);
    params.not_after = epoch + Duration::from_secs(validity.not_after.0 / SECOND_NS);
}

/// The number with its first two bits set to 01.
pub fn positive(mut serial: [u8; 16]) -> [u8; 16] {
    serial[0] = serial[0] & 0x3f | 0x40;
    serial
}
