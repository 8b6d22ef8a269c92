//! The agent's side of the session protocol: when to dial, how to greet, when to beat, what ends
//! it. PURE.
//!
//! ```text
//!   resting ──(delay, described)──► dialing ──► greeting ──Welcome──► open ──beats, reports──►
//!      ▲                               │            │                  │
//!      └──────── delay, another ───────┴────────────┴── broken ────────┘      Turned for good: halted
//! ```
//! A link that fails is tried at another manager after the shortest delay. The delay grows when a
//! whole round of managers has failed, or where another manager would do no better.
//!
//! An agent that has no certificate asks for one in place of its greeting, and dials again with it
//! at once. Each connection has a number, so that late messages of an old one are not taken for
//! the new one's.

use super::{
    candidates::{Candidates, FirstEndpoint, KnownAddress, ManagerCandidate, RoundPart},
    halt::AgentHalt,
    jitter::Jitter,
};
use skep_proto::{
    Id, Lineage, Position, Timestamp,
    time::SECOND_NS,
    v1::{
        Certified, ClusterManagers, Condition, FromAgent, Heartbeat, Hello, Join, NodeDescription,
        NodeSpec, Turned, TurnedCode, Welcome, from_agent,
    },
};
use std::fmt;

/// Wait before the first try again, and before each try at another manager of the same round.
pub const REDIAL_DELAY_NS_MIN: u64 = SECOND_NS / 10;
/// Wait between rounds at most; it doubles until there.
pub const REDIAL_DELAY_NS_MAX: u64 = 8 * SECOND_NS;
/// A manager that has not welcomed us after this time is left.
pub const WELCOME_LIMIT_NS: u64 = 10 * SECOND_NS;
/// Between beats at least, whatever a manager says: more would be noise.
const BEAT_PERIOD_NS_MIN: u64 = SECOND_NS / 20;

/// Who this agent is, to the cluster.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct NodeIdentity {
    /// The node; none before it has joined.
    pub node_id: Id,
    /// The cluster that it belongs to; none before the node has joined.
    pub cluster_id: Id,
    /// What a certificate is asked for with; none where there is one.
    pub joining: Option<JoinCredentials>,
    /// Of a manager's own agent: what it asks with once more where the manager's history does not
    /// know it, or knows another key. Its manager vouches for it whatever its key.
    pub rejoining: Option<JoinCredentials>,
    /// Of this run of the agent: any number that another run will not have.
    pub process: u64,
    /// Labels and availability asked for at the very first join.
    pub spec: NodeSpec,
    /// Of this program.
    pub version: String,
}

/// What a certificate is asked for with.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct JoinCredentials {
    /// The request for this node's key, DER.
    pub request: bytes::Bytes,
    /// The join token; empty where the manager is on this machine.
    pub token: String,
    /// The secret of an agent that joined before there were certificates; else empty.
    pub earlier_secret: bytes::Bytes,
}

impl fmt::Debug for JoinCredentials {
    /// Token and secret are not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinCredentials").finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum LinkStage {
    Resting { until: Timestamp },
    Dialing { give_up: Timestamp },
    Greeting { give_up: Timestamp },
    Open { period_ns: u64, beat: u64, next: Timestamp },
    Halted,
}

/// Whom to dial after a link has failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NextDial {
    /// Another manager may do better.
    Another,
    /// This manager is well, and another one would say the same.
    Same,
}

/// What the link wants done.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum LinkCall {
    Dial { line: u64, candidate: ManagerCandidate },
    Send(Box<FromAgent>),
    HangUp { line: u64, message: String },
}

/// What a welcome meant.
pub(crate) enum WelcomeOutcome {
    /// The session is open, and this is the node's id from now on.
    As(Id, Id),
    /// Not by the one we belong to.
    Elsewhere(AgentHalt),
    /// Nobody had been greeted.
    Unasked,
}

/// The link to some manager.
#[derive(Debug)]
pub(crate) struct ManagerLink {
    pub(super) identity: NodeIdentity,
    description: Option<NodeDescription>,
    stage: LinkStage,
    line: u64,
    candidates: Candidates,
    attempts: u32,
    jitter: Jitter,
    calls: std::collections::VecDeque<LinkCall>,
}

impl ManagerLink {
    pub(crate) fn new(identity: NodeIdentity, seed: u64) -> ManagerLink {
        ManagerLink {
            identity,
            description: None,
            stage: LinkStage::Resting { until: Timestamp::NEVER },
            line: 0,
            candidates: Candidates::first_alone(FirstEndpoint::default(), Vec::new()),
            attempts: 0,
            jitter: Jitter::new(seed),
            calls: std::collections::VecDeque::new(),
        }
    }

    /// Before anything is dialed: where managers are found. A node that has not joined knows only
    /// the first endpoint.
    pub(crate) fn follow(&mut self, first: FirstEndpoint, known: Vec<KnownAddress>) {
        self.candidates = Candidates::first_alone(first, known);
        if self.identity.joining.is_none() {
            self.candidates.begin(self.identity.node_id, &mut self.jitter);
        }
    }

    /// Those that may be dialed, the first endpoint at the head.
    pub(crate) fn candidates(&self) -> Vec<ManagerCandidate> {
        self.candidates.all(self.identity.node_id)
    }

    /// Whose session is open.
    pub(crate) fn attached_to(&self) -> Option<&ManagerCandidate> {
        self.is_open().then(|| self.candidates.current())
    }

    /// The cluster says which managers there are; returns those that are known now.
    pub(crate) fn on_managers(&mut self, told: &ClusterManagers) -> Vec<KnownAddress> {
        let known = KnownAddress::all_of(&told.managers);
        self.candidates.replace(known, self.identity.node_id, &mut self.jitter);
        self.candidates.known().to_vec()
    }

    pub(crate) fn poll(&mut self) -> Option<LinkCall> {
        self.calls.pop_front()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        match self.stage {
            LinkStage::Resting { until } => self.description.is_some().then_some(until),
            LinkStage::Dialing { give_up } | LinkStage::Greeting { give_up } => Some(give_up),
            LinkStage::Open { next, .. } => Some(next),
            LinkStage::Halted => None,
        }
    }

    /// Whether this connection is the one that counts.
    pub(crate) fn is_current(&self, line: u64) -> bool {
        self.line == line && !matches!(self.stage, LinkStage::Resting { .. } | LinkStage::Halted)
    }

    pub(crate) fn is_halted(&self) -> bool {
        self.stage == LinkStage::Halted
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.stage, LinkStage::Open { .. })
    }

    /// The node as it is now. If it differs from what was reported, a new session begins; says
    /// whether an old one ended.
    pub(crate) fn on_described(&mut self, description: NodeDescription, now: Timestamp) -> bool {
        if self.description.as_ref() == Some(&description) {
            return false;
        }
        self.description = Some(description);
        let had = self.is_open();
        match self.stage {
            LinkStage::Greeting { .. } | LinkStage::Open { .. } => {
                self.hang_up("this node's description changed", NextDial::Same, now)
            }
            LinkStage::Resting { .. } | LinkStage::Dialing { .. } | LinkStage::Halted => {
                self.on_time(now)
            }
        }
        had
    }

    /// Whether anything is known of what this node is.
    pub(crate) fn is_described(&self) -> bool {
        self.description.is_some()
    }

    /// Whether a connection that stands now would be greeted over.
    pub(crate) fn awaits_connection(&self) -> bool {
        matches!(self.stage, LinkStage::Dialing { .. })
    }

    /// The connection stands: the manager is greeted with what it must know first.
    pub(crate) fn on_connected(
        &mut self,
        (position, lineage): (Position, Lineage),
        conditions: Vec<Condition>,
        now: Timestamp,
    ) {
        self.stage = LinkStage::Greeting { give_up: now + WELCOME_LIMIT_NS };
        let identity = &self.identity;
        if let Some(credentials) = &identity.joining {
            let JoinCredentials { request, token, earlier_secret } = credentials.clone();
            return self.send(from_agent::Message::Join(Join {
                request,
                token,
                description: self.description.clone(),
                spec: Some(identity.spec.clone()),
                node_id: identity.node_id.to_bytes(),
                earlier_secret,
            }));
        }
        self.send(from_agent::Message::Hello(Hello {
            process: identity.process,
            description: self.description.clone(),
            spec: Some(identity.spec.clone()),
            incarnation: position.incarnation,
            revision: position.revision.0,
            version: identity.version.clone(),
            conditions,
            lineage: lineage.0,
        }));
    }

    pub(crate) fn on_welcome(&mut self, welcome: &Welcome, now: Timestamp) -> WelcomeOutcome {
        if !matches!(self.stage, LinkStage::Greeting { .. }) || self.identity.joining.is_some() {
            return WelcomeOutcome::Unasked;
        }
        let named = (Id::from_bytes(&welcome.node_id), Id::from_bytes(&welcome.cluster_id));
        let (node, cluster) = match self.named(named) {
            Ok(named) => named,
            Err(halt) => return WelcomeOutcome::Elsewhere(halt),
        };
        let period_ns = welcome.heartbeat_period_ns.max(BEAT_PERIOD_NS_MIN);
        self.stage = LinkStage::Open { period_ns, beat: 0, next: now + period_ns };
        WelcomeOutcome::As(node, cluster)
    }

    /// The cluster has given this node a certificate: it dials again with it.
    pub(crate) fn on_certified(&mut self, certified: &Certified, now: Timestamp) -> WelcomeOutcome {
        if !matches!(self.stage, LinkStage::Greeting { .. }) || self.identity.joining.is_none() {
            return WelcomeOutcome::Unasked;
        }
        let named = (Id::from_bytes(&certified.node_id), Id::from_bytes(&certified.cluster_id));
        let named = match self.named(named) {
            Ok(named) => named,
            Err(halt) => return WelcomeOutcome::Elsewhere(halt),
        };
        self.identity.joining = None;
        self.stage = LinkStage::Resting { until: now };
        self.on_time(now);
        WelcomeOutcome::As(named.0, named.1)
    }

    /// The cluster's names for this node and for itself, which never change.
    fn named(&mut self, (node, cluster): (Id, Id)) -> Result<(Id, Id), AgentHalt> {
        let ours = |known: Id, said: Id| known.is_none() || known == said;
        if node.is_none()
            || !ours(self.identity.node_id, node)
            || !ours(self.identity.cluster_id, cluster)
        {
            let halt = AgentHalt::Elsewhere { node, cluster };
            self.halt(&halt.to_string());
            return Err(halt);
        }
        (self.identity.node_id, self.identity.cluster_id) = (node, cluster);
        Ok((node, cluster))
    }

    /// What answers is not a manager that this node believes. Before the node has joined, somebody
    /// must look at it; later another manager may answer there.
    pub(crate) fn on_untrusted(&mut self, message: String, now: Timestamp) -> Option<AgentHalt> {
        if self.identity.joining.is_some() && self.identity.cluster_id.is_none() {
            let halt = AgentHalt::Untrusted { message };
            self.halt(&halt.to_string());
            return Some(halt);
        }
        self.on_broken(now);
        None
    }

    /// The cluster's heartbeat period is another one.
    pub(crate) fn on_period(&mut self, period_ns: u64, now: Timestamp) {
        if let LinkStage::Open { beat, next, .. } = self.stage {
            let period_ns = period_ns.max(BEAT_PERIOD_NS_MIN);
            self.stage = LinkStage::Open { period_ns, beat, next: next.min(now + period_ns) };
        }
    }

    /// The manager ends the session. Some of its reasons end the agent.
    ///
    /// Only our own cluster can remove this node. A manager whose session is open has shown that it
    /// belongs to it; one that refuses the session must name the cluster. A wrong address must not
    /// cost anybody their containers.
    pub(crate) fn on_turned(&mut self, turned: &Turned, now: Timestamp) -> Option<AgentHalt> {
        let message = turned.message.clone();
        let (node, cluster) = (self.identity.node_id, Id::from_bytes(&turned.cluster_id));
        let is_ours = self.is_open() || cluster == self.identity.cluster_id;
        let halt = match turned.code() {
            TurnedCode::Claimed => {
                self.hang_up(&claimed(node, &message), NextDial::Same, now);
                return None;
            }
            TurnedCode::Superseded => {
                self.hang_up(&message, NextDial::Same, now);
                return None;
            }
            TurnedCode::WrongKey | TurnedCode::OtherHistory
                if self.identity.rejoining.is_some() =>
            {
                self.identity.joining = self.identity.rejoining.take();
                self.hang_up(&message, NextDial::Another, now);
                return None;
            }
            TurnedCode::Retry | TurnedCode::Stopping | TurnedCode::OtherHistory => {
                self.hang_up(&message, NextDial::Another, now);
                return None;
            }
            TurnedCode::WrongKey => AgentHalt::WrongKey { message },
            TurnedCode::WrongToken => AgentHalt::WrongToken { message },
            TurnedCode::NodeRemoved if is_ours => AgentHalt::NodeRemoved { message },
            TurnedCode::NodeRemoved => AgentHalt::Elsewhere { node, cluster },
        };
        self.halt(&halt.to_string());
        Some(halt)
    }

    /// The connection is gone, or never came to be.
    pub(crate) fn on_broken(&mut self, now: Timestamp) {
        self.rest(NextDial::Another, now);
    }

    /// Ends the connection from this side; another one is tried after a while.
    pub(crate) fn hang_up(&mut self, message: &str, next: NextDial, now: Timestamp) {
        self.calls.push_back(LinkCall::HangUp { line: self.line, message: message.to_owned() });
        self.rest(next, now);
    }

    fn rest(&mut self, next: NextDial, now: Timestamp) {
        if self.stage == LinkStage::Halted {
            return;
        }
        let part = match next {
            NextDial::Same => RoundPart::Over,
            // Only the first endpoint lets this node in.
            NextDial::Another if self.identity.joining.is_some() => {
                self.candidates.return_to_first();
                RoundPart::Over
            }
            NextDial::Another => self.candidates.on_failed(self.identity.node_id, &mut self.jitter),
        };
        let delay = match part {
            RoundPart::Midway => self.jitter.at_least_half(REDIAL_DELAY_NS_MIN),
            RoundPart::Over => self.longer_delay_ns(),
        };
        self.stage = LinkStage::Resting { until: now + delay };
    }

    /// The node leaves its cluster.
    pub(crate) fn leave(&mut self) -> AgentHalt {
        let halt = AgentHalt::Left;
        if self.stage != LinkStage::Halted {
            self.halt(&halt.to_string());
        }
        halt
    }

    fn halt(&mut self, message: &str) {
        self.calls.push_back(LinkCall::HangUp { line: self.line, message: message.to_owned() });
        self.stage = LinkStage::Halted;
    }

    pub(crate) fn on_time(&mut self, now: Timestamp) {
        match self.stage {
            LinkStage::Resting { until } if until <= now && self.description.is_some() => {
                self.line += 1;
                self.stage = LinkStage::Dialing { give_up: now + WELCOME_LIMIT_NS };
                let candidate = self.candidates.current().clone();
                self.calls.push_back(LinkCall::Dial { line: self.line, candidate });
            }
            LinkStage::Dialing { give_up } | LinkStage::Greeting { give_up } if give_up <= now => {
                self.hang_up("the manager does not answer", NextDial::Another, now);
            }
            LinkStage::Open { period_ns, beat, next } if next <= now => {
                // A welcome alone proves nothing: a manager may end each session that it opens.
                if beat == 0 {
                    self.attempts = 0;
                    self.candidates.on_worked(self.identity.node_id, &mut self.jitter);
                }
                self.stage = LinkStage::Open { period_ns, beat: beat + 1, next: now + period_ns };
                self.send(from_agent::Message::Heartbeat(Heartbeat { beat: beat + 1 }));
            }
            LinkStage::Resting { .. }
            | LinkStage::Dialing { .. }
            | LinkStage::Greeting { .. }
            | LinkStage::Open { .. }
            | LinkStage::Halted => {}
        }
    }

    pub(crate) fn send(&mut self, message: from_agent::Message) {
        self.calls.push_back(LinkCall::Send(Box::new(FromAgent { message: Some(message) })));
    }

    /// Doubled each time, and between half and all of that, so that a thousand agents do not come
    /// back as one.
    fn longer_delay_ns(&mut self) -> u64 {
        let whole = (REDIAL_DELAY_NS_MIN << self.attempts.min(16)).min(REDIAL_DELAY_NS_MAX);
        self.attempts += 1;
        self.jitter.at_least_half(whole)
    }
}

/// What to do where another process is this node too: its folder `agent` is a copy.
fn claimed(node: Id, message: &str) -> String {
    format!(
        "{message} (node {node}): the folder `agent` of one of the two was copied; stop that \
         process, or start this one with another --state-dir to join as a new node"
    )
}

#[cfg(test)]
mod tests;
