//! What is decided once for a whole run: how the cluster is set up, and what goes wrong how often.
//!
//! Each seed draws its own mixture. Where everything goes wrong all the time, one fault covers up
//! what another one would have shown: a manager that crashes every ten seconds never waits for a
//! silent node, and an agent that restarts reports everything again.

use crate::simulator::dice::Dice;
use skep_proto::{time::SECOND_NS, v1::ClusterSpec};

/// What goes wrong, or who asks for something.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Trouble {
    /// The manager's process dies.
    Crash,
    /// The process goes on without its tenure.
    LostTenure,
    /// The log does not take what is proposed.
    FullLog,
    /// Somebody stops the manager, in an orderly way.
    Stop,
    /// An agent's process dies.
    CrashAgent,
    /// Somebody takes a node out of the cluster.
    LeaveCluster,
    /// A stream breaks.
    BreakStream,
    /// A stream loses what is sent.
    MuteStream,
    /// An engine is away, hangs, starts nothing or restarts.
    Engine,
    /// A program crashes, or somebody kills or removes its container.
    EndContainer,
    /// The manager's process stands still for a while, as a suspended machine does.
    StandStill,
    /// Somebody sets the manager's clock.
    SetClock,
    /// The manager's disk is nearly full, or has room again.
    FillDisk,
    /// An agent reports what is not its business.
    ForgeReport,
    /// A message comes once more, late.
    RepeatLate,
    /// A command is sent once more.
    RepeatCommand,
    /// Somebody has a message for an agent: they read the logs of its tasks.
    Order,
    /// Somebody asks for something.
    Ask,
    /// Many people ask at once.
    Crowd,
    /// Nothing goes wrong for a while.
    Lull,
}

/// How often each of them happens beside the others.
const USUAL: [(Trouble, u64); 20] = [
    (Trouble::Crash, 2),
    (Trouble::LostTenure, 2),
    (Trouble::FullLog, 1),
    (Trouble::Stop, 1),
    (Trouble::CrashAgent, 2),
    (Trouble::LeaveCluster, 1),
    (Trouble::BreakStream, 3),
    (Trouble::MuteStream, 2),
    (Trouble::Engine, 2),
    (Trouble::EndContainer, 4),
    (Trouble::StandStill, 1),
    (Trouble::SetClock, 1),
    (Trouble::FillDisk, 1),
    (Trouble::ForgeReport, 2),
    (Trouble::RepeatLate, 2),
    (Trouble::RepeatCommand, 2),
    (Trouble::Order, 2),
    (Trouble::Ask, 22),
    (Trouble::Crowd, 1),
    (Trouble::Lull, 2),
];

/// What is decided once for a whole run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Records of an entry at which a turn is cut.
    pub entry_records: usize,
    /// The cluster's settings.
    pub cluster: ClusterSpec,
    /// A sync takes so long at most.
    pub sync_ns_max: u64,
    /// After a turn the manager is busy for so long at most: what comes meanwhile is decided
    /// together.
    pub busy_ns_max: u64,
    /// Between two troubles at most.
    pub pause_ns_max: u64,
    /// One message in so many arrives twice.
    pub one_in_repeats: u64,
    /// How often each trouble happens beside the others.
    weights: Vec<(Trouble, u64)>,
}

impl Settings {
    /// Small entries cut turns as large services do; slow disks keep entries under way.
    pub fn draw(dice: &mut Dice) -> Settings {
        let heartbeat_period_ns = [None, Some(SECOND_NS)][dice.below(2) as usize];
        let task_history_limit = [None, None, Some(1), Some(0)][dice.below(4) as usize];
        let cluster =
            ClusterSpec { heartbeat_period_ns, task_history_limit, ..ClusterSpec::default() };
        Settings {
            entry_records: [4_096, 4_096, 40, 8, 3][dice.below(5) as usize],
            cluster,
            sync_ns_max: [SECOND_NS / 50, SECOND_NS / 5, SECOND_NS][dice.below(3) as usize],
            busy_ns_max: [0, SECOND_NS / 20, SECOND_NS / 2][dice.below(3) as usize],
            pause_ns_max: [SECOND_NS / 2, SECOND_NS, 4 * SECOND_NS][dice.below(3) as usize],
            one_in_repeats: [40, 40, 5][dice.below(3) as usize],
            weights: weights(dice),
        }
    }

    /// What happens next.
    pub fn next_trouble(&self, dice: &mut Dice) -> Trouble {
        let all: u64 = self.weights.iter().map(|(_, weight)| weight).sum();
        let mut left = dice.below(all);
        for (trouble, weight) in &self.weights {
            match left.checked_sub(*weight) {
                Some(rest) => left = rest,
                None => return *trouble,
            }
        }
        Trouble::Ask
    }
}

/// In a third of all runs everything goes wrong as usual; in the others some things never do, and
/// some more often.
fn weights(dice: &mut Dice) -> Vec<(Trouble, u64)> {
    let as_usual = dice.once_in(3);
    let mut drawn = |(trouble, usual): (Trouble, u64)| {
        let factor = [0, 0, 1, 1, 2, 4][dice.below(6) as usize];
        let asks = trouble == Trouble::Ask;
        (trouble, if as_usual || asks { usual } else { usual * factor })
    };
    USUAL.into_iter().map(&mut drawn).collect()
}
