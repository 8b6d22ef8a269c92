//! Real handshakes, without a network: what one side writes is handed to the other until both have
//! no more to say.

use super::*;
use crate::{
    NodeCertificate, NodeName, Validity,
    fixture::{NOW, TestCluster, cluster, member},
};
use rustls::{
    ClientConnection, HandshakeKind, ServerConnection,
    pki_types::{ServerName, UnixTime},
    time_provider::TimeProvider,
};
use skep_proto::{Id, Timestamp, time::SECOND_NS, v1::NodeRole};
use std::{error::Error as StdError, sync::OnceLock, time::Duration};

const DAY_NS: u64 = 24 * 3_600 * SECOND_NS;

/// A clock of both sides that stands.
#[derive(Debug)]
struct StoppedClock(Timestamp);

impl TimeProvider for StoppedClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_nanos(self.0.0)))
    }
}

/// Carries out a handshake at this moment. Gives both sides back, each with its end of it.
fn handshake(
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    now: Timestamp,
) -> (ClientConnection, Result<ServerConnection, rustls::Error>, Result<(), rustls::Error>) {
    let (mut client, mut server) = ((*client).clone(), (*server).clone());
    client.time_provider = Arc::new(StoppedClock(now));
    server.time_provider = Arc::new(StoppedClock(now));
    let name = ServerName::try_from("192.0.2.1").unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    let (mut at_client, mut at_server) = (Ok(()), Ok(()));
    while client.wants_write() || server.wants_write() {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        at_server = at_server.and(read(&bytes, |from| server.read_tls(from)));
        at_server = at_server.and_then(|()| server.process_new_packets().map(drop));
        bytes.clear();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        at_client = at_client.and(read(&bytes, |from| client.read_tls(from)));
        at_client = at_client.and_then(|()| client.process_new_packets().map(drop));
    }
    (client, at_server.map(|()| server), at_client)
}

fn read(
    mut bytes: &[u8],
    mut read: impl FnMut(&mut dyn std::io::Read) -> std::io::Result<usize>,
) -> Result<(), rustls::Error> {
    while !bytes.is_empty() {
        read(&mut bytes).map_err(|error| rustls::Error::General(error.to_string()))?;
    }
    Ok(())
}

fn manager(of: &TestCluster) -> Arc<ServerConfig> {
    let (key, certificate) = of.issue(1, NodeRole::Manager, NOW);
    server_config(&key, certificate, of.authority.root()).unwrap()
}

fn as_member(of: &TestCluster) -> ManagerExpectation {
    let root = of.authority.root().clone();
    ManagerExpectation::Root { root, cluster: Some(of.cluster) }
}

/// How a client without a certificate gets on with this server.
fn refused(
    expect: ManagerExpectation,
    server: Arc<ServerConfig>,
    now: Timestamp,
) -> Option<ManagerRefused> {
    let (_, server, client) = handshake(client_config(None, expect).unwrap(), server, now);
    let error = client.err()?;
    assert!(server.is_err(), "the server hears of it");
    let error = std::io::Error::new(std::io::ErrorKind::InvalidData, error);
    Some(refusal_of(&error as &(dyn StdError + 'static)).expect("a refusal").clone())
}

fn peer(server: &ServerConnection) -> Option<NodeCertificate> {
    server.peer_certificates().map(|chain| NodeCertificate::read(&chain[0]).unwrap())
}

#[test]
fn a_member_and_a_manager_know_each_other() {
    let us = member();
    let (key, certificate) = us.issue(2, NodeRole::Worker, NOW);
    let client = client_config(Some((&key, certificate)), as_member(&us)).unwrap();
    let server = manager(&us);
    for _ in 0..2 {
        let (client, server, at_client) = handshake(client.clone(), server.clone(), NOW);
        at_client.unwrap();
        let server = server.unwrap();
        let name = NodeName { node: Id(2), role: NodeRole::Worker, cluster: us.cluster };
        let peer = peer(&server).unwrap();
        assert_eq!((peer.name(), peer.key), (name, key.digest()));
        assert_eq!(client.alpn_protocol(), Some(HTTP_2));
        assert_eq!(client.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
        // The second connection is verified like the first.
        assert_eq!(server.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(server.server_name(), None);
    }
}

#[test]
fn a_joining_machine_learns_the_root_that_its_token_names() {
    let us = member();
    let learned = Arc::new(OnceLock::new());
    let expect = ManagerExpectation::Pinned {
        digest: us.authority.root().digest(),
        learned: learned.clone(),
    };
    let (_, server, client) = handshake(client_config(None, expect).unwrap(), manager(&us), NOW);
    client.unwrap();
    assert_eq!(peer(&server.unwrap()), None);
    assert_eq!(learned.get(), Some(us.authority.root()));
}

#[test]
fn a_joining_machine_refuses_a_root_that_its_token_does_not_name() {
    let (us, others) = (member(), cluster(7));
    let learned = Arc::new(OnceLock::new());
    let digest = us.authority.root().digest();
    let expect = || ManagerExpectation::Pinned { digest, learned: learned.clone() };
    let other = Some(ManagerRefused::OtherRoot { cluster: Id(7) });
    assert_eq!(refused(expect(), manager(&others), NOW), other);
    // Without a root behind its certificate it cannot be compared.
    let (key, certificate) = us.issue(1, NodeRole::Manager, NOW);
    let mut bare = (*manager(&us)).clone();
    let signing = provider().key_provider.load_private_key(key.to_tls()).unwrap();
    let certified = rustls::sign::CertifiedKey::new(vec![certificate], signing);
    bare.cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(certified));
    let ours = Some(ManagerRefused::OtherRoot { cluster: us.cluster });
    assert_eq!(refused(expect(), Arc::new(bare), NOW), ours);
    assert_eq!(learned.get(), None);
}

#[test]
fn a_man_in_the_middle_cannot_use_the_real_root() {
    // It copies the cluster's id and root, and has signed its certificate with its own key.
    let (us, forger) = (member(), member());
    let (key, certificate) = forger.issue(1, NodeRole::Manager, NOW);
    let server = server_config(&key, certificate, us.authority.root()).unwrap();
    let learned = Arc::new(OnceLock::new());
    let pinned = ManagerExpectation::Pinned {
        digest: us.authority.root().digest(),
        learned: learned.clone(),
    };
    for expect in [pinned, as_member(&us)] {
        let refused = refused(expect, server.clone(), NOW);
        let Some(ManagerRefused::NotSigned { cluster, reason }) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(cluster, us.cluster);
        assert!(!reason.is_empty());
    }
    assert_eq!(learned.get(), None);
    let own_root = refused(as_member(&us), manager(&forger), NOW);
    assert!(matches!(own_root, Some(ManagerRefused::NotSigned { .. })), "{own_root:?}");
}

#[test]
fn a_manager_of_another_cluster_is_refused_with_both_ids() {
    let (us, others) = (member(), cluster(7));
    let differs = Some(ManagerRefused::OtherCluster { expected: us.cluster, found: Id(7) });
    assert_eq!(refused(as_member(&us), manager(&others), NOW), differs);
    let root = us.authority.root().clone();
    let unknown = ManagerExpectation::Root { root, cluster: None };
    let refused = refused(unknown, manager(&others), NOW);
    assert!(
        matches!(refused, Some(ManagerRefused::NotSigned { cluster: Id(7), .. })),
        "{refused:?}"
    );
}

#[test]
fn a_worker_is_no_manager() {
    let us = member();
    let (key, certificate) = us.issue(3, NodeRole::Worker, NOW);
    let server = server_config(&key, certificate, us.authority.root()).unwrap();
    let no_manager = Some(ManagerRefused::NotAManager { node: Id(3) });
    assert_eq!(refused(as_member(&us), server, NOW), no_manager);
}

#[test]
fn a_certificate_of_something_else_is_refused() {
    let us = member();
    let pair = rcgen::generate_simple_self_signed(["example.org".to_owned()]).unwrap();
    let key = NodeKey::from_pem(&crate::node_key::write_pair(&pair.signing_key)).unwrap();
    let server = server_config(&key, pair.cert.into(), us.authority.root()).unwrap();
    let refused = refused(as_member(&us), server, NOW);
    assert!(matches!(refused, Some(ManagerRefused::NotANode(_))), "{refused:?}");
}

#[test]
fn a_managers_certificate_is_judged_by_this_machines_clock() {
    let us = member();
    let Validity { not_before, not_after } = us.validity(NOW);
    let at = |now| refused(as_member(&us), manager(&us), now);
    assert_eq!(at(not_before), None);
    assert_eq!(at(not_after), None);
    let early = Timestamp(not_before.0 - SECOND_NS);
    let not_yet = ManagerRefused::NotYetValid { not_before, not_after, now: early };
    assert_eq!(at(early), Some(not_yet));
    let late = not_after + SECOND_NS;
    assert_eq!(at(late), Some(ManagerRefused::Expired { not_before, not_after, now: late }));
}

#[test]
fn a_client_of_any_age_is_let_in_and_can_be_read() {
    let us = member();
    let later = NOW + 200 * DAY_NS;
    let (manager_key, managers) = us.issue(1, NodeRole::Manager, later);
    let server = server_config(&manager_key, managers, us.authority.root()).unwrap();
    for issued in [NOW, later + DAY_NS] {
        let (key, certificate) = us.issue(2, NodeRole::Worker, issued);
        let client = client_config(Some((&key, certificate)), as_member(&us)).unwrap();
        let (_, server, at_client) = handshake(client, server.clone(), later);
        at_client.unwrap();
        let peer = peer(&server.unwrap()).unwrap();
        assert_eq!(peer.validity, us.validity(issued));
        assert_ne!(peer.validity.at(later), crate::ValidAt::Valid);
    }
}

#[test]
fn a_client_of_another_root_is_refused() {
    let (us, forger) = (member(), member());
    let (key, certificate) = forger.issue(2, NodeRole::Manager, NOW);
    let client = client_config(Some((&key, certificate)), as_member(&us)).unwrap();
    let (_, server, at_client) = handshake(client, manager(&us), NOW);
    assert!(matches!(server, Err(rustls::Error::InvalidCertificate(_))), "{server:?}");
    assert!(at_client.is_err(), "the client hears of it");
}

#[test]
fn a_key_must_be_that_of_its_certificate() {
    let us = member();
    let (_, certificate) = us.issue(2, NodeRole::Manager, NOW);
    let key = NodeKey::generate().unwrap();
    assert!(server_config(&key, certificate.clone(), us.authority.root()).is_err());
    assert!(client_config(Some((&key, certificate)), as_member(&us)).is_err());
}
