//! The agent's side of the session protocol: when to dial, how to greet, when to beat, what ends
//! it. PURE.
//!
//! ```text
//!   resting ──(delay, described)──► dialing ──► greeting ──Welcome──► open ──beats, reports──►
//!      ▲                               │            │                  │
//!      └───────── longer delay ────────┴────────────┴── broken ────────┘      Turned for good: halted
//! ```
//! An agent that has no certificate asks for one in place of its greeting, and dials again with it
//! at once. Each connection has a number, so that late messages of an old one are not taken for
//! the new one's.

use super::halt::AgentHalt;
use skep_proto::{
    Id, Lineage, Position, Timestamp,
    time::SECOND_NS,
    v1::{
        Certified, Condition, FromAgent, Heartbeat, Hello, Join, NodeDescription, NodeSpec, Turned,
        TurnedCode, Welcome, from_agent,
    },
};
use std::fmt;

/// Wait before the first try again.
pub const REDIAL_DELAY_NS_MIN: u64 = SECOND_NS / 10;
/// Wait between tries at most; it doubles until there.
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

/// What the link wants done.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum LinkCall {
    Dial { line: u64 },
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
    attempts: u32,
    dice: u64,
    calls: std::collections::VecDeque<LinkCall>,
}

impl ManagerLink {
    pub(crate) fn new(identity: NodeIdentity, seed: u64) -> ManagerLink {
        ManagerLink {
            identity,
            description: None,
            stage: LinkStage::Resting { until: Timestamp::NEVER },
            line: 0,
            attempts: 0,
            dice: seed,
            calls: std::collections::VecDeque::new(),
        }
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
                self.hang_up("this node's description changed", now)
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
                self.hang_up(&claimed(node, &message), now);
                return None;
            }
            TurnedCode::WrongKey | TurnedCode::OtherHistory
                if self.identity.rejoining.is_some() =>
            {
                self.identity.joining = self.identity.rejoining.take();
                self.hang_up(&message, now);
                return None;
            }
            TurnedCode::Retry
            | TurnedCode::Superseded
            | TurnedCode::Stopping
            | TurnedCode::OtherHistory => {
                self.hang_up(&message, now);
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
        if self.stage != LinkStage::Halted {
            let delay = self.delay_ns();
            self.attempts += 1;
            self.stage = LinkStage::Resting { until: now + delay };
        }
    }

    /// Ends the connection from this side; another one is tried after a while.
    pub(crate) fn hang_up(&mut self, message: &str, now: Timestamp) {
        self.calls.push_back(LinkCall::HangUp { line: self.line, message: message.to_owned() });
        self.on_broken(now);
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
                self.calls.push_back(LinkCall::Dial { line: self.line });
            }
            LinkStage::Dialing { give_up } | LinkStage::Greeting { give_up } if give_up <= now => {
                self.hang_up("the manager does not answer", now);
            }
            LinkStage::Open { period_ns, beat, next } if next <= now => {
                self.attempts = 0;
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

    /// Doubled with each failure, and between half and all of that, so that a thousand agents do
    /// not come back as one.
    fn delay_ns(&mut self) -> u64 {
        let whole = (REDIAL_DELAY_NS_MIN << self.attempts.min(16)).min(REDIAL_DELAY_NS_MAX);
        whole / 2 + self.roll() % (whole / 2)
    }

    /// The next of a series of numbers that the seed decides (splitmix64).
    fn roll(&mut self) -> u64 {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.dice;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
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
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_copy_of_a_node_says_which_node_and_what_to_do() {
        let identity = NodeIdentity { node_id: Id(7), ..NodeIdentity::default() };
        let mut link = ManagerLink::new(identity, 7);
        link.on_described(NodeDescription::default(), Timestamp(1));
        link.poll();
        link.on_connected(Default::default(), Vec::new(), Timestamp(2));
        link.poll();
        let message = "another agent process holds this node's session".to_owned();
        let code = TurnedCode::Claimed.into();
        assert_eq!(
            link.on_turned(&Turned { code, message, ..Turned::default() }, Timestamp(3)),
            None
        );
        let expected = format!(
            "another agent process holds this node's session (node {}): the folder `agent` of one of \
             the two was copied; stop that process, or start this one with another --state-dir to \
             join as a new node",
            Id(7)
        );
        assert_eq!(link.poll(), Some(LinkCall::HangUp { line: 1, message: expected }));
    }

    #[test]
    fn only_the_newest_stream_counts_and_only_while_it_may_stand() {
        let mut link = ManagerLink::new(NodeIdentity::default(), 7);
        assert!(!link.is_current(0), "nothing was dialed");
        link.on_described(NodeDescription::default(), Timestamp(1));
        assert_eq!(link.poll(), Some(LinkCall::Dial { line: 1 }));
        assert!(link.is_current(1));
        assert!(!link.is_current(0) && !link.is_current(2));
        link.on_broken(Timestamp(2));
        assert!(!link.is_current(1), "it broke");
        link.on_time(Timestamp(2) + REDIAL_DELAY_NS_MAX);
        assert_eq!(link.poll(), Some(LinkCall::Dial { line: 2 }));
        assert!(link.is_current(2) && !link.is_current(1));
        link.halt("removed");
        assert!(!link.is_current(2), "there is no other after this");
    }

    #[test]
    fn each_stage_has_its_time_and_a_beat_makes_the_next_wait_short_again() {
        let mut link = ManagerLink::new(NodeIdentity::default(), 7);
        assert_eq!(link.poll_timeout(), None, "nobody has said what this node is");
        link.on_described(NodeDescription::default(), Timestamp(1));
        let mut waits = Vec::new();
        let mut now = Timestamp(1);
        for _ in 0..6 {
            link.on_broken(now);
            let until = link.poll_timeout().expect("it dials again");
            waits.push(until.since(now));
            now = until;
            link.on_time(now);
        }
        assert_eq!(link.poll_timeout(), Some(now + WELCOME_LIMIT_NS));
        assert!(waits[5] > 8 * REDIAL_DELAY_NS_MIN, "they grow: {waits:?}");
        let halves = (0..).map(|doublings| (REDIAL_DELAY_NS_MIN / 2) << doublings);
        let by_chance: BTreeSet<u64> =
            waits.iter().zip(halves).map(|(wait, half)| wait - half).collect();
        assert_eq!(by_chance.len(), 6, "each wait is half of its limit and a part by chance");
        link.on_connected(Default::default(), Vec::new(), now);
        assert_eq!(link.poll_timeout(), Some(now + WELCOME_LIMIT_NS));
        let period_ns = 2 * BEAT_PERIOD_NS_MIN;
        let welcome = Welcome {
            node_id: Id(7).to_bytes(),
            heartbeat_period_ns: period_ns,
            ..Welcome::default()
        };
        link.on_welcome(&welcome, now);
        while link.poll().is_some() {}
        for beat in 1..3 {
            now = now + period_ns;
            assert_eq!(link.poll_timeout(), Some(now));
            link.on_time(now);
            let sent = from_agent::Message::Heartbeat(Heartbeat { beat });
            let sent = FromAgent { message: Some(sent) };
            assert_eq!(link.poll(), Some(LinkCall::Send(Box::new(sent))));
        }
        link.on_broken(now);
        let until = link.poll_timeout().expect("it dials again");
        assert!(until.since(now) <= REDIAL_DELAY_NS_MIN);
        link.on_time(until);
        link.on_time(until + WELCOME_LIMIT_NS);
        assert!(!link.is_current(7), "nobody answered");
        assert!(matches!(link.stage, LinkStage::Resting { .. }));
    }
}
