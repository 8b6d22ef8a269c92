//! A hand-cranked world around a core, for its tests: says things to it, and writes down what it
//! does.
//!
//! Tasks are single letters. The world remembers what the core has asked of the runtime and has it
//! answered by name, and keeps the notes as a journal would, so that a core can die and come back.

mod shorthand;

pub(super) use shorthand::id_of;

use super::{
    AgentOutput, Core, Input, TasksOfLeaver,
    action::{Action, StepOutcome, TaskStep},
    candidates::{FirstEndpoint, KnownAddress},
    link::{JoinCredentials, NodeIdentity},
    memory::Memory,
};
use crate::runtime::{FoundState, FoundTask, Noticed, Prepared, Proof, RuntimeError, Started};
use shorthand::*;
use skep_proto::{
    Id, Revision, Timestamp,
    v1::{self, from_agent, to_agent},
};
use std::collections::BTreeMap;

pub(super) const NODE: Id = Id(1000);
const CLUSTER: Id = Id(2000);
/// Between two things that happen.
const TICK_NS: u64 = 1_000_000;

pub(super) struct AgentWorld {
    pub(super) core: Core,
    pub(super) memory: Memory,
    /// Where managers are found, as the shell keeps it.
    first: FirstEndpoint,
    known: Vec<KnownAddress>,
    now: Timestamp,
    line: u64,
    report: u64,
    /// What the core waits for, with the ticket.
    asked: BTreeMap<(char, &'static str), u64>,
    /// Tickets that were overtaken.
    stale: Vec<(char, &'static str, u64)>,
}

impl AgentWorld {
    pub(super) fn new() -> AgentWorld {
        let (first, known) = (FirstEndpoint::default(), Vec::new());
        AgentWorld::with(NodeIdentity::default(), Memory::default(), first, known)
    }

    fn with(
        identity: NodeIdentity,
        memory: Memory,
        first: FirstEndpoint,
        known: Vec<KnownAddress>,
    ) -> AgentWorld {
        let core = Core::new(identity, memory.clone(), 7).following(first.clone(), known.clone());
        AgentWorld {
            core,
            memory,
            first,
            known,
            now: Timestamp(1_000_000_000_000),
            line: 0,
            report: 0,
            asked: BTreeMap::new(),
            stale: Vec::new(),
        }
    }

    /// Does one line of a story and returns what the core did, as text.
    pub(super) fn act(&mut self, line: &str) -> String {
        let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
        self.now = self.now + TICK_NS;
        match what {
            "attach" => return self.attach(),
            "join" => self.input(Input::Described(Box::default())),
            "bigger" => {
                let addr = "elsewhere".into();
                self.input(Input::Described(Box::new(v1::NodeDescription {
                    addr,
                    ..v1::NodeDescription::default()
                })));
            }
            "away" => self.input(Input::Undescribed(Box::new(v1::NodeDescription {
                addr: "without".into(),
                ..v1::NodeDescription::default()
            }))),
            "engine" | "unlisted" | "stuck" => self.problem(what, rest),
            "leave" => self.input(Input::Leave(TasksOfLeaver::Awaited)),
            "leave-at-once" => self.input(Input::Leave(TasksOfLeaver::LeftBehind)),
            "disk" => self.input(Input::Unwritable(rest.to_owned())),
            "noticed" => self.notice(rest),
            "connected" => self.input(Input::Connected { line: self.line }),
            "welcome" => self.welcome(NODE, rest),
            "uncertified" => self.lose_certificate(rest),
            "follow" => self.follow(rest),
            "managers" => self.managers(rest),
            "own" => self.core.link.identity.rejoining = Some(JoinCredentials::default()),
            "certified" => self.certify(if rest == "as-another" { Id(1) } else { NODE }),
            "untrusted" => {
                self.input(Input::Untrusted { line: self.line, message: rest.to_owned() });
            }
            "welcome-as-another" => self.welcome(Id(1), ""),
            "break" => self.input(Input::Broken { line: self.line }),
            "turned" => self.turned(rest),
            "period" => {
                let period_ns = rest.parse::<u64>().expect("milliseconds") * 1_000_000;
                self.receive(to_agent::Message::HeartbeatPeriod(v1::HeartbeatPeriod { period_ns }));
            }
            "ack" => self.receive(to_agent::Message::Ack(v1::ReportAck { number: self.report })),
            "set" | "change" => self.assign(what == "set", rest),
            "listed" => self.listed(rest),
            "list-fails" => self.answer('?', "list", StepOutcome::Listed(Err(unreachable()))),
            // What became of the first listing is heard of once more.
            "list-failed" => {
                let outcome = StepOutcome::Listed(Err(unreachable()));
                self.input(Input::Done { task: Id::NONE, ticket: 1, outcome });
            }
            "later" => {
                self.now = self.now + rest.parse::<u64>().expect("milliseconds") * 1_000_000;
                self.core.handle_timeout(self.now);
            }
            "restart" => {
                let identity = self.core.link.identity.clone();
                self.begin_again(identity);
            }
            "late" => self.late(rest),
            _ => self.outcome(what, rest),
        }
        self.outputs()
    }

    fn attach(&mut self) -> String {
        let mut said = Vec::new();
        if self.line == 0 {
            said.push(self.act("join"));
        } else {
            said.push(self.act("later 10000"));
        }
        said.push(self.act("connected"));
        said.push(self.act("welcome"));
        said.retain(|s| s != "-");
        said.join(", ")
    }

    pub(super) fn input(&mut self, input: Input) {
        self.core.handle(input, self.now);
    }

    /// The tickets of what the core waits for now.
    pub(super) fn tickets(&self) -> impl Iterator<Item = u64> + '_ {
        self.asked.values().copied()
    }

    /// The runtime notices what is wrong with it as a whole, or that this is over.
    fn problem(&mut self, what: &str, text: &str) {
        let of = |kind: &str| if kind == what { text.to_owned() } else { String::new() };
        self.input(Input::Noticed(Box::new(Noticed {
            engine_problem: of("engine"),
            listing_problem: of("unlisted"),
            start_problem: of("stuck"),
            ..Noticed::default()
        })));
    }

    /// `TASK TEXT`: the runtime notices that something is odd about a task.
    fn notice(&mut self, rest: &str) {
        let (letter, text) = rest.split_once(' ').unwrap_or((rest, ""));
        let task = (id_of(letter.chars().next().expect("a letter")), text.to_owned());
        let tasks = [task].into_iter().filter(|(_, text)| !text.is_empty()).collect();
        self.input(Input::Noticed(Box::new(Noticed { tasks, ..Noticed::default() })));
    }

    fn receive(&mut self, message: to_agent::Message) {
        let message = Box::new(v1::ToAgent { message: Some(message) });
        self.input(Input::Received { line: self.line, message });
    }

    /// A new start without a certificate, with this token.
    fn lose_certificate(&mut self, token: &str) {
        let mut identity = self.core.link.identity.clone();
        identity.joining = Some(JoinCredentials { token: token.into(), ..Default::default() });
        self.begin_again(identity);
    }

    fn begin_again(&mut self, identity: NodeIdentity) {
        let (first, known, now) = (self.first.clone(), self.known.clone(), self.now);
        let begun = AgentWorld::with(identity, self.memory.clone(), first, known);
        *self = AgentWorld { now, ..begun };
    }

    /// `own b:1 c:1`: a start with that endpoint, where an earlier run was told of those managers.
    fn follow(&mut self, rest: &str) {
        let (first, known) = rest.split_once(' ').unwrap_or((rest, ""));
        (self.first, self.known) = (first_of(first), managers_of(known));
        self.begin_again(self.core.link.identity.clone());
    }

    /// `b:1 c:1`, or `b:1 as MANAGER 3/9`: with the node's number in raft, and the lineage. `@7`
    /// before it is the revision at which that was so.
    fn managers(&mut self, rest: &str) {
        let (at, rest) = rest
            .strip_prefix('@')
            .map_or(("0", rest), |said| said.split_once(' ').expect("a revision, and what was so"));
        let (known, part) = rest.split_once("as ").unwrap_or((rest, "WORKER 0/0"));
        let (role, numbers) = part.split_once(' ').expect("a role and numbers");
        let (raft_id, lineage) = numbers.split_once('/').expect("number/lineage");
        let address = |manager: KnownAddress| v1::ManagerAddress {
            node_id: manager.node.to_bytes(),
            address: manager.address,
        };
        self.receive(to_agent::Message::Managers(v1::ClusterManagers {
            managers: managers_of(known).into_iter().map(address).collect(),
            role: v1::NodeRole::from_str_name(&format!("NODE_ROLE_{role}")).expect("a role").into(),
            raft_id: raft_id.parse().expect("a number"),
            lineage: lineage.parse().expect("a number"),
            incarnation: 1,
            revision: at.parse().expect("a revision"),
        }));
    }

    fn certify(&mut self, node: Id) {
        self.receive(to_agent::Message::Certified(v1::Certified {
            node_id: node.to_bytes(),
            cluster_id: CLUSTER.to_bytes(),
            ..v1::Certified::default()
        }));
    }

    fn welcome(&mut self, node: Id, warning: &str) {
        let warnings = [warning].map(str::to_owned).into_iter().filter(|text| !text.is_empty());
        self.receive(to_agent::Message::Welcome(v1::Welcome {
            node_id: node.to_bytes(),
            cluster_id: CLUSTER.to_bytes(),
            session: 1,
            heartbeat_period_ns: 5_000_000_000,
            warnings: warnings.collect(),
        }));
    }

    /// `NODE_REMOVED`, or `NODE_REMOVED elsewhere`: said by another cluster.
    fn turned(&mut self, rest: &str) {
        let (rest, cluster) =
            rest.strip_suffix(" elsewhere").map_or((rest, CLUSTER), |rest| (rest, Id(3000)));
        let code = v1::TurnedCode::from_str_name(&format!("TURNED_CODE_{rest}")).expect("a code");
        let turned =
            v1::Turned { code: code.into(), message: "so".into(), cluster_id: cluster.to_bytes() };
        self.receive(to_agent::Message::Turned(turned));
    }

    /// `1.7 a=RUNNING b-` (b is removed), `1/5.7 …` with lineage 5, for a change `1.6>7 …`; a word
    /// in brackets is what is recorded, one in braces the service, which must have been described:
    /// by `{web}` alone. `part:0+` is a part that others follow, `part:1` the last one.
    fn assign(&mut self, complete: bool, rest: &str) {
        let mut tokens = rest.split_whitespace();
        let position = tokens.next().expect("a position");
        let (incarnation, revision) = position.split_once('.').expect("incarnation.revision");
        let (incarnation, lineage) = incarnation.split_once('/').unwrap_or((incarnation, "0"));
        let (after, to) = revision.split_once('>').unwrap_or(("0", revision));
        let mut message = v1::Assignments {
            complete,
            incarnation: incarnation.parse().expect("a number"),
            revision: to.parse().expect("a number"),
            after_revision: after.parse().expect("a number"),
            lineage: lineage.parse().expect("a number"),
            ..v1::Assignments::default()
        };
        for word in tokens {
            if let Some(part) = word.strip_prefix("part:") {
                message.more = part.ends_with('+');
                message.part = part.trim_end_matches('+').parse().expect("a number");
                continue;
            }
            if let Some(service) = word.strip_prefix('{') {
                message.services.push(service_of(service.trim_end_matches('}')));
                continue;
            }
            let letter = word.chars().next().expect("a letter");
            let task_id = id_of(letter).to_bytes();
            match &word[1..] {
                "-" => message.removed_ids.push(task_id),
                wish => message
                    .changed
                    .push(assignment(task_id, wish.strip_prefix('=').expect("a=STATE"))),
            }
        }
        self.receive(to_agent::Message::Assignments(message));
    }

    /// `a:running b:created c:ended:3 d:unreadable`; a `?` behind the letter means that only the
    /// name connects the container with the task.
    fn listed(&mut self, rest: &str) {
        let found = rest.split_whitespace().map(|word| {
            let mut parts = word.split(':');
            let name = parts.next().expect("a letter");
            let letter = name.chars().next().expect("a letter");
            let proof = if name.ends_with('?') { Proof::Named } else { Proof::Recorded };
            let started = Started { container_ref: format!("c-{letter}"), ..Started::default() };
            let state = match (parts.next(), parts.next()) {
                (Some("created"), _) => FoundState::Created,
                (Some("running"), _) => FoundState::Running(started),
                (Some("ended"), code) => FoundState::Ended(started, ended(code.expect("a code"))),
                (Some("unreadable"), _) => FoundState::Unreadable("its shim hangs".into()),
                other => panic!("{other:?}"),
            };
            FoundTask { task_id: id_of(letter), image_digest: String::new(), proof, state }
        });
        let found = found.collect();
        self.answer('?', "list", StepOutcome::Listed(Ok(found)));
    }

    fn outcome(&mut self, what: &str, rest: &str) {
        let (task, how) = rest.split_once(' ').unwrap_or((rest, "ok"));
        let letter = task.chars().next().unwrap_or_else(|| panic!("which task? {what}"));
        let error = || match how {
            "unreachable" => unreachable(),
            "rejected" => RuntimeError::Rejected("no such image".into()),
            "unpulled" => {
                RuntimeError::PullFailed { image: "web:1".into(), reason: "no route".into() }
            }
            "failed" => RuntimeError::Failed("it will not".into()),
            "gone" => RuntimeError::Gone,
            other => panic!("{other}"),
        };
        let unit = || if how == "ok" { Ok(()) } else { Err(error()) };
        let (kind, outcome) = match what {
            "prepared" => ("prepare", StepOutcome::Prepared(unit().map(|()| Prepared::default()))),
            "started" => {
                let started =
                    || Started { container_ref: format!("c-{letter}"), pid: 7, ports: Vec::new() };
                ("start", StepOutcome::Started(unit().map(|()| started())))
            }
            "ready" => ("await-ready", StepOutcome::Ready(unit())),
            "stopped" => ("stop", StepOutcome::Stopped(unit())),
            "removed" => ("remove", StepOutcome::Removed(unit())),
            "ended" if how == "gone" || how == "unreachable" => {
                ("await-end", StepOutcome::Ended(Err(error())))
            }
            "ended" => ("await-end", StepOutcome::Ended(Ok(ended(how)))),
            other => panic!("nothing is called {other}"),
        };
        self.answer(letter, kind, outcome);
    }

    fn answer(&mut self, letter: char, kind: &'static str, outcome: StepOutcome) {
        let ticket = self.asked.remove(&(letter, kind));
        let ticket = ticket
            .unwrap_or_else(|| panic!("nobody asked to {kind} {letter}; asked: {:?}", self.asked));
        self.input(Input::Done { task: id_of(letter), ticket, outcome });
    }

    /// The answer to a step that was overtaken arrives after all.
    fn late(&mut self, rest: &str) {
        let index =
            self.stale.iter().position(|(letter, kind, _)| format!("{kind} {letter}") == rest);
        let (letter, kind, ticket) = self.stale.remove(index.expect("it was overtaken"));
        let outcome = match kind {
            "start" => StepOutcome::Started(Ok(Started::default())),
            "prepare" => StepOutcome::Prepared(Ok(Prepared::default())),
            other => panic!("{other}"),
        };
        self.input(Input::Done { task: id_of(letter), ticket, outcome });
    }

    pub(super) fn outputs(&mut self) -> String {
        let mut tokens = Vec::new();
        while let Some(output) = self.core.poll_output() {
            match output {
                AgentOutput::Certified(_) => tokens.push("certified".into()),
                AgentOutput::Joined { warnings, .. } => {
                    tokens.push("joined".into());
                    tokens.extend(warnings.iter().map(|text| format!("warn {text}")));
                }
                AgentOutput::Warn(warnings) => {
                    tokens.extend(warnings.iter().map(|text| format!("warn {text}")));
                }
                AgentOutput::Write(notes) => notes.iter().for_each(|note| self.memory.apply(note)),
                AgentOutput::Act(action) => tokens.push(self.ask(action)),
                AgentOutput::Dial { line, candidate } => {
                    self.line = line;
                    tokens.push(dialed(&candidate));
                }
                AgentOutput::Managers { known, membership } => {
                    tokens.push(kept(&known, membership));
                    self.known = known;
                }
                AgentOutput::Send(message) => tokens.push(self.sent(*message)),
                AgentOutput::HangUp { .. } => tokens.push("hang-up".into()),
                AgentOutput::Logs(order) => {
                    tokens.push(format!("logs of {}", order.task_ids.len()))
                }
                AgentOutput::LogCancel { .. } => tokens.push("no more logs".into()),
                AgentOutput::Halt(halt) => tokens
                    .push(format!("halt {}", format!("{halt:?}").split(' ').next().unwrap_or(""))),
            }
        }
        if tokens.is_empty() { "-".into() } else { tokens.join(", ") }
    }

    fn ask(&mut self, action: Action) -> String {
        let (letter, ticket, kind) = match action {
            Action::List { ticket, .. } => ('?', ticket, "list"),
            Action::Step { task, ticket, step } => (
                letter_of(task),
                ticket,
                match step {
                    TaskStep::Prepare(_) => "prepare",
                    TaskStep::Start(_) => "start",
                    TaskStep::AwaitReady(_) => "await-ready",
                    TaskStep::AwaitEnd(_) => "await-end",
                    TaskStep::Stop { .. } => "stop",
                    TaskStep::Remove => "remove",
                },
            ),
        };
        if kind == "stop" || kind == "remove" {
            for overtaken in ["prepare", "start"] {
                if let Some(ticket) = self.asked.remove(&(letter, overtaken)) {
                    self.stale.push((letter, overtaken, ticket));
                }
            }
        }
        self.asked.insert((letter, kind), ticket);
        if letter == '?' { kind.into() } else { format!("{kind} {letter}") }
    }

    fn sent(&mut self, message: v1::FromAgent) -> String {
        match message.message.expect("a message") {
            from_agent::Message::Hello(hello) => {
                let addr = hello.description.map(|d| d.addr).filter(|addr| !addr.is_empty());
                let addr = addr.map(|addr| format!(" at {addr}")).unwrap_or_default();
                let wrong = if hello.conditions.is_empty() {
                    String::new()
                } else {
                    kinds(&hello.conditions)
                };
                let lineage = Some(hello.lineage).filter(|lineage| *lineage != 0);
                let lineage = lineage.map(|lineage| format!("/{lineage}")).unwrap_or_default();
                let revision = Revision(hello.revision);
                format!("hello {}{lineage}.{revision}{addr}{wrong}", hello.incarnation)
            }
            from_agent::Message::Conditions(all) => format!("conditions{}", kinds(&all.conditions)),
            from_agent::Message::Heartbeat(_) => "beat".into(),
            from_agent::Message::Report(report) => {
                self.report = report.number;
                let tasks: Vec<String> = report.tasks.iter().map(told).collect();
                format!("report {}", tasks.join(" "))
            }
            from_agent::Message::PartTaken(taken) => format!("part {} taken", taken.part),
            from_agent::Message::Join(join) => match join.token.as_str() {
                "" => "ask to join".into(),
                token => format!("ask to join with {token}"),
            },
            other @ (from_agent::Message::LogChunk(_) | from_agent::Message::Pull(_)) => {
                panic!("{other:?}")
            }
        }
    }
}

/// Runs a story: each line is something that happens, `->`, and all that the core does then.
pub(super) fn check(story: &str) {
    let mut world = AgentWorld::new();
    let mut told = Vec::new();
    let mut expected = Vec::new();
    for line in story.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (what, _) = line.split_once("->").unwrap_or_else(|| panic!("no arrow in {line:?}"));
        told.push(format!("{} -> {}", what.trim(), world.act(what.trim())));
        let tokens: Vec<&str> = line.split_whitespace().collect();
        expected.push(tokens.join(" "));
    }
    assert_eq!(told.join("\n"), expected.join("\n"));
}
