//! The manager: the real state machine, turn, hub, sessions and log, over a disk that loses what
//! was not synced.
//!
//! Everything here runs in production too, except that one thread drives it and a model stands in
//! for the disk. The world decides when a sync ends, when a write fails, when the process dies and
//! when another election is won.

mod driven;

use super::{
    dice::Dice,
    disk::{Disk, records},
    world::{Clocks, LogTakes, happening::Occurrence, settings::Settings},
};
use driven::{SharedDrive, Waiter};
use skep_gateway::{admit, clock, drive, hub::core as hub, sessions, turn};
use skep_log::{Draft, Hash, HistoryReader, SealedEntry, SingleLog, SnapshotPolicy, seal};
use skep_projections::{View, trust::IssuedCertificate};
use skep_proto::{Id, Lineage, Revision, Timestamp, author, time::SECOND_NS, v1};
use std::collections::VecDeque;

/// A snapshot is due after so many records: often enough that most restarts begin at one.
const SNAPSHOT_RECORDS: u64 = 100;

/// How long a certificate of the simulation is valid.
const CERTIFICATE_LIFE_NS: u64 = 600 * SECOND_NS;

/// Who proposed an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proposer {
    /// The tenure that goes on.
    Tenure,
    /// One that has ended: its proposal comes late, and must do nothing.
    FormerTenure,
}

/// An entry that was proposed: its hash, its index in the log and its number on the disk.
struct Proposed {
    hash: Hash,
    index: u64,
    number: usize,
    proposer: Proposer,
}

/// A manager's process.
pub struct ManagerProcess {
    /// Which run of the process this is: what was begun in an earlier one never ends.
    pub life: u64,
    /// Which tenure this is: syncs of an earlier one end nothing.
    pub term: u64,
    /// Up to what everybody may see.
    pub committed: View,
    /// When the process began, by the true time.
    pub began_at: Timestamp,
    core: SharedDrive,
    log: SingleLog,
    hub: hub::HubCore<u64>,
    in_flight: VecDeque<Proposed>,
    /// Entries that the state machine proposed and that are not written yet.
    proposals: Vec<SealedEntry>,
    /// An entry that a failed write lost; it is proposed once more when history has gone on.
    late: Option<SealedEntry>,
    /// The newest view, committed or not.
    tip: View,
    /// The true time of the step.
    now: Timestamp,
    proposed: u64,
    concluded: u64,
    happenings: Vec<Occurrence>,
}

/// The manager's own id, for ever.
pub const MANAGER: Id = Id(42);

impl ManagerProcess {
    /// Starts on what the disk holds.
    pub fn start(
        disk: &mut Disk,
        life: u64,
        settings: &Settings,
        clocks: Clocks,
    ) -> Result<(ManagerProcess, usize), String> {
        let identity = drive::ManagerIdentity {
            node: MANAGER,
            code_version: "sim".into(),
            genesis: settings.cluster.clone(),
            safe_mode: false,
        };
        let core = drive::DriveCore::new(identity).with_entry_records(settings.entry_records);
        let core = SharedDrive::new(core, at(clocks));
        let policy = SnapshotPolicy { records_min: SNAPSHOT_RECORDS, bytes_min: 0 };
        let log = SingleLog::open(disk.model(), MANAGER, policy, Box::new(core.clone()));
        let log = log.map_err(|error| error.to_string())?;
        let committed = core.step(|core, _| core.committed().clone());
        let mut manager = ManagerProcess {
            life,
            term: life << 32,
            began_at: clocks.now,
            hub: hub::HubCore::new(MANAGER, &committed),
            tip: committed.clone(),
            committed,
            core,
            log,
            in_flight: VecDeque::new(),
            proposals: Vec::new(),
            late: None,
            now: clocks.now,
            proposed: 0,
            concluded: 0,
            happenings: Vec::new(),
        };
        manager.elected();
        let lost = disk.found(manager.committed.position())?;
        Ok((manager, lost.len()))
    }

    fn elected(&mut self) {
        let (term, begun) = (self.log.status().term, self.log.begun_incarnation());
        self.core.step(|core, _| core.handle_elected(term, begun));
        self.carry();
    }

    /// Another election is won: what was appended is applied first, and a new tenure begins.
    pub fn elect(&mut self, disk: &mut Disk, clocks: Clocks) -> Result<usize, String> {
        self.set(clocks);
        self.core.step(|core, now| core.handle_deposed("another election was held", now));
        self.log.elect().map_err(|failure| format!("{failure:?}"))?;
        self.conclude_all();
        self.term += 1;
        self.elected();
        Ok(disk.found(self.committed.position())?.len())
    }

    /// A write fails: nobody knows what becomes of what is in flight, until the disk works again
    /// and the log is reopened in the same process.
    pub fn fail(
        &mut self,
        disk: &mut Disk,
        clocks: Clocks,
        dice: &mut Dice,
    ) -> Result<usize, String> {
        self.set(clocks);
        disk.model().refuse();
        let last = self.in_flight.back().map_or(u64::MAX, |proposed| proposed.index);
        if self.log.sync_up_to(last).is_ok() && !self.in_flight.is_empty() {
            return Err("a sync of a disk that refuses everything succeeds".into());
        }
        self.core.step(|core, now| core.handle_deposed("the disk failed", now));
        for hash in self.conclude_all() {
            self.core.step(|core, now| core.handle_proposal_failed(hash, "the disk failed", now));
        }
        self.carry();
        // Of what was not synced, the disk keeps some.
        let kept = dice.below(disk.model().at_risk() as u64 + 1) as usize;
        disk.model().cut_power(kept);
        disk.model().heal();
        self.log.reopen().map_err(|error| error.to_string())?;
        self.term += 1;
        self.elected();
        let lost = disk.found(self.committed.position())?;
        let count = lost.len();
        self.late = lost.into_iter().next().map(|written| written.entry);
        Ok(count)
    }

    /// Nothing is in flight any more; the hashes of what was.
    fn conclude_all(&mut self) -> Vec<Hash> {
        let own = |entry: &Proposed| entry.proposer == Proposer::Tenure;
        let hashes: Vec<Hash> = self.in_flight.drain(..).filter(own).map(|e| e.hash).collect();
        self.concluded += hashes.len() as u64;
        hashes
    }

    /// How much of the disk is free.
    pub fn space(&mut self, share: f64, clocks: Clocks) {
        self.set(clocks);
        self.core.step(|core, now| core.handle_space(drive::core::FreeShare(share), now));
        self.carry();
    }

    /// Somebody stops the manager: agents are sent away, what is in flight is awaited.
    pub fn stop(&mut self, clocks: Clocks) {
        self.set(clocks);
        self.hub.handle_stopping();
        self.core.step(|core, now| core.handle_stop(now));
        self.carry();
    }

    fn set(&mut self, clocks: Clocks) {
        self.now = clocks.now;
        self.core.lock().1 = at(clocks);
    }

    /// A person asks.
    pub fn ask(&mut self, number: u64, request: admit::Request, clocks: Clocks) {
        let person = v1::Person { uid: 1000, name: "alice".into(), ..v1::Person::default() };
        let caller = Waiter::Client(number, self.proposed);
        self.request(
            turn::Ask { caller, author: author::person(person).into(), request, bytes: 64 },
            clocks,
        );
    }

    fn request(&mut self, ask: turn::Ask<Waiter>, clocks: Clocks) {
        self.set(clocks);
        self.core.step(|core, now| core.handle_request(ask, now));
        self.carry();
    }

    /// The first message of a stream.
    pub fn hello(
        &mut self,
        conn: sessions::Conn,
        peer: sessions::NodeOfPeer,
        hello: v1::Hello,
        number: u64,
        now: Timestamp,
    ) {
        let view = self.committed.clone();
        self.hub.handle_hello((conn, peer), hello, number, &view, now);
    }

    /// An agent asks for a certificate; the hash of its key stands for the request.
    pub fn join(&mut self, conn: sessions::Conn, join: v1::Join, now: Timestamp) {
        let key_hash = join.request.as_ref().try_into().unwrap_or_default();
        let certificate = IssuedCertificate {
            role: v1::NodeRole::Worker,
            serial: [0; 16],
            not_before: now,
            not_after: now + CERTIFICATE_LIFE_NS,
        };
        let applicant = sessions::Applicant::Local;
        let asked = sessions::certificate_asked(applicant, MANAGER, join, key_hash, certificate);
        self.hub.handle_join(conn, asked);
    }

    /// A later message.
    pub fn message(&mut self, conn: sessions::Conn, message: v1::FromAgent, now: Timestamp) {
        self.hub.handle_message(conn, message, now);
    }

    /// A stream has ended.
    pub fn gone(&mut self, conn: sessions::Conn) {
        self.hub.handle_gone(conn);
    }

    /// A message could not be queued for a stream.
    pub fn full(&mut self, conn: sessions::Conn) {
        self.hub.handle_full(conn);
    }

    /// Somebody has a message for a node's agent; `number` is the caller's.
    pub fn order(&mut self, node: Id, number: u64) {
        let message = Some(v1::to_agent::Message::Cancel(v1::LogCancel { request: number }));
        self.hub.handle_order(node, v1::ToAgent { message }, number);
    }

    /// Time has passed.
    pub fn time(&mut self, clocks: Clocks) {
        self.set(clocks);
        if self.hub.poll_timeout().is_some_and(|at| at <= clocks.now) {
            self.hub.handle_timeout(clocks.now);
        }
        let due =
            self.core.step(|core, now| core.poll_timeout().is_some_and(|at| at <= now.uptime));
        if due {
            self.core.step(|core, now| core.handle_timeout(now));
            self.carry();
        }
    }

    /// The log's read side.
    pub fn history(&self) -> HistoryReader {
        self.log.history()
    }

    /// The hub, to be looked at.
    pub fn hub(&self) -> &hub::HubCore<u64> {
        &self.hub
    }

    /// The stream of a node's open session.
    pub fn conn_of(&self, node: Id) -> Option<sessions::Conn> {
        self.hub.conn_of(node)
    }

    /// The next thing that the hub wants of the shell. Its requests stay here, the rest is the
    /// world's to do.
    pub fn hub_output(&mut self, clocks: Clocks) -> Option<hub::HubOutput<u64>> {
        loop {
            match self.hub.poll_output()? {
                hub::HubOutput::Submit { token, node, request, bytes } => {
                    if let admit::Request::Machine(admit::MachineRequest::Silent { node, .. }) =
                        &*request
                    {
                        self.happenings.push(Occurrence::CalledSilent { node: *node });
                    }
                    let (caller, author) = (Waiter::Session(token), author::node(node));
                    let author = author.into();
                    self.request(turn::Ask { caller, author, request: *request, bytes }, clocks);
                }
                output @ (hub::HubOutput::Send(..)
                | hub::HubOutput::Forward(..)
                | hub::HubOutput::NoSession(_)
                | hub::HubOutput::Drop(_)) => return Some(output),
            }
        }
    }

    /// When something may have to be done although nothing happens.
    pub fn poll_timeout(&mut self) -> Option<Timestamp> {
        let drive = self.core.step(|core, _| core.poll_timeout()).map(|at| Timestamp(at.0));
        [drive, self.hub.poll_timeout()].into_iter().flatten().min()
    }

    /// Nothing is on its way and nothing waits.
    pub fn is_idle(&self) -> bool {
        self.core.step(|core, now| core.is_idle(now))
    }

    /// The newest view, committed or not.
    pub fn tip(&self) -> &View {
        &self.tip
    }

    /// Whether the state machine wants a turn now.
    pub fn wants_turn(&mut self, clocks: Clocks) -> bool {
        self.set(clocks);
        self.core.step(|core, now| core.wants_turn(now))
    }

    /// One turn, if the state machine wants one; whether it left work for the next.
    pub fn turn(&mut self, clocks: Clocks, dice: &mut Dice) -> Option<bool> {
        if !self.wants_turn(clocks) {
            return None;
        }
        let ids: [u8; 32] = dice.bytes();
        let seeds = turn::Seeds { ids, salts: ids.map(|byte| !byte) };
        let job = self.core.step(|core, now| core.begin_turn(now, seeds))?;
        let done = job.run();
        self.tip = done.tip().clone();
        let more = done.has_more();
        self.core.step(|core, now| core.handle_turned(done, now));
        self.carry();
        Some(more)
    }

    /// Writes what the state machine proposes; the numbers of the entries, to be synced in their
    /// order.
    pub fn append(
        &mut self,
        takes: LogTakes,
        disk: &mut Disk,
        clocks: Clocks,
    ) -> Result<Vec<usize>, String> {
        let mut numbers = Vec::new();
        for entry in std::mem::take(&mut self.proposals) {
            let (hash, header) = (entry.hash, &entry.header);
            if takes == LogTakes::Nothing {
                self.concluded += 1;
                self.core.step(|core, now| core.handle_proposal_failed(hash, "it is full", now));
                self.carry();
                continue;
            }
            let next = header.first_revision + u64::from(header.record_count);
            if disk.head() != header.parent_hash {
                let first = header.first_revision;
                return Err(format!(
                    "LOG-3: the entry of revision {first} does not name the newest entry"
                ));
            }
            let number = disk.append(entry.clone(), clocks.now);
            let index = self.log.append(entry).map_err(|failure| format!("{failure:?}"))?;
            let proposer = Proposer::Tenure;
            self.in_flight.push_back(Proposed { hash, index, number, proposer });
            numbers.push(number);
            if let Some(late) = self.late.take() {
                self.append_late(&late, next, number)?;
            }
        }
        Ok(numbers)
    }

    /// What a former tenure lost is proposed once more, as if it had been decided on another
    /// history of the same length: only the fence can tell that it does not follow.
    fn append_late(&mut self, late: &SealedEntry, next: u64, number: usize) -> Result<(), String> {
        let header = &late.header;
        let records = records(late).map(|(_, record)| record).collect::<Result<_, _>>()?;
        let entry = seal(&Draft {
            parent: Hash::from_bytes(&header.parent_hash).unwrap_or(Hash::ZERO),
            incarnation: header.incarnation,
            first_revision: Revision(next),
            at: Timestamp(header.at),
            feature_level: header.feature_level,
            code_version: header.code_version.clone(),
            lineage: Lineage(header.lineage),
            made_from: None,
            records,
        });
        let hash = entry.hash;
        let index = self.log.append(entry).map_err(|failure| format!("{failure:?}"))?;
        let proposer = Proposer::FormerTenure;
        self.in_flight.push_back(Proposed { hash, index, number, proposer });
        Ok(())
    }

    /// How many entries of the tenure are proposed and neither history nor given up.
    pub fn proposals_in_flight(&self) -> usize {
        let of_tenure = self.in_flight.iter().filter(|entry| entry.proposer == Proposer::Tenure);
        of_tenure.count() + self.proposals.len()
    }

    /// The number of the newest entry under way.
    pub fn newest_number(&self) -> Option<usize> {
        self.in_flight.back().map(|proposed| proposed.number)
    }

    /// The disk has synced up to this entry: what was proposed up to it is history, or was fenced.
    pub fn synced(&mut self, number: usize, disk: &mut Disk, clocks: Clocks) -> Result<(), String> {
        self.set(clocks);
        let last = self.in_flight.iter().rev().find(|proposed| proposed.number <= number);
        let Some(index) = last.map(|proposed| proposed.index) else { return Ok(()) };
        let applied = self.log.sync_up_to(index).map_err(|failure| format!("{failure:?}"))?;
        disk.sync(number);
        for applied in applied {
            let proposed = self.in_flight.pop_front();
            let proposer = proposed.map_or(Proposer::FormerTenure, |proposed| proposed.proposer);
            match (proposer, applied.position) {
                (Proposer::Tenure, Some(_)) => self.concluded += 1,
                (Proposer::Tenure, None) => {
                    let (hash, fenced) = (applied.hash, "another history went on");
                    self.concluded += 1;
                    self.core.step(|core, now| core.handle_proposal_failed(hash, fenced, now));
                }
                (Proposer::FormerTenure, None) => {}
                (Proposer::FormerTenure, Some(position)) => {
                    let hash = applied.hash;
                    return Err(format!("LOG-3: a late entry {hash} became history at {position}"));
                }
            }
        }
        self.carry();
        self.log.snapshot().map(drop).map_err(|failure| format!("{failure:?}"))
    }

    /// Does what the state machine says.
    fn carry(&mut self) {
        while let Some(output) = self.core.step(|core, _| core.poll_output()) {
            match output {
                drive::DriveOutput::Propose(entry) => {
                    self.proposed += 1;
                    self.proposals.push(*entry);
                }
                drive::DriveOutput::Publish(published) => {
                    self.committed = published.view.clone();
                    self.hub.handle_committed(&self.committed, &published.delta, self.now);
                }
                // Nobody else votes.
                drive::DriveOutput::ProveLead => {
                    let confirmed = drive::core::LeadProof::Confirmed;
                    self.core.step(|core, now| core.handle_proof(confirmed, now));
                }
                drive::DriveOutput::Forward(_) | drive::DriveOutput::Return(_) => {
                    unreachable!("there is no other manager")
                }
                drive::DriveOutput::Answer(waiter, answer) => self.give(waiter, answer),
                drive::DriveOutput::AnswerAll(answers) => {
                    answers.into_answers().for_each(|(waiter, answer)| self.give(waiter, answer));
                }
            }
        }
    }

    fn give(&mut self, waiter: Waiter, answer: turn::Answer) {
        match waiter {
            Waiter::Session(token) => self.hub.handle_answer(token, &answer, &self.committed),
            Waiter::Client(number, proposed_before) => {
                let committed = self.committed.position().revision;
                let concluded = self.concluded;
                self.happenings.push(Occurrence::Answered {
                    number,
                    answer,
                    proposed_before,
                    concluded,
                    committed,
                });
            }
        }
    }

    /// What happened inside since somebody looked.
    pub fn take_happenings(&mut self) -> Vec<Occurrence> {
        std::mem::take(&mut self.happenings)
    }
}

fn at(clocks: Clocks) -> clock::Now {
    clock::Now { uptime: clock::Uptime(clocks.now.0), wall: clocks.wall }
}
