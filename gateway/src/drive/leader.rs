//! The turn's thread: wait, take a turn, propose. And the two watchers that tell it what the log is up to.

use super::{
    Identity,
    fold::{Pending, Shared},
    inbox::{Inbox, Pause, Reply, Step},
};
use crate::{
    admit::{Machine, Request},
    clock::Clock,
    turn::{Ask, Tip, Turned},
};
use skep_log::{Health, Log, Proposal};
use skep_proto::{
    Id, Timestamp, author,
    v1::{ClockJumped, ClusterCreated, IncarnationBegun, TenureBegun, event::Kind},
};
use skep_reconcilers::Brain;
use std::{
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::sync::mpsc;

/// How often free disk space is looked at.
const SPACE_PERIOD: Duration = Duration::from_secs(1);
/// Below this share of free disk nothing is accepted.
const FREE_SHARE_MIN: f64 = 0.05;

/// Tells the inbox when this manager leads.
pub(super) async fn watch_status(log: Arc<Log>, inbox: Arc<Inbox>) {
    let mut status = log.status();
    loop {
        let leads = {
            let now = status.borrow_and_update();
            (now.leader && matches!(now.health, Health::Ok)).then_some(now.term)
        };
        inbox.leads(leads);
        if status.changed().await.is_err() {
            return inbox.leads(None);
        }
    }
}

/// Pauses the inbox while the disk is nearly full.
pub(super) async fn watch_space(log: Arc<Log>, inbox: Arc<Inbox>) {
    loop {
        let space = log.space();
        if (space.free_bytes as f64) < space.total_bytes as f64 * FREE_SHARE_MIN {
            let mib = space.free_bytes >> 20;
            inbox.pause(Pause::DiskFull(format!(
                "the state folder's disk is nearly full: {mib} MiB are free"
            )));
        } else {
            inbox.resume();
        }
        tokio::time::sleep(SPACE_PERIOD).await;
    }
}

pub(super) fn spawn(log: Arc<Log>, shared: Arc<Shared>, identity: Identity) -> JoinHandle<()> {
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(conclude(receiver, shared.clone()));
    let leader = Leader { log, shared, identity, proposals: sender, reign: None, more: false, wake_at: None };
    thread::Builder::new()
        .name("turn".into())
        .spawn(move || leader.run())
        .expect("the system has room for the turn's thread")
}

/// Awaits proposals in their order; at most the in-flight bound are here at once.
async fn conclude(mut proposals: mpsc::UnboundedReceiver<Proposal>, shared: Arc<Shared>) {
    while let Some(proposal) = proposals.recv().await {
        let failure = proposal.await.err().map(|error| error.to_string());
        if let Some(why) = &failure {
            tracing::warn!(error = %why, "an entry was not committed");
            shared.counters().proposal_failed();
        }
        shared.inbox().concluded(failure);
    }
}

struct Leader {
    log: Arc<Log>,
    shared: Arc<Shared>,
    identity: Identity,
    proposals: mpsc::UnboundedSender<Proposal>,
    reign: Option<Reign>,
    more: bool,
    wake_at: Option<Timestamp>,
}

/// What a tenure has: a tip and a clock.
struct Reign {
    tip: Tip,
    clock: Clock,
    begun: Instant,
}

impl Leader {
    fn run(mut self) {
        loop {
            let wake_in = self.wake_in();
            match self.shared.inbox().wait(self.more, wake_in) {
                Step::Turn(asks) => self.turn(asks),
                Step::Lead(term) => self.lead(term),
                Step::Reset => {
                    self.reign = None;
                    self.shared
                        .give_up("the log failed while the entry was written; ask again with the same id");
                }
                Step::Stop => return self.shared.give_up("the manager is stopping"),
            }
        }
    }

    fn wake_in(&mut self) -> Option<Duration> {
        let at = self.wake_at?;
        let now = self.now();
        Some(Duration::from_nanos(at.since(now)))
    }

    fn now(&mut self) -> Timestamp {
        let wall = wall();
        self.reign.as_mut().map_or(wall, |reign| {
            let elapsed = u64::try_from(reign.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
            reign.clock.now(elapsed, wall)
        })
    }

    /// A tenure begins on the committed view, with what only the leader can say.
    fn lead(&mut self, term: u64) {
        let (view, head) = self.shared.committed();
        let (clock, jump) = Clock::begin(view.at(), wall());
        let mut facts = Vec::new();
        if let Some(incarnation) = self.log.begun_incarnation() {
            let message = "the log was cut by `skep recover --accept-loss`".into();
            facts.push(Kind::IncarnationBegun(IncarnationBegun { incarnation, message }));
        }
        if view.cluster().id.is_none() {
            let cluster_id = Id(u128::from_be_bytes(entropy::<16>())).to_bytes();
            let spec = Some(self.identity.genesis.clone());
            facts.push(Kind::ClusterCreated(Box::new(ClusterCreated { cluster_id, spec })));
        }
        let code_version = self.identity.code_version.clone();
        facts.push(Kind::TenureBegun(TenureBegun { term, code_version }));
        if let Some(by_ns) = jump {
            facts.push(Kind::ClockJumped(ClockJumped { by_ns }));
        }
        tracing::info!(term, revision = view.position().revision.0, "leading");
        let tip = Tip::new(view, head, Brain::new(), &self.identity.code_version);
        self.reign = Some(Reign { tip, clock, begun: Instant::now() });
        let author = author::manager(self.identity.node);
        let asks = facts.into_iter().map(|kind| {
            let request = Request::Machine(Machine::Fact(kind));
            (Ask { token: 0, author: author.clone(), request, bytes: 0 }, Reply::Nobody)
        });
        self.turn(asks.collect());
    }

    fn turn(&mut self, asks: Vec<(Ask, Reply)>) {
        let now = self.now();
        let Some(reign) = self.reign.as_mut() else { return self.shared.inbox().put_back(asks) };
        let span = tracing::debug_span!("turn", asks = asks.len(), records = tracing::field::Empty).entered();
        let started = Instant::now();
        let mut replies = Vec::with_capacity(asks.len());
        let asks = asks.into_iter().enumerate().map(|(place, (mut ask, reply))| {
            ask.token = place as u64;
            replies.push(Some(reply));
            ask
        });
        let turned = reign.tip.turn(asks.collect(), now, entropy());
        span.record("records", turned.records);
        self.more = turned.more;
        self.wake_at = turned.wake_at;
        self.shared.counters().turn(turned.records, started.elapsed());
        self.shared.counters().answered(&turned.answers);
        self.propose(turned, replies);
    }

    fn propose(&mut self, turned: Turned, mut replies: Vec<Option<Reply>>) {
        let mut reply_of = |token: u64| {
            let reply = usize::try_from(token).ok().and_then(|place| replies.get_mut(place)?.take());
            reply.unwrap_or(Reply::Nobody)
        };
        let answers = turned.answers.into_iter().map(|(token, answer)| (reply_of(token), answer)).collect();
        let rest = turned.rest.into_iter().map(|ask| {
            let reply = reply_of(ask.token);
            (ask, reply)
        });
        self.shared.inbox().put_back(rest.collect());
        match turned.entry {
            None => self.shared.answer_after_pending(answers),
            Some(entry) => {
                let pending =
                    Pending { hash: entry.hash, view: turned.view, delta: Arc::new(turned.delta), answers };
                self.shared.await_commit(pending);
                self.shared.inbox().proposed();
                // The receiver lives as long as this thread's runtime.
                drop(self.proposals.send(self.log.propose(entry)));
            }
        }
    }
}

fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// The system's entropy; without it nothing can be decided.
fn entropy<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system gives entropy");
    bytes
}
