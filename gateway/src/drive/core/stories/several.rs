//! Several managers in one thread, from one seed: requests come to any of them, messages between
//! them are late or lost, leaders change, and old ones hear of it late.
//!
//! Consensus is a list of entries and one true leader. What an old leader had proposed survives up
//! to some entry and is lost from there on, as in raft; whoever proposed it hears only that it
//! failed.

use super::super::*;
use crate::{admit::MachineRequest, turn::bind};
use skep_projections::{
    fixture::{node_description, service_spec},
    snapshot,
};
use skep_proto::{
    Id, Lineage, Revision, Timestamp, author,
    v1::{
        Command, CommandId, CreateService, NodeJoined, NodeRole, NodeSpec, Person, ScaleService,
        command::Action, event::Kind,
    },
};
use std::collections::BTreeMap;

mod scaling;
use scaling::SimScale;

const MANAGERS: usize = 3;
const CLIENTS: u64 = 40;
const STEPS: usize = 1_500;

/// Who waits for an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum AnswerTarget {
    Client(u64),
    /// The same client, which asks about the service that it knows to be there.
    FollowUp(u64),
    /// Another manager, for one request of a message that it has forwarded.
    Message {
        from: usize,
        number: u64,
        index: usize,
    },
}

/// A message to a leader that is on its way, and the answers that have come.
struct ForwardOnWay {
    job: ForwardJob<AnswerTarget>,
    /// None before it has arrived.
    arrived: Option<Vec<HeardAnswer>>,
}

#[derive(Clone)]
enum HeardAnswer {
    Nothing,
    Undecided,
    Answer(Answer, Revision),
}

struct SimMember {
    core: DriveCore<AnswerTarget>,
    applied: usize,
    /// Its term, while it believes to lead.
    believes: Option<u64>,
    /// It has asked whether it leads.
    proves: bool,
    on_way: BTreeMap<u64, ForwardOnWay>,
}

struct SimClient {
    attempts: u32,
    answer: Option<Answer>,
    waits: bool,
    scale: SimScale,
    /// The number of its newest command.
    number: u64,
}

struct Several {
    managers: Vec<SimMember>,
    log: Vec<Arc<Entry>>,
    /// Proposed by the true leader and not committed.
    proposed: VecDeque<Arc<Entry>>,
    leader: usize,
    term: u64,
    clients: BTreeMap<u64, SimClient>,
    /// The client that was told last that its command was carried out.
    newest: u64,
    now: Now,
    dice: u64,
    messages: u64,
}

impl Several {
    fn new(seed: u64) -> Several {
        let manager = |number: usize| {
            let identity = ManagerIdentity {
                node: Id(number as u128 + 1),
                code_version: "sim".into(),
                genesis: Default::default(),
                safe_mode: false,
            };
            let core = DriveCore::new(identity);
            SimMember { core, applied: 0, believes: None, proves: false, on_way: BTreeMap::new() }
        };
        let clients = (0..CLIENTS)
            .map(|n| {
                (
                    n,
                    SimClient {
                        attempts: 0,
                        answer: None,
                        waits: false,
                        scale: SimScale::Told(None),
                        number: 1,
                    },
                )
            })
            .collect();
        let mut world = Several {
            managers: (0..MANAGERS).map(manager).collect(),
            log: Vec::new(),
            proposed: VecDeque::new(),
            leader: 0,
            term: 0,
            clients,
            newest: 0,
            now: Now { uptime: Uptime(0), wall: Timestamp(1_000_000 * SECOND_NS) },
            dice: seed,
            messages: 0,
        };
        world.elect(0);
        (0..MANAGERS).for_each(|number| world.enlist(number));
        world.turn(0);
        world.outputs(0);
        while let Some(entry) = world.proposed.pop_front() {
            world.commit(entry);
        }
        (0..MANAGERS).for_each(|number| world.catch_up(number));
        (0..MANAGERS).for_each(|number| world.outputs(number));
        world
    }

    fn below(&mut self, end: u64) -> u64 {
        // splitmix64
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.dice;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    fn any(&mut self) -> usize {
        self.below(MANAGERS as u64) as usize
    }

    /// Another one leads from now on. It knows all that is committed; the others may hear later.
    fn elect(&mut self, next: usize) {
        let before = self.leader;
        let survive = self.below(self.proposed.len() as u64 + 1) as usize;
        let all = std::mem::take(&mut self.proposed);
        for (at, entry) in all.iter().enumerate() {
            if at < survive {
                self.commit(entry.clone());
            }
        }
        for entry in all {
            self.managers[before].core.handle_proposal_failed(entry.hash, "no leader", self.now);
        }
        self.term += 1;
        self.leader = next;
        self.catch_up(next);
        let now = self.now;
        if next == before {
            self.managers[next].core.handle_leaderless(now);
        }
        self.managers[next].core.handle_elected(self.term, None);
        self.managers[next].believes = Some(self.term);
    }

    fn commit(&mut self, entry: Arc<Entry>) {
        let head = self.log.last().map_or(Hash::ZERO, |last| last.hash);
        if entry.parent() == head {
            self.log.push(entry);
        }
    }

    fn catch_up(&mut self, manager: usize) {
        let now = self.now;
        let SimMember { core, applied, .. } = &mut self.managers[manager];
        for entry in &self.log[*applied..] {
            core.handle_committed(entry).expect("it is the next entry");
        }
        *applied = self.log.len();
        core.handle_announced(now);
    }

    /// One manager applies one entry more. A former leader nearly always hears before that it leads
    /// no more.
    fn apply(&mut self, manager: usize) {
        let is_former = self.managers[manager].believes.is_some_and(|term| term != self.term);
        if is_former && self.below(8) != 0 {
            return;
        }
        let now = self.now;
        let SimMember { core, applied, .. } = &mut self.managers[manager];
        if let Some(entry) = self.log.get(*applied) {
            core.handle_committed(entry).expect("it is the next entry");
            *applied += 1;
            core.handle_announced(now);
        }
    }

    /// A manager hears who leads.
    fn hear(&mut self, manager: usize) {
        if manager == self.leader || self.managers[manager].applied < 1 {
            return;
        }
        self.managers[manager].believes = None;
        let now = self.now;
        match self.below(4) {
            0 => self.managers[manager].core.handle_leaderless(now),
            _ => self.managers[manager].core.handle_following(now),
        }
    }

    fn command(&self, client: u64) -> Command {
        let spec = service_spec(&format!("s{client}"));
        let id = CommandId {
            stamp: client + 1,
            number: 1,
            lineage: self.lineage().0,
            ..CommandId::default()
        };
        let action = Some(Action::CreateService(Box::new(CreateService { spec: Some(spec) })));
        let mut command = Command { id: Some(id), action, ..Command::default() };
        bind(&mut command);
        command
    }

    fn lineage(&self) -> Lineage {
        self.log.first().map_or(Lineage::NONE, |entry| entry.lineage())
    }

    /// A client asks for the first time, or once more under the same id.
    fn ask(&mut self, client: u64, manager: usize) {
        let known = &self.clients[&client];
        if known.waits
            || matches!(known.answer, Some(Answer::Accepted { .. }))
            || self.log.is_empty()
        {
            return;
        }
        let command = self.command(client);
        let author = author::person(Person { uid: client as u32, ..Person::default() });
        let ask = Ask {
            caller: AnswerTarget::Client(client),
            author: author.into(),
            request: Request::Command(command),
            bytes: 100,
        };
        let entry = self.clients.get_mut(&client).expect("it is there");
        (entry.attempts, entry.waits) = (entry.attempts + 1, true);
        self.managers[manager].core.handle_request(ask, self.now);
    }

    /// The message arrives at whom its sender believes to lead: here, at any of the managers.
    fn arrive(&mut self, from: usize, to: usize) {
        let waiting = self.managers[from].on_way.iter_mut().find(|(_, on)| on.arrived.is_none());
        let Some((number, on_way)) = waiting else { return };
        let number = *number;
        let requests = on_way.job.message().requests.clone();
        on_way.arrived = Some(vec![HeardAnswer::Nothing; requests.len()]);
        let asks = requests.into_iter().enumerate().map(|(index, request)| {
            let (author, request, bytes) =
                crate::forwarded::decode_request(request).expect("it was encoded here");
            let caller = AnswerTarget::Message { from, number, index };
            Ask { caller, author: author.into(), request, bytes }
        });
        let asks = asks.collect();
        self.managers[to].core.handle_forwarded_requests(asks, self.now);
    }

    /// The answer to a message comes back, if all of it is there; or it is lost.
    fn conclude(&mut self, from: usize) {
        let lost = self.below(6) == 0;
        let Some(number) = self.managers[from].on_way.keys().next().copied() else { return };
        let is_whole = |on_way: &ForwardOnWay| {
            let heard = on_way.arrived.as_ref();
            heard.is_some_and(|all| !all.iter().any(|heard| matches!(heard, HeardAnswer::Nothing)))
        };
        if !lost && !is_whole(&self.managers[from].on_way[&number]) {
            return;
        }
        let Some(on_way) = self.managers[from].on_way.remove(&number) else { return };
        let outcome = match on_way.arrived {
            None if lost => ForwardOutcome::NotTaken("lost on the way".into()),
            Some(heard) if !lost => ForwardOutcome::Answered(
                heard
                    .into_iter()
                    .map(|heard| match heard {
                        HeardAnswer::Answer(answer, on) => Some((answer, on)),
                        HeardAnswer::Nothing | HeardAnswer::Undecided => None,
                    })
                    .collect(),
            ),
            Some(_) | None => ForwardOutcome::Lost("the way is cut".into()),
        };
        self.managers[from].core.handle_forwarded(on_way.job, outcome, self.now);
    }

    fn outputs(&mut self, manager: usize) {
        while let Some(output) = self.managers[manager].core.poll_output() {
            match output {
                DriveOutput::Publish(_) => {}
                DriveOutput::ProveLead => self.managers[manager].proves = true,
                DriveOutput::Propose(entry) => {
                    let entry: Arc<Entry> = Arc::new((*entry).into());
                    let leads = manager == self.leader
                        && self.managers[manager].believes == Some(self.term);
                    if leads {
                        self.proposed.push_back(entry);
                    } else {
                        let core = &mut self.managers[manager].core;
                        core.handle_proposal_failed(entry.hash, "no leader", self.now);
                    }
                }
                DriveOutput::Forward(job) => {
                    self.messages += 1;
                    let on_way = ForwardOnWay { job, arrived: None };
                    self.managers[manager].on_way.insert(self.messages, on_way);
                }
                DriveOutput::Return(waiter) => self.told(manager, waiter, None),
                DriveOutput::Answer(waiter, answer) => self.told(manager, waiter, Some(answer)),
                DriveOutput::AnswerAll(answers) => {
                    for (waiter, answer) in answers.into_answers() {
                        self.told(manager, waiter, Some(answer));
                    }
                }
            }
        }
    }

    fn told(&mut self, by: usize, waiter: AnswerTarget, answer: Option<Answer>) {
        let seen = self.managers[by].core.committed().position().revision;
        match waiter {
            AnswerTarget::Client(number) => {
                let client = self.clients.get_mut(&number).expect("it is there");
                assert!(client.waits, "it is answered once for each time that it asks");
                (client.waits, client.answer) = (false, answer);
                if let Some(Answer::Accepted { .. }) = client.answer {
                    self.newest = number;
                }
            }
            AnswerTarget::FollowUp(client) => self.told_of_scale(client, answer),
            AnswerTarget::Message { from, number, index } => {
                let Some(on_way) = self.managers[from].on_way.get_mut(&number) else { return };
                let heard = on_way.arrived.as_mut().expect("it has arrived");
                heard[index] = match answer {
                    Some(answer) => HeardAnswer::Answer(answer, seen),
                    None => HeardAnswer::Undecided,
                };
            }
        }
    }

    fn turn(&mut self, manager: usize) {
        let mut ids = [0; 32];
        ids.iter_mut().for_each(|byte| *byte = self.below(256) as u8);
        let seeds = Seeds { ids, salts: ids };
        if let Some(job) = self.managers[manager].core.begin_turn(self.now, seeds) {
            let done = job.run();
            self.managers[manager].core.handle_turned(done, self.now);
        }
    }

    fn pass(&mut self, ms: u64) {
        let ns = ms * 1_000_000;
        self.now = Now { uptime: self.now.uptime + ns, wall: self.now.wall + ns };
        for manager in &mut self.managers {
            manager.core.handle_timeout(self.now);
        }
    }

    fn step(&mut self) {
        let manager = self.any();
        match self.below(20) {
            0..=3 => {
                let client = self.below(CLIENTS);
                self.ask(client, manager);
            }
            4..=6 => self.turn(manager),
            7 => {
                // An old leader is most likely not to know of the newest one.
                let client = if self.below(4) == 0 { self.below(CLIENTS) } else { self.newest };
                self.ask_again(client, manager);
            }
            8 | 9 => {
                if let Some(entry) = self.proposed.pop_front() {
                    self.commit(entry);
                }
            }
            10..=12 => self.apply(manager),
            13 | 14 => {
                let to = if self.below(3) == 0 { self.any() } else { self.leader };
                if to != manager {
                    self.arrive(manager, to);
                }
            }
            15 | 16 => self.conclude(manager),
            17 if self.below(2) == 0 => self.prove(manager),
            17 => self.hear(manager),
            18 => {
                if self.below(8) == 0 {
                    self.elect(manager);
                }
            }
            _ => self.pass(20),
        }
        for manager in 0..MANAGERS {
            self.outputs(manager);
        }
    }

    /// No more trouble: all that waits is decided, and each manager knows all.
    fn heal(&mut self) {
        let leader = self.leader;
        for _ in 0..400 {
            self.pass(60);
            for manager in (0..MANAGERS).filter(|manager| *manager != leader) {
                self.managers[manager].believes = None;
                self.managers[manager].core.handle_following(self.now);
                self.outputs(manager);
                self.arrive(manager, leader);
            }
            self.turn(leader);
            self.outputs(leader);
            (0..MANAGERS).for_each(|manager| self.prove(manager));
            self.outputs(leader);
            while let Some(entry) = self.proposed.pop_front() {
                self.commit(entry);
            }
            for manager in 0..MANAGERS {
                self.catch_up(manager);
                self.outputs(manager);
            }
            for manager in 0..MANAGERS {
                while !self.managers[manager].on_way.is_empty() {
                    let before = self.managers[manager].on_way.len();
                    self.conclude(manager);
                    if self.managers[manager].on_way.len() == before {
                        break;
                    }
                }
                self.outputs(manager);
            }
            for client in 0..CLIENTS {
                self.ask(client, (client as usize) % MANAGERS);
            }
        }
    }

    /// Each command has taken effect once, where its client was told.
    fn check(&self) {
        let mut created: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for entry in &self.log {
            for (revision, record) in entry.decode().expect("it decodes") {
                if let Some(Kind::ServiceCreated(event)) = record.event.and_then(|event| event.kind)
                {
                    let name =
                        event.spec.and_then(|spec| spec.annotations).unwrap_or_default().name;
                    created.entry(name).or_default().push(revision.0);
                }
            }
        }
        for (number, client) in &self.clients {
            let Some(Answer::Accepted { revision, .. }) = &client.answer else {
                panic!("client {number} after {} tries: {:?}", client.attempts, client.answer)
            };
            assert_eq!(created.get(&format!("s{number}")), Some(&vec![revision.0]), "{number}");
        }
        let views = self.managers.iter().map(|manager| snapshot::encode(manager.core.committed()));
        let views: Vec<Vec<u8>> = views.collect();
        assert!(views.iter().all(|view| *view == views[0]), "all managers have the same view");
    }
}

#[test]
fn whatever_happens_between_managers_a_command_takes_effect_once_and_its_client_hears_it() {
    // In the last one a former leader would tell of what is no longer so, did it not prove its
    // lead.
    for seed in (0..60).chain([163]) {
        let mut world = Several::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        world.heal();
        world.check();
    }
}
