//! A hand-cranked world around the sessions, for their stories: agents say things, the turn decides
//! when a story lets it, and what the sessions do is written down.
//!
//! Nodes and agents are named by letters. Each stream of an agent has a number: `a1` is the first
//! of agent a.

use super::{Applicant, Conn, NodeOfPeer, SessionOutput, Sessions, certificate_asked, parts};
use crate::{
    admit::{self, CertificateClaim, MachineRequest, Refusal, Request},
    turn::Answer,
};
use sha2::{Digest as _, Sha256};
use skep_projections::{
    Delta,
    fixture::{MANAGER, World as Cluster, id},
    trust::IssuedCertificate,
};
use skep_proto::{Id, Revision, Timestamp, v1};
use skep_reconcilers::Entropy;
use std::collections::{BTreeMap, VecDeque};

/// One agent, as the stories know it.
#[derive(Default)]
struct StoryAgent {
    streams: u64,
    conn: Option<Conn>,
    process: u64,
    reports: u64,
}

/// A cluster view, the sessions on it and agents that speak the protocol, for stories.
pub(super) struct SessionsWorld {
    pub(super) cluster: Cluster,
    pub(super) sessions: Sessions,
    now: Timestamp,
    agents: BTreeMap<String, StoryAgent>,
    names: BTreeMap<Conn, String>,
    asks: VecDeque<(u64, Request)>,
    conns: u64,
}

/// Runs a story: each line is `what happens -> what the sessions do`.
pub(super) fn check(given: &str, story: &str) {
    let mut world = SessionsWorld::of(given);
    for line in story.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (what, expected) = line.split_once("->").unwrap_or((line, ""));
        assert_eq!(world.act(what.trim()), expected.trim(), "{line}");
    }
}

impl SessionsWorld {
    /// A cluster of these parts; `member a` is a node whose agent has joined before, `veteran a`
    /// one that joined before there were certificates.
    pub(super) fn of(given: &str) -> SessionsWorld {
        let mut cluster = Cluster::empty();
        for statement in given.split('|').map(str::trim).filter(|s| !s.is_empty()) {
            match statement.split_once(' ') {
                Some(("member", name)) => {
                    cluster.record(joined(name, [0; 32]));
                    cluster.record(certified(name));
                }
                Some(("veteran", name)) => {
                    drop(cluster.record(joined(name, Sha256::digest(secret(name)).into())));
                }
                Some(_) | None => drop(cluster.tell(statement)),
            }
        }
        let sessions = Sessions::new(MANAGER, &cluster.view);
        SessionsWorld {
            cluster,
            sessions,
            // As soon after the start of its machine as it may be.
            now: Timestamp(1),
            agents: BTreeMap::new(),
            names: BTreeMap::new(),
            asks: VecDeque::new(),
            conns: 0,
        }
    }

    /// Does one thing, and gives back what the sessions did.
    pub(super) fn act(&mut self, what: &str) -> String {
        let (first, rest) = what.split_once(' ').unwrap_or((what, ""));
        match first {
            "commit" => self.commit(rest),
            "refuse" => self.answer_all(&Answer::Refused(Refusal::exhausted("busy"))),
            "unknown" => self.answer_all(&Answer::Unknown("the log failed".into())),
            "forget" => self.asks.clear(),
            "later" => {
                let end = self.now + ns(rest);
                let due = |world: &Self| Some(world.sessions.poll_timeout()?.max(world.now));
                while let Some(due) = due(self).filter(|due| *due < end) {
                    self.now = due;
                    self.sessions.handle_timeout(due);
                }
                self.now = end;
                self.sessions.handle_timeout(end);
            }
            // The manager's process is suspended: the clock goes on, and nothing is called.
            "suspended" => self.now = self.now + ns(rest),
            "tell" => {
                let delta = self.cluster.tell(rest);
                self.committed(&delta);
            }
            // These records come as a snapshot, all at once.
            "snapshot" => {
                let before = self.cluster.view.clone();
                rest.split(" | ").for_each(|record| drop(self.cluster.tell(record)));
                self.committed(&Delta::between(&before, &self.cluster.view));
            }
            "missing" => self.sessions.handle_leader_word(super::LeaderWord::Missing, self.now),
            "heard" => self.sessions.handle_leader_word(super::LeaderWord::Heard, self.now),
            // The manager's process is another one, in the same tenure.
            "restart" => self.sessions = Sessions::new(MANAGER, &self.cluster.view),
            "stopping" => self.sessions.handle_stopping(),
            agent => self.agent(agent, rest),
        }
        self.outputs()
    }

    fn agent(&mut self, name: &str, what: &str) {
        let (verb, rest) = what.split_once(' ').unwrap_or((what, ""));
        match verb {
            "hello" => return self.hello(name, rest),
            "join" => return self.join(name, rest),
            _ => {}
        }
        let agent = self.agents.get_mut(name).unwrap_or_else(|| panic!("{name} has no stream"));
        let conn = agent.conn.expect("it has a stream");
        if verb == "gone" {
            return self.sessions.handle_gone(conn);
        }
        let message = match verb {
            "beat" => v1::from_agent::Message::Heartbeat(v1::Heartbeat { beat: 1 }),
            "hello-again" => v1::from_agent::Message::Hello(v1::Hello::default()),
            "chunk" => v1::from_agent::Message::LogChunk(v1::LogChunk::default()),
            "pull" => v1::from_agent::Message::Pull(v1::PullProgress::default()),
            "takes" => v1::from_agent::Message::PartTaken(v1::PartTaken::default()),
            "conditions" => {
                v1::from_agent::Message::Conditions(v1::Conditions { conditions: conditions(rest) })
            }
            "report" => {
                agent.reports += 1;
                let tasks = rest.split_whitespace().map(|word| {
                    let (task, state) = word.split_once('=').expect("task=STATE");
                    observed(self.cluster.task_id(task), state)
                });
                let tasks = tasks.collect();
                v1::from_agent::Message::Report(v1::Report { number: agent.reports, tasks })
            }
            other => panic!("{other:?} is nothing an agent does"),
        };
        self.sessions.handle_message(conn, v1::FromAgent { message: Some(message) }, self.now);
    }

    /// A new stream of this agent.
    fn stream(&mut self, name: &str) -> Conn {
        self.conns += 1;
        let conn = Conn(self.conns);
        let agent = self.agents.entry(name.to_owned()).or_default();
        agent.streams += 1;
        agent.conn = Some(conn);
        self.names.insert(conn, format!("{name}{}", agent.streams));
        conn
    }

    /// `a join [embedded|token] [key=x] [node=x] [secret=x] [hostname=x]`; the secret is that of
    /// node x.
    fn join(&mut self, name: &str, parts: &str) {
        let conn = self.stream(name);
        let (mut applicant, mut key) = (Applicant::Local, key(name));
        let mut join = v1::Join {
            description: Some(skep_projections::fixture::node_description(name)),
            ..v1::Join::default()
        };
        for word in parts.split_whitespace() {
            match word.split_once('=').unwrap_or((word, "")) {
                ("embedded", _) => applicant = Applicant::Own,
                ("token", _) => applicant = Applicant::Token(v1::NodeRole::Worker),
                ("key", other) => key = self::key(other),
                ("node", other) => join.node_id = node(other).to_bytes(),
                ("secret", of) => {
                    join.earlier_secret = secret(of).into();
                    join.node_id = node(of).to_bytes();
                }
                ("hostname", name) => {
                    join.description = Some(skep_projections::fixture::node_description(name));
                }
                other => panic!("{other:?} is nothing that a join says"),
            }
        }
        let certificate = IssuedCertificate {
            role: v1::NodeRole::Worker,
            serial: [1; 16],
            not_before: self.now,
            not_after: self.now + ns("1000000"),
        };
        let asked = certificate_asked(applicant, MANAGER, join, key, certificate);
        self.sessions.handle_join(conn, asked);
    }

    /// `a hello [node=x] [key=x] [named] [new-process] [at=I.R] [conditions=engine,pull]`; one that
    /// is `named` is the node that its key made.
    fn hello(&mut self, name: &str, parts: &str) {
        let conn = self.stream(name);
        let agent = self.agents.entry(name.to_owned()).or_default();
        let mut peer = NodeOfPeer { node: node_of(name), key_hash: key(name), address: None };
        let mut hello = v1::Hello {
            spec: Some(v1::NodeSpec::default()),
            description: Some(skep_projections::fixture::node_description(name)),
            ..v1::Hello::default()
        };
        for word in parts.split_whitespace() {
            match word.split_once('=').unwrap_or((word, "")) {
                ("node", other) => peer.node = node_of(other),
                ("key", other) => peer.key_hash = key(other),
                ("from", address) => {
                    peer.address = Some(address.parse().expect("an address"));
                }
                ("named", _) => peer.node = named(&peer.key_hash),
                ("hostname", name) => {
                    hello.description = Some(skep_projections::fixture::node_description(name));
                }
                ("label", label) => {
                    let (key, value) = label.split_once(':').expect("key:value");
                    let spec = hello.spec.get_or_insert_default();
                    let labels = &mut spec.annotations.get_or_insert_default().labels;
                    labels.insert(key.into(), value.into());
                }
                ("new-process", _) => agent.process += 1,
                ("conditions", kinds) => hello.conditions = conditions(kinds),
                ("at", position) => {
                    let (incarnation, revision) =
                        position.split_once('.').expect("incarnation.revision");
                    let (incarnation, lineage) =
                        incarnation.split_once('/').unwrap_or((incarnation, "0"));
                    hello.lineage = lineage.parse().expect("a number");
                    hello.incarnation = incarnation.parse().expect("a number");
                    hello.revision = revision.parse().expect("a number");
                }
                other => panic!("{other:?} is nothing that a hello says"),
            }
        }
        hello.process = agent.process;
        let view = self.cluster.view.clone();
        self.sessions.handle_hello(conn, peer, hello, 100 + conn.0, &view, self.now);
    }

    /// The turn decides what was asked, as the real one does, and it is committed; `also` happens
    /// in the same entry.
    fn commit(&mut self, also: &str) {
        for (token, request) in std::mem::take(&mut self.asks) {
            let entropy = Entropy::new([7; 32]);
            let answer = match admit::admit(&self.cluster.view, &request, &entropy) {
                Err(refusal) => Answer::Refused(refusal),
                Ok(admitted) => {
                    let warnings = admitted.warnings;
                    let mut delta = Delta::default();
                    for (_, kind) in admitted.events {
                        delta.merge(&self.cluster.record(kind));
                    }
                    if !also.is_empty() {
                        delta.merge(&self.cluster.tell(also));
                    }
                    self.committed(&delta);
                    accepted(self.cluster.view.position().revision, warnings)
                }
            };
            self.sessions.handle_answer(token, &answer, &self.cluster.view);
        }
    }

    fn committed(&mut self, delta: &Delta) {
        let view = self.cluster.view.clone();
        self.sessions.handle_committed(&view, delta, self.now);
    }

    fn answer_all(&mut self, answer: &Answer) {
        for (token, _) in std::mem::take(&mut self.asks) {
            self.sessions.handle_answer(token, answer, &self.cluster.view);
        }
    }

    fn outputs(&mut self) -> String {
        let mut done = Vec::new();
        while let Some(output) = self.sessions.poll_output() {
            done.push(match output {
                SessionOutput::Send(conn, message) => {
                    format!("{} {}", self.name(conn), self.sent(message))
                }
                SessionOutput::Close(conn) => format!("{} closed", self.name(conn)),
                SessionOutput::Ask { token, request, .. } => {
                    let line = asked(&request);
                    self.asks.push_back((token, *request));
                    line
                }
            });
        }
        if done.is_empty() { "-".into() } else { done.join(", ") }
    }

    fn name(&self, conn: Conn) -> &str {
        self.names.get(&conn).map_or("?", String::as_str)
    }

    fn sent(&self, message: v1::ToAgent) -> String {
        match message.message.expect("a message") {
            v1::to_agent::Message::Welcome(welcome) => {
                let period = format!("welcome {}", welcome.heartbeat_period_ns / 1_000_000);
                [period].into_iter().chain(welcome.warnings).collect::<Vec<_>>().join(" warning: ")
            }
            v1::to_agent::Message::Certified(certified) => {
                let role = certified.role().as_str_name().trim_start_matches("NODE_ROLE_");
                let role = format!("certified as {role}").to_lowercase();
                [role].into_iter().chain(certified.warnings).collect::<Vec<_>>().join(" warning: ")
            }
            v1::to_agent::Message::Turned(turned) => {
                format!("turned {}", turned.code().as_str_name().trim_start_matches("TURNED_CODE_"))
            }
            v1::to_agent::Message::Assignments(assignments) => self.assignments(&assignments),
            v1::to_agent::Message::Ack(ack) => format!("ack {}", ack.number),
            v1::to_agent::Message::HeartbeatPeriod(period) => {
                format!("period {}", period.period_ns / 1_000_000)
            }
            v1::to_agent::Message::Managers(told) => {
                let addresses = told.managers.iter().map(|manager| manager.address.as_str());
                let addresses = addresses.collect::<Vec<_>>().join(" ");
                format!("managers [{addresses}] number {}", told.raft_id)
            }
            v1::to_agent::Message::Logs(_) | v1::to_agent::Message::Cancel(_) => {
                panic!("not the sessions' business")
            }
        }
    }

    /// `set web.1=RUNNING`, `change 5>7 {web} web.1=RUNNING* web.2-`: a star is a whole task,
    /// braces a service, and `+` says that more parts follow.
    fn assignments(&self, message: &v1::Assignments) -> String {
        let mut parts = match message.complete {
            true => vec!["set".to_owned()],
            false => vec![format!("change {}>{}", message.after_revision, message.revision)],
        };
        if message.part > 0 || message.more {
            parts.push(format!("part {}{}", message.part, if message.more { "+" } else { "" }));
        }
        parts
            .extend(message.services.iter().map(|service| format!("{{{}}}", service.service_name)));
        parts.extend(message.changed.iter().map(|assignment| self.assigned(assignment)));
        parts.extend(
            message.removed_ids.iter().map(|id| format!("{}-", self.task(Id::from_bytes(id)))),
        );
        parts.join(" ")
    }

    fn assigned(&self, assignment: &v1::Assignment) -> String {
        let whole = if assignment.task.is_some() { "*" } else { "" };
        let desired = assignment.desired().as_str_name().trim_start_matches("TASK_STATE_");
        format!("{}={desired}{whole}", self.task(Id::from_bytes(&assignment.task_id)))
    }

    fn task(&self, id: Id) -> String {
        let index = self.cluster.view.tasks().find(id);
        index.map_or_else(|| "gone".into(), |index| self.cluster.task_name(index))
    }
}

fn asked(request: &Request) -> String {
    let Request::Machine(machine) = request else { panic!("agents give no commands") };
    match machine {
        MachineRequest::Certify(asked) => match &asked.claim {
            CertificateClaim::Newcomer(newcomer) => {
                format!("ask join {:?}", newcomer.spec.desired_role()).to_lowercase()
            }
            CertificateClaim::Own(_) => "ask own".into(),
            CertificateClaim::EarlierSecret(_) => "ask exchange".into(),
            CertificateClaim::Key => "ask again".into(),
            CertificateClaim::Certificate => panic!("agents renew elsewhere"),
        },
        MachineRequest::FoundAuthority { .. } => panic!("agents found nothing"),
        MachineRequest::Open { conditions, .. } if conditions.is_empty() => "ask open".into(),
        MachineRequest::Open { conditions, .. } => {
            format!("ask open with {} conditions", conditions.len())
        }
        MachineRequest::Conditions { conditions, .. } => {
            format!("ask {} conditions", conditions.len())
        }
        MachineRequest::Close { .. } => "ask close".into(),
        MachineRequest::Silent { .. } => "ask silent".into(),
        MachineRequest::Report { tasks, .. } => format!("ask report of {}", tasks.len()),
        MachineRequest::Leader(_) | MachineRequest::Fact(_) => {
            panic!("agents know no facts of the manager")
        }
    }
}

fn ns(ms: &str) -> u64 {
    ms.parse::<u64>().expect("milliseconds") * 1_000_000
}

fn node(name: &str) -> Id {
    id("node", name)
}

/// The manager's own agent is called m.
fn node_of(name: &str) -> Id {
    if name == "m" { MANAGER } else { node(name) }
}

/// The id that a node gets by joining with this key.
fn named(key: &[u8; 32]) -> Id {
    Id::from_bytes(&Sha256::digest([b"skep node", &key[..]].concat())[..16])
}

fn key(name: &str) -> [u8; 32] {
    Sha256::digest(format!("key of {name}")).into()
}

fn secret(name: &str) -> Vec<u8> {
    format!("secret of {name}").into_bytes()
}

fn certified(name: &str) -> v1::event::Kind {
    v1::event::Kind::CertificateIssued(v1::CertificateIssued {
        node_id: node_of(name).to_bytes(),
        key_hash: bytes::Bytes::copy_from_slice(&key(name)),
        serial: bytes::Bytes::from_static(&[1; 16]),
        not_before_at: 1,
        not_after_at: 2,
        ..v1::CertificateIssued::default()
    })
}

/// Before there were certificates, the hash of an agent's secret stood here.
fn joined(name: &str, hash: [u8; 32]) -> v1::event::Kind {
    let id = node_of(name);
    v1::event::Kind::NodeJoined(Box::new(v1::NodeJoined {
        node_id: id.to_bytes(),
        spec: Some(v1::NodeSpec::default()),
        description: Some(skep_projections::fixture::node_description(name)),
        secret_hash: bytes::Bytes::copy_from_slice(&hash),
    }))
}

fn conditions(kinds: &str) -> Vec<v1::Condition> {
    let kinds = kinds.split(',').filter(|kind| !kind.is_empty()).map(|kind| match kind {
        "engine" => v1::ConditionKind::EngineUnreachable,
        "pull" => v1::ConditionKind::PullFailing,
        other => panic!("{other:?} is not a condition"),
    });
    kinds.map(|kind| v1::Condition { kind: kind as i32, ..v1::Condition::default() }).collect()
}

fn observed(task: Id, state: &str) -> v1::TaskObserved {
    let state = v1::TaskState::from_str_name(&format!("TASK_STATE_{state}")).expect("a state");
    v1::TaskObserved {
        task_id: task.to_bytes(),
        state: state as i32,
        ..v1::TaskObserved::default()
    }
}

fn accepted(revision: Revision, warnings: Vec<String>) -> Answer {
    Answer::Accepted { revision, through: revision, object: Id::NONE, changed: true, warnings }
}

/// So many parts may be ahead.
pub(super) const AHEAD: u32 = parts::PARTS_AHEAD_MAX;
