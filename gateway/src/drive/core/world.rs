//! A language for stories about the drive: each line is something that happens, and what the drive
//! says then.
//!
//! The log is a list of proposals p1, p2, … that a story commits or fails. Callers are letters.
//! Nothing is hidden: a line without `->` expects silence, and `-> …` must name everything that
//! comes out, in its order.

use super::*;
use crate::admit::{CertificateAsked, CertificateClaim, MachineRequest, Newcomer};
use skep_projections::{fixture::service_spec, trust::IssuedCertificate};
use skep_proto::{
    Id, Lineage, Revision, Timestamp, author, event,
    v1::{
        ClusterSpec, Command, CommandId, CreateService, NodeDescription, NodeRole, NodeSpec,
        Person, RemoveService, ScaleService, UpdateService, command::Action, service_mode::Mode,
    },
};

/// The wall clock at the beginning of each story.
const WALL: Timestamp = Timestamp(1_000_000 * SECOND_NS);

pub(super) struct DriveWorld {
    pub(super) core: DriveCore<String>,
    now: Now,
    seeds: u8,
    /// Every proposal, in the order in which they came.
    proposed: Vec<Arc<Entry>>,
    /// How many of them the log has dealt with.
    concluded: usize,
    /// Size of each request that is asked.
    pub(super) bytes: usize,
    running: Option<TurnDone<String>>,
    /// Messages to the leader that are on their way.
    forwards: VecDeque<ForwardJob<String>>,
}

/// Plays a story: lines of `input -> outputs`.
pub(super) fn check(story: &str) {
    let mut world = DriveWorld::new();
    world.play(story);
}

/// The beginning of most stories: this manager leads a cluster, and nothing is in flight.
pub(super) const LEADING: &str = "lead 1
     turn -> p1 cluster_created feature_level_raised tenure_begun
     commit -> show 3\n";

impl DriveWorld {
    pub(super) fn new() -> DriveWorld {
        DriveWorld::of(false)
    }

    pub(super) fn in_safe_mode() -> DriveWorld {
        DriveWorld::of(true)
    }

    fn of(safe_mode: bool) -> DriveWorld {
        let genesis = ClusterSpec::default();
        let identity =
            ManagerIdentity { node: Id(9), code_version: "story".into(), genesis, safe_mode };
        DriveWorld {
            core: DriveCore::new(identity),
            now: Now { uptime: Uptime(0), wall: WALL },
            seeds: 0,
            proposed: Vec::new(),
            concluded: 0,
            bytes: 100,
            running: None,
            forwards: VecDeque::new(),
        }
    }

    pub(super) fn play(&mut self, story: &str) {
        for line in story.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (input, expected) = line.split_once(" -> ").unwrap_or((line, "-"));
            let said = self.happen(input);
            let said = if said.is_empty() { "-".to_owned() } else { said.join(", ") };
            assert_eq!(said, expected, "after {line:?}");
        }
    }

    pub(super) fn now(&self) -> Now {
        self.now
    }

    /// The proposal of this number.
    pub(super) fn proposed(&self, index: usize) -> Arc<Entry> {
        self.proposed[index - 1].clone()
    }

    fn happen(&mut self, input: &str) -> Vec<String> {
        if input == "settle" {
            return self.settle();
        }
        let tokens: Vec<&str> = input.split_whitespace().collect();
        let mut extra = None;
        match tokens[..] {
            ["lead", term] => self.core.handle_elected(number(term), None),
            ["lead", term, "begins", incarnation] => {
                self.core.handle_elected(number(term), Some(number(incarnation)));
            }
            ["depose"] => self.core.handle_deposed("this manager does not lead", self.now),
            ["leaderless"] => self.core.handle_leaderless(self.now),
            ["follow"] => self.core.handle_following(self.now),
            ["answer", ..] => self.answer_forward(&tokens[1..]),
            ["untaken"] => self.end_forward(ForwardOutcome::NotTaken("it is not reached".into())),
            ["lost"] => self.end_forward(ForwardOutcome::Lost("the way is cut".into())),
            ["turn"] => extra = self.turn(),
            ["begin"] => extra = self.begin(),
            ["end"] => self.end(),
            ["apply"] => self.apply(),
            ["announce"] => self.core.handle_announced(self.now),
            ["commit"] => {
                self.apply();
                self.core.handle_announced(self.now);
            }
            ["commit", index] => {
                self.concluded = number(index) as usize - 1;
                self.apply();
                self.core.handle_announced(self.now);
            }
            ["fail"] => self.fail(),
            ["fail", index] => {
                self.concluded = number(index) as usize - 1;
                self.fail();
            }
            ["later", ms] => self.later(number(ms)),
            ["suspended", ms] => self.suspended(number(ms)),
            ["wall", seconds] => {
                let step: i64 = seconds.parse().expect("a number of seconds");
                self.now.wall =
                    Timestamp(self.now.wall.0.saturating_add_signed(step * SECOND_NS as i64));
            }
            // As if a reconciler asked for a time that has passed.
            ["overslept"] => {
                let tenure = self.core.tenure.as_mut().expect("it leads");
                tenure.wake(Some(Timestamp(1)), self.now.uptime);
            }
            ["look"] => self.core.handle_space(self.core.free, self.now),
            ["free", percent] => {
                let share: f64 = percent.parse().expect("a percentage");
                self.core.handle_space(FreeShare(share / 100.0), self.now);
            }
            ["stop"] => self.core.handle_stop(self.now),
            ["next"] => extra = Some(self.next()),
            ["time"] => extra = Some(self.time()),
            ["forwarded", caller, ..] => {
                let ask = self.asked(caller.trim_end_matches(':'), &tokens[2..]);
                self.core.handle_forwarded_requests(vec![ask], self.now);
            }
            [caller, ..] if caller.ends_with(':') => {
                let ask = self.asked(caller.trim_end_matches(':'), &tokens[1..]);
                self.core.handle_request(ask, self.now);
            }
            _ => panic!("a story does not know {input:?}"),
        }
        let mut said = self.outputs();
        said.extend(extra);
        if self.core.is_stopped() {
            said.push("stopped".into());
        }
        said
    }

    /// A turn and its commit, of which only the answers are told, without their revisions.
    fn settle(&mut self) -> Vec<String> {
        assert_eq!(self.turn(), None, "a turn has something to do");
        let mut said = self.outputs();
        self.apply();
        self.core.handle_announced(self.now);
        said.extend(self.outputs());
        let answers = said.into_iter().filter(|word| word.contains('='));
        answers.map(|word| word.split(" ").next().unwrap_or_default().to_owned()).collect()
    }

    fn turn(&mut self) -> Option<String> {
        let nothing = self.begin();
        if nothing.is_none() {
            self.end();
        }
        nothing
    }

    fn begin(&mut self) -> Option<String> {
        self.seeds += 1;
        match self
            .core
            .begin_turn(self.now, Seeds { ids: [self.seeds; 32], salts: [self.seeds; 32] })
        {
            Some(job) => self.running = Some(job.run()),
            None => return Some("no turn".into()),
        }
        None
    }

    fn end(&mut self) {
        let done = self.running.take().expect("a turn runs");
        self.core.handle_turned(done, self.now);
    }

    fn apply(&mut self) {
        let entry = self.proposed[self.concluded].clone();
        self.concluded += 1;
        self.core.handle_committed(&entry).expect("an entry of the drive's own is taken");
    }

    fn fail(&mut self) {
        let hash = self.proposed[self.concluded].hash;
        self.concluded += 1;
        self.core.handle_proposal_failed(hash, "the disk said no", self.now);
    }

    /// The leader's answers to the oldest message: a revision is "done", decided on it; `none` is
    /// not decided.
    fn answer_forward(&mut self, answers: &[&str]) {
        let answer = |told: &&str| {
            let revision = Revision(told.parse().ok()?);
            let done = Answer::Accepted {
                revision,
                through: revision,
                object: Id::NONE,
                changed: true,
                warnings: Vec::new(),
            };
            Some((done, revision))
        };
        self.end_forward(ForwardOutcome::Answered(answers.iter().map(answer).collect()));
    }

    fn end_forward(&mut self, outcome: ForwardOutcome) {
        let job = self.forwards.pop_front().expect("a message is on its way");
        self.core.handle_forwarded(job, outcome, self.now);
    }

    /// All that another one has proposed is committed, and arrives here.
    pub(super) fn catch_up(&mut self, leader: &DriveWorld) -> String {
        for entry in &leader.proposed[self.concluded..] {
            self.core.handle_committed(entry).expect("it is the next entry");
        }
        self.concluded = leader.proposed.len();
        self.core.handle_announced(self.now);
        self.outputs().join(", ")
    }

    fn later(&mut self, ms: u64) {
        self.suspended(ms);
        self.core.handle_timeout(self.now);
    }

    /// Time passes, and the core is not told.
    fn suspended(&mut self, ms: u64) {
        let ns = ms * 1_000_000;
        self.now = Now { uptime: self.now.uptime + ns, wall: self.now.wall + ns };
    }

    fn next(&self) -> String {
        match self.core.poll_timeout() {
            None => "never".into(),
            Some(at) if at <= self.now.uptime => "now".into(),
            Some(at) => format!("in {} ms", at.since(self.now.uptime) / 1_000_000),
        }
    }

    /// Seconds of the log's time since the story began.
    fn time(&mut self) -> String {
        let at = self.core.log_time(self.now);
        format!("{:.1} s", at.since(WALL) as f64 / SECOND_NS as f64)
    }

    fn outputs(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        while let Some(output) = self.core.poll_output() {
            match output {
                DriveOutput::Publish(published) => {
                    said.push(format!("show {}", published.view.position().revision));
                }
                DriveOutput::Answer(caller, answer) => {
                    said.push(format!("{caller}={}", told(&answer)));
                }
                DriveOutput::AnswerAll(answers) => {
                    let answers = answers.into_answers();
                    said.extend(
                        answers.map(|(caller, answer)| format!("{caller}={}", told(&answer))),
                    );
                }
                DriveOutput::Forward(job) => {
                    said.push(format!("forward {}", job.callers().join(" ")));
                    self.forwards.push_back(job);
                }
                DriveOutput::ProveLead => said.push("prove".into()),
                DriveOutput::Return(caller) => said.push(format!("{caller} returned")),
                DriveOutput::Propose(entry) => {
                    self.proposed.push(Arc::new((*entry).into()));
                    let number = self.proposed.len();
                    said.push(format!("p{number} {}", kinds(&self.proposed[number - 1])));
                }
            }
        }
        said
    }

    fn asked(&self, caller: &str, tokens: &[&str]) -> Ask<String> {
        let person =
            author::person(Person { uid: 1000, name: "alice".into(), ..Person::default() });
        let (author, request) = match tokens {
            ["join", name] => (author::node(Id(1)), join(name)),
            _ => (person, Request::Command(self.command(tokens))),
        };
        let (author, bytes) = (Arc::new(author), self.bytes);
        Ask { caller: caller.to_owned(), author, request, bytes }
    }

    fn command(&self, tokens: &[&str]) -> Command {
        let (tokens, id) = match tokens {
            [tokens @ .., id] if id.starts_with('#') => (tokens, number(&id[1..])),
            _ => (tokens, 0),
        };
        // The first turn's seed founds the cluster.
        let lineage = Lineage::from_random([1; 8]).0;
        let id = CommandId { stamp: 5, number: id, given_revision: 1, lineage, command_hash: 0 };
        let id = (id.number > 0).then_some(id);
        Command { id, action: Some(self.action(tokens)), ..Command::default() }
    }

    fn action(&self, tokens: &[&str]) -> Action {
        match tokens {
            ["create", name] => self.action(&["create", name, "1"]),
            ["create", name, replicas] => {
                let mut spec = service_spec(name);
                spec.mode.get_or_insert_default().mode =
                    Some(Mode::Replicated(skep_proto::v1::Replicated {
                        replicas: number(replicas),
                    }));
                Action::CreateService(Box::new(CreateService { spec: Some(spec) }))
            }
            ["scale", name, replicas] => Action::ScaleService(ScaleService {
                service: (*name).into(),
                replicas: number(replicas),
            }),
            ["remove", name] => Action::RemoveService(RemoveService { service: (*name).into() }),
            ["label", name] => self.update(name, |spec| {
                let annotations = spec.annotations.get_or_insert_default();
                annotations.labels.insert("tier".into(), "web".into());
            }),
            ["policy", name] => self.update(name, |spec| {
                let task = spec.task.get_or_insert_default();
                task.restart.get_or_insert_default().max_attempts += 1;
            }),
            ["retry", name] => self.update(name, |spec| {
                spec.task.get_or_insert_default().force_update += 1;
            }),
            _ => panic!("a story does not know the command {tokens:?}"),
        }
    }

    fn update(&self, name: &str, change: impl FnOnce(&mut skep_proto::v1::ServiceSpec)) -> Action {
        let view = self.core.committed();
        let index = view.service_named(name).expect("the service is committed");
        let row = view.services().get(index).expect("a named service has a row");
        let mut spec = (*row.spec).clone();
        change(&mut spec);
        let update =
            UpdateService { service: name.into(), version: row.version.0, spec: Some(spec) };
        Action::UpdateService(Box::new(update))
    }
}

fn join(name: &str) -> Request {
    let description = NodeDescription { hostname: name.into(), ..NodeDescription::default() };
    let newcomer = Newcomer { spec: NodeSpec::default(), description };
    let certificate = IssuedCertificate {
        role: NodeRole::Worker,
        serial: [1; 16],
        not_before: Timestamp(1),
        not_after: Timestamp(1_000),
    };
    let claim = CertificateClaim::Newcomer(newcomer.into());
    let asked = CertificateAsked { node: Id(1), key_hash: [1; 32], claim, certificate };
    Request::Machine(MachineRequest::Certify(Box::new(asked)))
}

fn number(word: &str) -> u64 {
    word.parse().expect("a number")
}

fn told(answer: &Answer) -> String {
    match answer {
        Answer::Accepted { revision, changed: true, .. } => format!("done {revision}"),
        Answer::Accepted { revision, changed: false, .. } => format!("same {revision}"),
        Answer::Refused(refusal) => {
            format!(
                "refused({})",
                refusal.message.split([':', ',', ';', '(']).next().unwrap_or_default().trim()
            )
        }
        Answer::Unknown(_) => "unknown".into(),
    }
}

/// The kinds of an entry's records; many of one kind are counted.
fn kinds(entry: &Entry) -> String {
    let mut kinds: Vec<(&'static str, usize)> = Vec::new();
    for (_, record) in entry.decode().expect("what was sealed decodes") {
        let kind =
            event::name(record.event.and_then(|e| e.kind).as_ref().expect("each has a kind"));
        match kinds.last_mut() {
            Some((last, count)) if *last == kind => *count += 1,
            _ => kinds.push((kind, 1)),
        }
    }
    let counted = kinds.into_iter().map(|(kind, count)| match count {
        1 => kind.to_owned(),
        _ => format!("{count}x{kind}"),
    });
    counted.collect::<Vec<_>>().join(" ")
}
