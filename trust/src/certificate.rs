//! What a node's certificate says: which node it is of, in which role and cluster, for how long.
//!
//! The fields stand where Swarm has them: the node's id is the common name, its role the
//! organizational unit, its cluster's id the organization. Reading a certificate does not make it
//! true: only the TLS handshake verifies who signed it, so its bytes may come from anybody here.

use crate::{node_key::KeyDigest, validity::Validity};
use skep_proto::{Id, Timestamp, time::SECOND_NS, v1::NodeRole};
use thiserror::Error;
use x509_parser::{
    certificate::X509Certificate,
    time::ASN1Time,
    x509::{AttributeTypeAndValue, X509Name},
};

/// The organizational unit of a manager.
const MANAGER_UNIT: &str = "swarm-manager";
/// The organizational unit of a worker.
const WORKER_UNIT: &str = "swarm-worker";

/// Who a certificate is issued to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NodeName {
    /// The node.
    pub node: Id,
    /// Its role.
    pub role: NodeRole,
    /// Its cluster.
    pub cluster: Id,
}

/// What a node's certificate says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeCertificate {
    /// The node.
    pub node: Id,
    /// Its role.
    pub role: NodeRole,
    /// Its cluster.
    pub cluster: Id,
    /// The digest of its public key.
    pub key: KeyDigest,
    /// From when to when it is valid.
    pub validity: Validity,
    /// Its serial number, most significant byte first.
    pub serial: [u8; 16],
}

/// A field of a certificate's subject.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SubjectField {
    /// The common name: the node's id.
    CommonName,
    /// The organizational unit: the role.
    OrganizationalUnit,
    /// The organization: the cluster's id.
    Organization,
}

/// Why bytes are no node's certificate.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum CertificateError {
    /// They are no certificate in DER.
    #[error("this is not a certificate in DER form")]
    Malformed,
    /// The subject lacks a field, or has it more than once.
    #[error("the certificate's subject has {count} times the field {field} instead of once")]
    Count {
        /// Which field.
        field: SubjectField,
        /// How often it is there.
        count: usize,
    },
    /// A field of the subject is no id.
    #[error("the certificate's field {field} is not an id")]
    NotAnId {
        /// Which field.
        field: SubjectField,
    },
    /// The organizational unit is none of ours.
    #[error(
        "the certificate's organizational unit is {unit:?}, neither swarm-manager nor swarm-worker"
    )]
    UnknownRole {
        /// What it says, at most 64 characters of it.
        unit: String,
    },
    /// Its times are not between 1970 and 2554, or the last one is not after the first.
    #[error("the certificate's times are not plausible")]
    Times,
    /// Its serial number has more than 128 bits or is negative.
    #[error("the certificate's serial number is not one of 128 bits")]
    Serial,
}

/// Characters of a foreign organizational unit that are repeated in a message; the rest is cut.
const UNIT_CHARS_MAX: usize = 64;

impl NodeCertificate {
    /// Reads a certificate's DER bytes, which may come from anybody.
    pub fn read(der: &[u8]) -> Result<NodeCertificate, CertificateError> {
        let (rest, certificate) =
            x509_parser::parse_x509_certificate(der).map_err(|_| CertificateError::Malformed)?;
        if !rest.is_empty() {
            return Err(CertificateError::Malformed);
        }
        let subject = certificate.subject();
        let validity = Validity {
            not_before: timestamp(certificate.validity().not_before)?,
            not_after: timestamp(certificate.validity().not_after)?,
        };
        if validity.not_after <= validity.not_before {
            return Err(CertificateError::Times);
        }
        Ok(NodeCertificate {
            node: id(subject, SubjectField::CommonName)?,
            role: role(subject)?,
            cluster: id(subject, SubjectField::Organization)?,
            key: KeyDigest::of(certificate.public_key().raw),
            validity,
            serial: serial(&certificate)?,
        })
    }

    /// The node, its role and its cluster.
    pub fn name(&self) -> NodeName {
        NodeName { node: self.node, role: self.role, cluster: self.cluster }
    }
}

impl std::fmt::Display for SubjectField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            SubjectField::CommonName => "CN",
            SubjectField::OrganizationalUnit => "OU",
            SubjectField::Organization => "O",
        })
    }
}

/// The organizational unit of this role.
pub(crate) fn unit(role: NodeRole) -> &'static str {
    match role {
        NodeRole::Manager => MANAGER_UNIT,
        NodeRole::Worker => WORKER_UNIT,
    }
}

/// The text of a field that must be there once.
fn field<'a>(subject: &'a X509Name<'a>, field: SubjectField) -> Result<&'a str, CertificateError> {
    let found: Vec<&AttributeTypeAndValue<'_>> = match field {
        SubjectField::CommonName => subject.iter_common_name().collect(),
        SubjectField::OrganizationalUnit => subject.iter_organizational_unit().collect(),
        SubjectField::Organization => subject.iter_organization().collect(),
    };
    match found[..] {
        [one] => one.as_str().map_err(|_| CertificateError::Malformed),
        _ => Err(CertificateError::Count { field, count: found.len() }),
    }
}

fn id(subject: &X509Name<'_>, name: SubjectField) -> Result<Id, CertificateError> {
    Id::parse(field(subject, name)?)
        .filter(|id| !id.is_none())
        .ok_or(CertificateError::NotAnId { field: name })
}

fn role(subject: &X509Name<'_>) -> Result<NodeRole, CertificateError> {
    match field(subject, SubjectField::OrganizationalUnit)? {
        MANAGER_UNIT => Ok(NodeRole::Manager),
        WORKER_UNIT => Ok(NodeRole::Worker),
        other => {
            let unit = other.chars().take(UNIT_CHARS_MAX).collect();
            Err(CertificateError::UnknownRole { unit })
        }
    }
}

fn timestamp(time: ASN1Time) -> Result<Timestamp, CertificateError> {
    u64::try_from(time.timestamp())
        .ok()
        .and_then(|seconds| seconds.checked_mul(SECOND_NS))
        .map(Timestamp)
        .ok_or(CertificateError::Times)
}

fn serial(certificate: &X509Certificate<'_>) -> Result<[u8; 16], CertificateError> {
    let bytes = certificate.raw_serial();
    // A number whose first bit is set is negative; a positive one then has a zero byte before it.
    if bytes.first().is_none_or(|first| first & 0x80 != 0) {
        return Err(CertificateError::Serial);
    }
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let number = &bytes[start..];
    let mut serial = [0; 16];
    let place = serial.len().checked_sub(number.len()).ok_or(CertificateError::Serial)?;
    serial[place..].copy_from_slice(number);
    Ok(serial)
}

#[cfg(test)]
mod tests;
