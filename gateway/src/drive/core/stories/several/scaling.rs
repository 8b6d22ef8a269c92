//! Clients that scale a service which is there. Whoever is told that nothing had to be changed must
//! have known so already: else an old leader has told of what is no longer so.

use super::*;

/// How often a client's service is to run, as the client knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SimScale {
    /// It was told so last; none where it has not asked yet.
    Told(Option<u64>),
    /// It has asked for this, and was told that before.
    Asks(u64, Option<u64>),
    /// What became of its command is unknown, so it asks no more.
    Unknown,
}

impl Several {
    /// The node of a manager is part of the cluster.
    pub(super) fn enlist(&mut self, number: usize) {
        let desired_role = NodeRole::Manager as i32;
        let joined = Kind::NodeJoined(Box::new(NodeJoined {
            node_id: Id(number as u128 + 1).to_bytes(),
            spec: Some(NodeSpec { desired_role, ..NodeSpec::default() }),
            description: Some(node_description(&format!("m{number}"))),
            ..NodeJoined::default()
        }));
        let ask = Ask {
            caller: AnswerTarget::FollowUp(0),
            author: author::manager(Id(1)).into(),
            request: Request::Machine(MachineRequest::Fact(joined)),
            bytes: 100,
        };
        self.managers[0].core.handle_request(ask, self.now);
    }

    /// A client scales its service, perhaps to what it is scaled to already.
    pub(super) fn ask_again(&mut self, client: u64, manager: usize) {
        let known = &self.clients[&client];
        let SimScale::Told(told) = known.scale else { return };
        if !matches!(known.answer, Some(Answer::Accepted { .. })) {
            return;
        }
        let replicas = 1 + self.below(2);
        let asks = SimScale::Asks(replicas, told);
        let known = self.clients.get_mut(&client).expect("it is there");
        (known.scale, known.number) = (asks, known.number + 1);
        let number = known.number;
        let scale = ScaleService { service: format!("s{client}"), replicas };
        let id = CommandId {
            stamp: client + 1,
            number,
            lineage: self.lineage().0,
            ..CommandId::default()
        };
        let action = Some(Action::ScaleService(scale));
        let mut command = Command { id: Some(id), action, ..Command::default() };
        bind(&mut command);
        let author = author::person(Person { uid: client as u32, ..Person::default() });
        let caller = AnswerTarget::FollowUp(client);
        let request = Request::Command(command);
        let ask = Ask { caller, author: author.into(), request, bytes: 100 };
        self.managers[manager].core.handle_request(ask, self.now);
    }

    /// Who is told that nothing had to be changed, knew so already.
    pub(super) fn told_of_scale(&mut self, number: u64, answer: Option<Answer>) {
        let client = self.clients.get_mut(&number).expect("it is there");
        let SimScale::Asks(asked, told) = client.scale else { return };
        client.scale = match answer {
            Some(Answer::Accepted { changed, .. }) => {
                let is_old = !changed && told.is_some_and(|told| told != asked);
                assert!(!is_old, "it was told {told:?}, and that {asked} is no change");
                self.newest = number;
                SimScale::Told(Some(asked))
            }
            Some(Answer::Refused(_)) => SimScale::Told(told),
            Some(Answer::Unknown(_)) | None => SimScale::Unknown,
        };
    }

    /// A majority answers a manager that has asked whether it leads.
    pub(super) fn prove(&mut self, manager: usize) {
        let leads = manager == self.leader;
        let member = &mut self.managers[manager];
        if !std::mem::take(&mut member.proves) {
            return;
        }
        let is_led = leads && member.believes == Some(self.term);
        let proof = if is_led { LeadProof::Confirmed } else { LeadProof::Missing };
        member.core.handle_proof(proof, self.now);
    }
}
