//! How a machine gets a certificate from this manager, at its first contact and later.
//!
//! Who asks is judged here, because that takes the authority's key and the connection; what becomes
//! of it is decided by the sessions and the turn.

use crate::{
    admit, authority, clock,
    door::DoorWatch,
    drive::Drive,
    peer::{ConnectionPeer, PeerOrigin},
    reads,
    sessions::{self, Applicant},
    turn::Answer,
};
use skep_proto::v1::{ToAgent, Turned, TurnedCode, to_agent};
use skep_proto::{Id, author, v1};
use skep_trust::{CertificateRequest, JoinToken};
use std::{str::FromStr, sync::Arc, time::Duration};
use tokio::time::timeout;
use tonic::{Code, Status};

/// How long who asks for a certificate waits for a cluster that has only just begun.
const AUTHORITY_LIMIT: Duration = Duration::from_secs(5);
/// The answer to who is no node any more when the certificate is to be signed.
const CHANGED: &str = "the node has changed meanwhile; try again";
/// What a renewal takes of an entry, nearly.
const RENEWAL_BYTES: usize = 512;

/// What this manager needs to vouch for machines.
#[derive(Clone)]
pub struct Enrolment {
    drive: Drive,
    authority: Arc<authority::ManagerAuthority>,
    watch: DoorWatch,
    manager: Id,
}

/// A join that the sessions may decide.
pub(super) struct JudgedJoin {
    pub(super) asked: admit::CertificateAsked,
    pub(super) request: CertificateRequest,
}

impl Enrolment {
    /// `manager` is this manager's own node.
    pub fn new(
        drive: Drive,
        authority: Arc<authority::ManagerAuthority>,
        watch: DoorWatch,
        manager: Id,
    ) -> Enrolment {
        Enrolment { drive, authority, watch, manager }
    }

    /// What an agent is told first; where it is turned away, that is kept for the operator. Who is
    /// to come again is not meant.
    pub(super) fn note_answer(&self, origin: &PeerOrigin, first: &ToAgent) {
        let Some(to_agent::Message::Turned(refused)) = &first.message else { return };
        match refused.code() {
            TurnedCode::Retry | TurnedCode::Stopping | TurnedCode::Superseded => {}
            TurnedCode::NodeRemoved
            | TurnedCode::WrongKey
            | TurnedCode::WrongToken
            | TurnedCode::Claimed
            | TurnedCode::OtherHistory => self.note(origin, refused),
        }
    }

    fn note(&self, origin: &PeerOrigin, refused: &Turned) {
        let from = match origin {
            PeerOrigin::Network(address) => address.ip().to_canonical().to_string(),
            PeerOrigin::Local(_) => "this machine".to_owned(),
        };
        self.watch.turned_away(&from, &refused.message, clock::wall());
    }

    /// Waits a moment where the manager has only just begun, for the cluster's authority to be
    /// recorded.
    pub(super) async fn prepare(&self) {
        let mut published = self.drive.published();
        let recorded = published.wait_for(|p| p.view.cluster().authority.is_some());
        // Whoever asks is told where it took too long.
        let _ = timeout(AUTHORITY_LIMIT, recorded).await;
    }

    /// Who asks, or why they are turned away.
    pub(super) fn judge(
        &self,
        peer: &ConnectionPeer,
        join: v1::Join,
    ) -> Result<JudgedJoin, Turned> {
        let view = self.drive.newest().view.clone();
        let retry =
            |problem: authority::AuthorityProblem| turned(TurnedCode::Retry, problem.to_string());
        let applicant = match &peer.origin {
            PeerOrigin::Local(person) if person.is_this_process() => Applicant::Own,
            PeerOrigin::Local(_) => Applicant::Local,
            PeerOrigin::Network(_) => {
                let token = JoinToken::from_str(&join.token)
                    .map_err(|error| turned(TurnedCode::WrongToken, error.to_string()))?;
                let role = self.authority.role_of(&view, &token).map_err(retry)?;
                Applicant::Token(role.ok_or_else(|| {
                    let message = "the join token is not one of this cluster's, or was rotated \
                                   since; ask for it again on a manager with `skep cluster token \
                                   worker`";
                    turned(TurnedCode::WrongToken, message.into())
                })?)
            }
        };
        let request = CertificateRequest::parse(&join.request)
            .map_err(|error| turned(TurnedCode::WrongKey, error.to_string()))?;
        let proposal = self.authority.proposal(&view).map_err(retry)?;
        let key_hash = request.digest().0;
        let asked = sessions::certificate_asked(applicant, self.manager, join, key_hash, proposal);
        Ok(JudgedJoin { asked, request })
    }

    /// Signs the certificate that the sessions' answer announces; any other answer stays as it is.
    pub(super) fn seal(&self, answer: ToAgent, request: &CertificateRequest) -> ToAgent {
        let Some(to_agent::Message::Certified(certified)) = answer.message else { return answer };
        let view = self.drive.newest().view.clone();
        let message = match self.authority.sign(&view, certified, request) {
            Ok(certified) => to_agent::Message::Certified(certified),
            Err(problem) => {
                to_agent::Message::Turned(turned(TurnedCode::Retry, problem.to_string()))
            }
        };
        ToAgent { message: Some(message) }
    }

    /// A new certificate for a node that has one already.
    pub(super) async fn renew(
        &self,
        peer: &ConnectionPeer,
        asked: v1::RenewRequest,
    ) -> Result<v1::Certified, Status> {
        let certificate = peer
            .certificate()
            .ok_or_else(|| Status::unauthenticated("the connection has shown no certificate"))?;
        let request = CertificateRequest::parse(&asked.request)
            .map_err(|error| reads::failure(Code::InvalidArgument, &error))?;
        if request.digest() != certificate.key {
            return Err(Status::permission_denied(
                "the request is for another key than the certificate's",
            ));
        }
        let unavailable =
            |problem: authority::AuthorityProblem| reads::failure(Code::Unavailable, &problem);
        let proposal = self.authority.proposal(&self.drive.newest().view).map_err(unavailable)?;
        let (node, key_hash) = (certificate.node, request.digest().0);
        let claim = admit::CertificateClaim::Certificate;
        let asked = admit::CertificateAsked { node, key_hash, claim, certificate: proposal };
        let machine = admit::Request::Machine(admit::MachineRequest::Certify(Box::new(asked)));
        match self.drive.ask(author::node(node), machine, RENEWAL_BYTES).await {
            Answer::Accepted { .. } => {}
            Answer::Refused(refusal) => return Err(reads::status(&refusal)),
            Answer::Unknown(why) => return Err(reads::failure(Code::Unavailable, &why)),
        }
        let view = self.drive.newest().view.clone();
        let certified = sessions::certified(&view, node, &key_hash, Vec::new());
        // Somebody removed it between the turn and now.
        let certified = certified.ok_or_else(|| reads::failure(Code::Unavailable, &CHANGED))?;
        self.authority.sign(&view, certified, &request).map_err(unavailable)
    }

    /// Whether a task is the node's.
    pub(super) fn runs(&self, node: Id, task: &[u8]) -> bool {
        let view = &self.drive.newest().view;
        let on = view.tasks().by_id(Id::from_bytes(task)).and_then(|(_, task)| task.node);
        on.and_then(|on| view.nodes().get(on)).is_some_and(|row| row.id == node)
    }

    /// `turned` in the name of this manager's cluster.
    pub(super) fn turned_away(&self, turned: Turned) -> ToAgent {
        let cluster_id = self.drive.newest().view.cluster().id.to_bytes();
        ToAgent { message: Some(to_agent::Message::Turned(Turned { cluster_id, ..turned })) }
    }
}

fn turned(code: TurnedCode, message: String) -> Turned {
    Turned { code: code.into(), message, ..Turned::default() }
}
