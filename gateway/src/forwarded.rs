//! Requests and answers as one manager sends them to the one that leads. PURE.
//!
//! A manager that does not lead takes requests all the same, finds out who asks, and has the leader
//! decide. What only a leader can say of itself never travels.

mod certificate;

use crate::{
    admit::{MachineRequest, Refusal, Request, TaskReport},
    turn::Answer,
};
use prost::Message as _;
use skep_proto::{
    Id, Revision,
    v1::{
        Accepted, Author, ConditionsAsk, ForwardedAnswer, ForwardedRequest, RefusalCode, Refused,
        ReportAsk, SessionAsk, UnknownOutcome, forwarded_answer::Outcome,
        forwarded_request::Request as Wire,
    },
};

/// A request as it travels; none for what only the leader itself can say.
pub fn encode_request(author: &Author, request: &Request) -> Option<ForwardedRequest> {
    let wire = match request {
        Request::Command(command) => Wire::Command(command.clone()),
        Request::Machine(machine) => encode_machine(machine)?,
    };
    Some(ForwardedRequest { author: Some(author.clone()), request: Some(wire) })
}

fn encode_machine(machine: &MachineRequest) -> Option<Wire> {
    Some(match machine {
        MachineRequest::Certify(asked) => Wire::Certify(certificate::encode(asked)),
        MachineRequest::Open { node, session, description, conditions, address, manager } => {
            Wire::Open(SessionAsk {
                description: Some((**description).clone()),
                conditions: conditions.clone(),
                address: address.clone(),
                manager_id: manager.to_bytes(),
                ..session_ask(*node, *session)
            })
        }
        MachineRequest::Conditions { node, session, conditions } => {
            Wire::Conditions(ConditionsAsk {
                node_id: node.to_bytes(),
                session: *session,
                conditions: conditions.clone(),
            })
        }
        MachineRequest::Close { node, session } => Wire::Close(session_ask(*node, *session)),
        MachineRequest::Silent { node, session, tenure: Revision(tenure) } => {
            Wire::Silent(SessionAsk { tenure: *tenure, ..session_ask(*node, *session) })
        }
        MachineRequest::Report { node, tasks } => Wire::Report(ReportAsk {
            node_id: node.to_bytes(),
            tasks: tasks.iter().map(|seen| seen.observed().clone()).collect(),
        }),
        MachineRequest::FoundAuthority { .. }
        | MachineRequest::Leader(_)
        | MachineRequest::Fact(_) => return None,
    })
}

fn session_ask(node: Id, session: u64) -> SessionAsk {
    SessionAsk { node_id: node.to_bytes(), session, ..SessionAsk::default() }
}

/// A request that has come, with its author and its size; none where this program does not know it.
pub fn decode_request(forwarded: ForwardedRequest) -> Option<(Author, Request, usize)> {
    let bytes = forwarded.encoded_len();
    let request = match forwarded.request? {
        Wire::Command(command) => Request::Command(command),
        Wire::Certify(asked) => {
            Request::Machine(MachineRequest::Certify(Box::new(certificate::decode(asked)?)))
        }
        Wire::Open(asked) => Request::Machine(MachineRequest::Open {
            node: Id::from_bytes(&asked.node_id),
            session: asked.session,
            description: Box::new(asked.description.unwrap_or_default()),
            conditions: asked.conditions,
            address: asked.address,
            manager: Id::from_bytes(&asked.manager_id),
        }),
        Wire::Conditions(asked) => Request::Machine(MachineRequest::Conditions {
            node: Id::from_bytes(&asked.node_id),
            session: asked.session,
            conditions: asked.conditions,
        }),
        Wire::Close(SessionAsk { node_id, session, .. }) => {
            Request::Machine(MachineRequest::Close { node: Id::from_bytes(&node_id), session })
        }
        Wire::Silent(SessionAsk { node_id, session, tenure, .. }) => {
            let (node, tenure) = (Id::from_bytes(&node_id), Revision(tenure));
            Request::Machine(MachineRequest::Silent { node, session, tenure })
        }
        Wire::Report(ReportAsk { node_id, tasks }) => Request::Machine(MachineRequest::Report {
            node: Id::from_bytes(&node_id),
            tasks: TaskReport::read_all(tasks),
        }),
    };
    Some((forwarded.author?, request, bytes))
}

/// The answer to a request of a kind that this program does not know.
pub fn unknown_request() -> Answer {
    let message = "the manager that leads does not know this request: its version is older";
    let hint = "bring all managers to one version";
    Answer::Refused(Refusal::unsupported(message).hint(hint))
}

/// An answer as it travels; `decided_on` is what it rests on. None says that nothing was decided.
pub fn encode_answer(answer: Option<Answer>, decided_on: Revision) -> ForwardedAnswer {
    let outcome = answer.map(|answer| match answer {
        Answer::Accepted { revision, through, object, changed, warnings } => {
            Outcome::Accepted(Accepted {
                revision: revision.0,
                through_revision: through.0,
                object_id: object.to_bytes(),
                changed,
                warnings,
            })
        }
        Answer::Refused(refusal) => Outcome::Refused(refusal.to_message()),
        Answer::Unknown(message) => Outcome::Unknown(UnknownOutcome { message }),
    });
    ForwardedAnswer { outcome, decided_on: decided_on.0 }
}

/// An answer that has come, and what it rests on; none where nothing was decided.
pub fn decode_answer(answer: ForwardedAnswer) -> Option<(Answer, Revision)> {
    let decided_on = Revision(answer.decided_on);
    Some(match answer.outcome? {
        Outcome::Accepted(accepted) => {
            let accepted = Answer::Accepted {
                revision: Revision(accepted.revision),
                through: Revision(accepted.through_revision),
                object: Id::from_bytes(&accepted.object_id),
                changed: accepted.changed,
                warnings: accepted.warnings,
            };
            (accepted, decided_on)
        }
        Outcome::Refused(refused) => (Answer::Refused(refusal(refused)), decided_on),
        Outcome::Unknown(UnknownOutcome { message }) => (Answer::Unknown(message), decided_on),
    })
}

fn refusal(refused: Refused) -> Refusal {
    let code = RefusalCode::try_from(refused.code).unwrap_or_default();
    Refusal { code, message: refused.message, hint: refused.hint }
}

#[cfg(test)]
mod tests;
