//! What is sent is what comes.

use super::*;
use crate::admit::{CertificateAsked, CertificateClaim, Newcomer};
use skep_projections::{fixture::node_description, trust::IssuedCertificate};
use skep_proto::{
    Timestamp, author,
    v1::{
        Command, Condition, NodeRole, NodeSpec, RemoveService, TaskObserved, TaskState,
        command::Action, event::Kind,
    },
};

fn certify(claim: CertificateClaim) -> Request {
    let certificate = IssuedCertificate {
        role: NodeRole::Worker,
        serial: [3; 16],
        not_before: Timestamp(5),
        not_after: Timestamp(9),
    };
    let asked = CertificateAsked { node: Id(7), key_hash: [1; 32], claim, certificate };
    Request::Machine(MachineRequest::Certify(Box::new(asked)))
}

/// One request of each kind.
fn requests() -> Vec<Request> {
    let newcomer =
        || Box::new(Newcomer { spec: NodeSpec::default(), description: node_description("n1") });
    let (node, session) = (Id(7), 8);
    let conditions = vec![Condition { kind: 1, message: "no engine".into(), since_at: 3 }];
    let remove = Action::RemoveService(RemoveService { service: "web".into() });
    let seen = TaskObserved {
        task_id: Id(4).to_bytes(),
        state: TaskState::Running as i32,
        message: "started".into(),
        ..TaskObserved::default()
    };
    let machine = [
        MachineRequest::Open {
            node,
            session,
            description: Box::new(node_description("n1")),
            conditions: conditions.clone(),
            address: "10.0.0.7".into(),
            manager: Id(9),
        },
        MachineRequest::Conditions { node, session, conditions },
        MachineRequest::Close { node, session },
        MachineRequest::Silent { node, session, tenure: Revision(3) },
        MachineRequest::Report { node, tasks: TaskReport::read_all(vec![seen]) },
    ];
    let claims = [
        CertificateClaim::Newcomer(newcomer()),
        CertificateClaim::Own(newcomer()),
        CertificateClaim::EarlierSecret([2; 32]),
        CertificateClaim::Key,
        CertificateClaim::Certificate,
    ];
    let command = Command { action: Some(remove), reason: "old".into(), ..Command::default() };
    let machine = machine.into_iter().map(Request::Machine);
    machine.chain(claims.map(certify)).chain([Request::Command(command)]).collect()
}

#[test]
fn each_request_arrives_as_it_was_sent_with_its_author() {
    for request in requests() {
        let author = author::node(Id(7));
        let sent = encode_request(&author, &request).expect("it travels");
        let bytes = sent.encode_to_vec();
        let read = ForwardedRequest::decode(&bytes[..]).expect("it decodes");
        let (by, came, size) = decode_request(read).expect("it is known");
        assert_eq!((by, size), (author, bytes.len()));
        assert_eq!(format!("{came:?}"), format!("{request:?}"));
    }
}

#[test]
fn what_only_a_leader_says_of_itself_does_not_travel() {
    let author = author::manager(Id(1));
    let fact = MachineRequest::Fact(Kind::TenureBegun(Default::default()));
    let found = MachineRequest::FoundAuthority {
        root_certificate: [1].to_vec().into(),
        salts: [[0; 16]; 2],
    };
    for machine in [fact, found] {
        assert!(encode_request(&author, &Request::Machine(machine)).is_none());
    }
}

#[test]
fn a_request_that_lacks_something_is_none() {
    let sent = |request| encode_request(&author::node(Id(7)), &request).expect("it travels");
    let whole = sent(certify(CertificateClaim::Key));
    assert!(decode_request(whole.clone()).is_some());
    assert!(decode_request(ForwardedRequest { author: None, ..whole.clone() }).is_none());
    assert!(decode_request(ForwardedRequest { request: None, ..whole.clone() }).is_none());
    let Some(Wire::Certify(asked)) = whole.request else { panic!("it is another one") };
    let short = [
        skep_proto::v1::CertificateAsk { key_hash: vec![1; 31].into(), ..asked.clone() },
        skep_proto::v1::CertificateAsk { serial: vec![1; 15].into(), ..asked.clone() },
        skep_proto::v1::CertificateAsk { claim: None, ..asked },
    ];
    for asked in short {
        let request = Some(Wire::Certify(asked));
        let author = Some(author::node(Id(7)));
        assert!(decode_request(ForwardedRequest { author, request }).is_none());
    }
}

#[test]
fn each_answer_arrives_as_it_was_sent() {
    let accepted = Answer::Accepted {
        revision: Revision(5),
        through: Revision(9),
        object: Id(3),
        changed: true,
        warnings: vec!["a name twice".into()],
    };
    let refused = Answer::Refused(Refusal::not_found("no service web").hint("`skep service ls`"));
    for answer in [accepted, refused, Answer::Unknown("the log failed".into())] {
        let came = decode_answer(encode_answer(Some(answer.clone()), Revision(11)));
        assert_eq!(came, Some((answer, Revision(11))));
    }
    assert_eq!(decode_answer(encode_answer(None, Revision(11))), None);
}
