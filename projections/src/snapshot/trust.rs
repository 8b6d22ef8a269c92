//! Who is believed, who is not any more, and where managers are reached, to the messages of a
//! snapshot and back.

use super::schema::{
    SavedAuthority, SavedCertificate, SavedManagerNumber, SavedPort, SavedRemoval,
};
use crate::{
    node::{ManagerNumber, PortAddresses},
    removed::RemovedNodes,
    trust::{Authority, IssuedCertificate},
};
use skep_proto::{Id, Timestamp, v1::NodeRole};

impl From<&Authority> for SavedAuthority {
    fn from(authority: &Authority) -> SavedAuthority {
        SavedAuthority {
            root_certificate: authority.root_certificate.clone(),
            worker_salt: authority.worker_salt.to_vec(),
            manager_salt: authority.manager_salt.to_vec(),
            unlock_salt: authority.unlock_salt.to_vec(),
        }
    }
}

impl From<SavedAuthority> for Authority {
    fn from(saved: SavedAuthority) -> Authority {
        Authority {
            root_certificate: saved.root_certificate,
            worker_salt: saved.worker_salt.try_into().unwrap_or_default(),
            manager_salt: saved.manager_salt.try_into().unwrap_or_default(),
            unlock_salt: saved.unlock_salt.try_into().unwrap_or_default(),
        }
    }
}

impl From<&IssuedCertificate> for SavedCertificate {
    fn from(issued: &IssuedCertificate) -> SavedCertificate {
        SavedCertificate {
            role: issued.role as i32,
            serial: issued.serial.to_vec(),
            not_before: issued.not_before.0,
            not_after: issued.not_after.0,
        }
    }
}

impl From<SavedCertificate> for IssuedCertificate {
    fn from(saved: SavedCertificate) -> IssuedCertificate {
        IssuedCertificate {
            role: NodeRole::try_from(saved.role).unwrap_or_default(),
            serial: saved.serial.try_into().unwrap_or_default(),
            not_before: Timestamp(saved.not_before),
            not_after: Timestamp(saved.not_after),
        }
    }
}

impl From<&PortAddresses> for SavedPort {
    fn from(port: &PortAddresses) -> SavedPort {
        SavedPort { listen: port.listen.clone(), advertise: port.advertise.clone() }
    }
}

impl From<SavedPort> for PortAddresses {
    fn from(SavedPort { listen, advertise }: SavedPort) -> PortAddresses {
        PortAddresses { listen, advertise }
    }
}

impl From<ManagerNumber> for SavedManagerNumber {
    fn from(manager: ManagerNumber) -> SavedManagerNumber {
        let ManagerNumber { raft_id, membership, unreachable } = manager;
        SavedManagerNumber { raft_id, membership: membership as i32, unreachable }
    }
}

impl From<SavedManagerNumber> for ManagerNumber {
    fn from(saved: SavedManagerNumber) -> ManagerNumber {
        let (raft_id, unreachable) = (saved.raft_id, saved.unreachable);
        ManagerNumber { raft_id, membership: saved.membership(), unreachable }
    }
}

/// Every removed node, in the order of ids.
pub(super) fn removals(removed: &RemovedNodes) -> impl Iterator<Item = SavedRemoval> + '_ {
    let saved = |(node, until): (Id, Timestamp)| SavedRemoval { node: node.into(), until: until.0 };
    removed.iter().map(saved)
}
