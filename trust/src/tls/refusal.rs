//! Why a manager was refused in the handshake, and how the caller finds it.
//!
//! The TLS library wraps the reason into its own error, the transport wraps that into an error of
//! input and output, and the RPC library wraps that again. Whoever tells people about a failed
//! connection digs the reason out here.

use crate::certificate::CertificateError;
use rustls::AlertDescription;
use skep_proto::{Id, Timestamp};
use std::{error::Error as StdError, io, sync::Arc};
use thiserror::Error;

/// Why a manager was refused in the handshake.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ManagerRefused {
    /// What answers is no node of any cluster of ours.
    #[error("what answers there has no certificate of a node: {0}")]
    NotANode(#[source] CertificateError),
    /// It is of another cluster than the one that the join token names.
    #[error(
        "the manager is of cluster {cluster}, whose CA is not the one that the join token names"
    )]
    OtherRoot {
        /// The cluster that its certificate claims.
        cluster: Id,
    },
    /// It claims to be of another cluster than this node.
    #[error("the manager is of cluster {found}, and this node is of cluster {expected}")]
    OtherCluster {
        /// The node's own cluster.
        expected: Id,
        /// The cluster that its certificate claims.
        found: Id,
    },
    /// It claims to be of the right cluster, and the cluster's authority did not sign it.
    #[error(
        "the manager's certificate claims cluster {cluster}, and the CA of this cluster has not \
         signed it ({reason}); somebody may be listening in between"
    )]
    NotSigned {
        /// The cluster that its certificate claims.
        cluster: Id,
        /// What the verification of the signature says.
        reason: String,
    },
    /// It has a worker's certificate.
    #[error(
        "node {node} answers there with the certificate of a swarm-worker, not of a swarm-manager"
    )]
    NotAManager {
        /// The node.
        node: Id,
    },
    /// Its certificate is not valid yet.
    #[error(
        "the manager's certificate is valid from {not_before} to {not_after}, and this machine's \
         clock says {now}, which is before that; check the clocks of both machines"
    )]
    NotYetValid {
        /// The first second.
        not_before: Timestamp,
        /// The last second.
        not_after: Timestamp,
        /// The clock of this machine.
        now: Timestamp,
    },
    /// Its certificate has expired.
    #[error(
        "the manager's certificate was valid from {not_before} to {not_after}, and this machine's \
         clock says {now}; check the clocks of both machines"
    )]
    Expired {
        /// The first second.
        not_before: Timestamp,
        /// The last second.
        not_after: Timestamp,
        /// The clock of this machine.
        now: Timestamp,
    },
}

impl From<ManagerRefused> for rustls::Error {
    fn from(refused: ManagerRefused) -> rustls::Error {
        wrapped(refused)
    }
}

/// An error of a verifier in the form that the TLS library carries to the caller.
pub(super) fn wrapped(error: impl StdError + Send + Sync + 'static) -> rustls::Error {
    rustls::CertificateError::Other(rustls::OtherError(Arc::new(error))).into()
}

/// The refusal of a manager in the chain of an error's causes, if there is one.
pub fn refusal_of<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a ManagerRefused> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(refused) = error.downcast_ref::<ManagerRefused>() {
            return Some(refused);
        }
        // These two do not give what they carry as their source.
        let carried: Option<&'a (dyn StdError + 'static)> =
            if let Some(error) = error.downcast_ref::<io::Error>() {
                error.get_ref().map(|inner| inner as &(dyn StdError + 'static))
            } else if let Some(rustls::Error::InvalidCertificate(
                rustls::CertificateError::Other(other),
            )) = error.downcast_ref::<rustls::Error>()
            {
                Some(other.0.as_ref())
            } else {
                None
            };
        next = carried.or_else(|| error.source());
    }
    None
}

/// What the alert means with which the other end has broken off the handshake, if it did so because
/// of the certificate that it was shown.
pub fn disbelief_of(error: &(dyn StdError + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(rustls::Error::AlertReceived(alert)) = error.downcast_ref::<rustls::Error>() {
            return disbelief(*alert).map(str::to_owned);
        }
        // It does not give what it carries as its source.
        let carried = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match carried {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

fn disbelief(alert: AlertDescription) -> Option<&'static str> {
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "the library adds alerts; the others are told as it tells them"
    )]
    match alert {
        AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::DecryptError
        | AlertDescription::AccessDenied => Some(
            "the other end does not believe the certificate that it was shown: it is of another \
             cluster, or joins with a token of another one",
        ),
        AlertDescription::CertificateExpired => Some(
            "the other end takes the certificate that it was shown for expired: check the clocks \
             of both machines",
        ),
        AlertDescription::CertificateRequired => {
            Some("the other end wants a certificate, and was shown none")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt;

    #[derive(Debug)]
    struct WrappedError(io::Error);

    impl fmt::Display for WrappedError {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("transport error")
        }
    }

    impl StdError for WrappedError {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn a_refusal_is_found_however_it_is_wrapped() {
        let refused = ManagerRefused::NotAManager { node: Id(7) };
        assert_eq!(refusal_of(&refused), Some(&refused));
        let tls = rustls::Error::from(refused.clone());
        assert_eq!(refusal_of(&tls), Some(&refused));
        let inner = io::Error::new(io::ErrorKind::InvalidData, tls);
        let transport = WrappedError(io::Error::other(inner));
        assert_eq!(refusal_of(&transport), Some(&refused));
    }

    #[test]
    fn an_alert_about_a_certificate_is_told_in_our_words_however_it_is_wrapped() {
        let told = |alert: AlertDescription| {
            let tls = rustls::Error::AlertReceived(alert);
            let inner = io::Error::new(io::ErrorKind::InvalidData, tls);
            disbelief_of(&WrappedError(io::Error::other(inner))).unwrap_or_default()
        };
        for alert in [AlertDescription::CertificateUnknown, AlertDescription::UnknownCA] {
            assert!(told(alert).contains("of another cluster"), "{alert:?}");
        }
        assert!(told(AlertDescription::CertificateExpired).contains("check the clocks"));
        assert!(told(AlertDescription::CertificateRequired).contains("was shown none"));
        assert_eq!(told(AlertDescription::ProtocolVersion), "", "it is told as the library does");
        assert_eq!(disbelief_of(&io::Error::from(io::ErrorKind::NotFound)), None);
    }

    #[test]
    fn other_errors_have_none() {
        assert_eq!(refusal_of(&rustls::Error::DecryptError), None);
        assert_eq!(refusal_of(&io::Error::from(io::ErrorKind::NotFound)), None);
        assert_eq!(refusal_of(&WrappedError(io::Error::other("gone"))), None);
        assert_eq!(refusal_of(&wrapped(CertificateError::Malformed)), None);
    }

    #[test]
    fn messages_say_which_thing_differs() {
        let id = |id: u128| Id(id).to_string();
        let text = ManagerRefused::OtherRoot { cluster: Id(7) }.to_string();
        assert_eq!(
            text,
            format!(
                "the manager is of cluster {}, whose CA is not the one that the join token names",
                id(7)
            )
        );
        let text = ManagerRefused::OtherCluster { expected: Id(9), found: Id(7) }.to_string();
        assert!(text.contains(&id(7)) && text.contains(&id(9)), "{text}");
        let second = |at: u64| Timestamp(at * skep_proto::time::SECOND_NS);
        let text = ManagerRefused::Expired {
            not_before: second(0),
            not_after: second(60),
            now: second(120),
        };
        assert_eq!(
            text.to_string(),
            "the manager's certificate was valid from 1970-01-01T00:00:00Z to \
             1970-01-01T00:01:00Z, and this machine's clock says 1970-01-01T00:02:00Z; check the \
             clocks of both machines"
        );
    }
}
