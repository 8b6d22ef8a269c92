//! One node: the agent's real core over a modelled engine, and a journal that may lose its tail.

use super::{dice::Dice, engine::SimulatedEngine};
use skep_agent::core::{
    AgentOutput, Core, Input,
    candidates::{FirstEndpoint, KnownAddress},
    link::{JoinCredentials, NodeIdentity},
    memory::{Memory, Note},
};
use skep_gateway::sessions::{Conn, NodeOfPeer};
use skep_proto::{
    Id, Timestamp,
    time::SECOND_NS,
    v1::{Feature, NodeDescription, Platform, Resources, RuntimeKind, TaskState},
};

/// CPUs of a node, at most.
pub const NODE_CPUS: i64 = 4;
/// The furthest that a node's clock is from the true time.
const CLOCK_ERROR_NS_MAX: u64 = 3_600 * SECOND_NS;

/// One node.
pub struct SimulatedAgent {
    /// The core; none while the process is down.
    pub core: Option<Core>,
    /// Its containers.
    pub engine: SimulatedEngine,
    /// The stream that its core believes in.
    pub conn: Option<Conn>,
    /// Which run of the process this is: answers to an earlier one reach nobody.
    pub process: u64,
    /// Whether the core ended by itself, because the cluster does not want this node.
    pub halted: bool,
    /// Whether somebody is taking it out of the cluster.
    pub leaves: bool,
    /// Whether it has begun to leave, and is the same node still: where its process died before it
    /// had left, it goes on with what it had begun to stop.
    pub has_dropped: bool,
    /// What the core did not know any more after its newest start, although its journal was whole.
    pub forgot: Option<String>,
    /// When the core next wants to know the time.
    pub timer: Option<Timestamp>,
    identity: NodeIdentity,
    /// The hash of its key.
    key: [u8; 32],
    journal: Vec<Vec<Note>>,
    /// The managers of which the cluster has told.
    known: Vec<KnownAddress>,
    /// What the core knew when it crashed with a whole journal: each task with its state and what
    /// was desired of it.
    knew: Vec<(Id, TaskState, TaskState)>,
    name: String,
    clock_ahead_ns: u64,
    /// CPUs that the machine has now.
    cpus: i64,
}

impl SimulatedAgent {
    /// A node that was never in any cluster.
    pub fn new(index: usize, dice: &mut Dice) -> SimulatedAgent {
        let key = dice.bytes();
        SimulatedAgent {
            core: None,
            engine: SimulatedEngine::default(),
            conn: None,
            process: 0,
            halted: false,
            leaves: false,
            has_dropped: false,
            forgot: None,
            timer: None,
            identity: fresh(key),
            key,
            journal: Vec::new(),
            known: Vec::new(),
            knew: Vec::new(),
            name: format!("node{index}"),
            clock_ahead_ns: CLOCK_ERROR_NS_MAX,
            cpus: NODE_CPUS,
        }
    }

    /// Its host name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id that the cluster gave it.
    pub fn node(&self) -> Id {
        self.identity.node_id
    }

    /// What its certificate says, if it has one.
    pub fn certificate(&self) -> Option<NodeOfPeer> {
        let node = self.identity.node_id;
        self.identity.joining.is_none().then_some(NodeOfPeer {
            node,
            key_hash: self.key,
            address: None,
        })
    }

    /// The time by the clock of this process: that of the machine when it began, and monotonic from
    /// there.
    pub fn clock(&self, now: Timestamp) -> Timestamp {
        now + self.clock_ahead_ns
    }

    /// The true time of a time by this process's clock.
    pub fn true_time(&self, at: Timestamp) -> Timestamp {
        Timestamp(at.0.saturating_sub(self.clock_ahead_ns))
    }

    /// The process starts, on what the journal kept.
    pub fn start(&mut self, dice: &mut Dice, now: Timestamp) {
        let mut memory = Memory::default();
        self.journal.iter().flatten().for_each(|note| memory.apply(note));
        self.process += 1;
        (self.halted, self.leaves) = (false, false);
        self.timer = None;
        // Somebody may have set the machine's clock meanwhile, in either direction.
        self.clock_ahead_ns = dice.below(2 * CLOCK_ERROR_NS_MAX);
        // Somebody may have taken some of the machine away, or given it back.
        self.cpus =
            if dice.once_in(4) { 1 + dice.below(NODE_CPUS as u64) as i64 } else { self.cpus };
        self.identity.process = dice.roll();
        let mut core = Core::new(self.identity.clone(), memory, dice.roll())
            .following(FirstEndpoint::default(), self.known.clone());
        core.handle(Input::Described(Box::new(self.description())), self.clock(now));
        let knows: Vec<_> = core.tasks().collect();
        let knew = std::mem::take(&mut self.knew);
        let lost = knew.into_iter().find(|task| !knows.contains(task));
        self.forgot = lost.map(|(task, state, desired)| {
            format!("that {task} is {state:?} and wanted {desired:?}")
        });
        self.core = Some(core);
    }

    /// The process dies; the journal's tail may be lost. Containers go on.
    pub fn crash(&mut self, dice: &mut Dice) {
        // What is only being removed is found again on the engine.
        let known = self.core.take().into_iter().flat_map(|core| core.tasks().collect::<Vec<_>>());
        self.knew = known.filter(|(_, _, desired)| *desired != TaskState::Remove).collect();
        self.conn = None;
        self.process += 1;
        self.engine.forget_waiters();
        // The certificate may not be on the disk yet, or be damaged; the key is.
        if dice.once_in(12) {
            self.identity.joining = Some(joining(self.key));
        }
        let tail = dice.below(3).min(self.journal.len() as u64) as usize;
        // A journal that is damaged at its beginning is lost as a whole.
        let lost = if dice.once_in(12) { self.journal.len() } else { tail };
        // What it was about to drop it need not remember.
        if lost > 0 || self.has_dropped {
            self.knew.clear();
        }
        self.journal.truncate(self.journal.len() - lost);
    }

    /// Somebody empties the state folder of a node that was removed, so that it can join again.
    pub fn wipe(&mut self, dice: &mut Dice) {
        self.key = dice.bytes();
        self.identity = fresh(self.key);
        self.has_dropped = false;
        self.journal.clear();
        self.known.clear();
        self.knew.clear();
    }

    /// What the core wants written is written.
    pub fn keep(&mut self, output: &AgentOutput) {
        match output {
            AgentOutput::Certified(certified) => {
                self.identity.node_id = Id::from_bytes(&certified.node_id);
                self.identity.cluster_id = Id::from_bytes(&certified.cluster_id);
                self.identity.joining = None;
            }
            AgentOutput::Write(notes) => self.journal.push(notes.clone()),
            AgentOutput::Managers { known, .. } => self.known.clone_from(known),
            AgentOutput::Warn(_)
            | AgentOutput::Act(_)
            | AgentOutput::Joined { .. }
            | AgentOutput::Dial { .. }
            | AgentOutput::Send(_)
            | AgentOutput::HangUp { .. }
            | AgentOutput::Logs(_)
            | AgentOutput::LogCancel { .. }
            | AgentOutput::Halt(_) => {}
        }
    }

    fn description(&self) -> NodeDescription {
        NodeDescription {
            hostname: self.name.clone(),
            platform: Some(Platform { architecture: "amd64".into(), os: "linux".into() }),
            resources: Some(Resources {
                nano_cpus: self.cpus * 1_000_000_000,
                memory_bytes: 8 << 30,
                generic: Vec::new(),
            }),
            features: vec![Feature::Images as i32, Feature::PublishHost as i32],
            runtime: RuntimeKind::Fake as i32,
            ..NodeDescription::default()
        }
    }
}

fn fresh(key: [u8; 32]) -> NodeIdentity {
    let joining = Some(joining(key));
    NodeIdentity { joining, version: "sim".into(), ..NodeIdentity::default() }
}

/// The hash of the key stands for the request.
fn joining(key: [u8; 32]) -> JoinCredentials {
    JoinCredentials { request: key.to_vec().into(), ..JoinCredentials::default() }
}
