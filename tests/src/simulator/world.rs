//! Everything there is, and what happens next.
//!
//! One step is one event of the agenda and all that follows from it at once. Time is the true time,
//! in nanoseconds since the world began to be simulated; the clocks on the manager's and the
//! agents' walls are derived from it.

mod agents;
mod calm;
pub mod event;
mod faults;
pub mod happening;
mod leader;
mod requests;
pub mod settings;

use super::{
    Report, SimulationPlan, agent::SimulatedAgent, dice::Dice, disk::Disk, engine::Weather,
    manager::ManagerProcess, net::Net, people::People,
};
use event::{Agenda, SimulatedEvent};
use faults::Interruption;
use happening::Occurrence;
use settings::Settings;
use skep_proto::{Timestamp, time::SECOND_NS};

/// Steps shown with a violation.
const STEPS_SHOWN: usize = 200;
/// Records shown with a violation.
const RECORDS_SHOWN: usize = 80;
/// The beginning of the simulated time.
pub const EPOCH: Timestamp = Timestamp(1_000_000 * SECOND_NS);

/// The true time, and what the manager's wall clock says.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// The true time: a stopwatch.
    pub now: Timestamp,
    /// The manager's wall clock, which somebody may set.
    pub wall: Timestamp,
}

/// How often things went wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Mishaps {
    /// All that went wrong and all that somebody did.
    pub troubles: usize,
    /// Crashes of the manager.
    pub manager_crashes: usize,
    /// Crashes of agents.
    pub agent_crashes: usize,
    /// Tenures that ended although the process went on.
    pub lost_tenures: usize,
    /// Entries that were lost because they were not synced.
    pub entries_lost: usize,
    /// The most entries that were under way when something was lost.
    pub in_flight_max: usize,
}

/// Whether the log takes a proposal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogTakes {
    /// It does.
    Everything,
    /// It is full, and gives up what is proposed next.
    Nothing,
}

/// The whole world.
pub struct SimulatedWorld {
    pub(super) now: Timestamp,
    pub(super) dice: Dice,
    pub(super) settings: Settings,
    pub(super) disk: Disk,
    pub(super) manager: Option<ManagerProcess>,
    pub(super) agents: Vec<SimulatedAgent>,
    pub(super) net: Net,
    pub(super) people: People,
    pub(super) weather: Weather,
    pub(super) mishaps: Mishaps,
    /// When each agent was last heard by the manager over an open session.
    pub(super) heard: Vec<Timestamp>,
    /// When each agent last sent something, whether or not it arrived.
    pub(super) said: Vec<Timestamp>,
    /// When each agent last said Hello.
    pub(super) greeted: Vec<Timestamp>,
    pub(super) happenings: Vec<Occurrence>,
    pub(super) steps: usize,
    /// The step in which the log gave up a proposal at last.
    pub(super) refused_step: usize,
    agenda: Agenda,
    wall_ahead_ns: i64,
    /// When a process last began whose log's time leapt ahead: it has nothing but a wall clock that
    /// was set. Waits from before may end early.
    pub(super) leapt_at: Timestamp,
    /// The share of the manager's disk that is free.
    free_share: f64,
    /// Since when the disk has been nearly full, where it is.
    pub(super) full_since: Option<Timestamp>,
    /// How the manager's work will be broken off, and with how many entries under way.
    interruption: Option<(usize, Interruption)>,
    synced_at: Timestamp,
    /// The manager's process stands still until then.
    stands_until: Timestamp,
    /// When it went on last after it had stood still.
    pub(super) went_on_at: Timestamp,
    /// The manager's thread works until then.
    busy_until: Timestamp,
    /// Whether the log takes what is proposed next.
    log_takes: LogTakes,
    manager_timer: Option<Timestamp>,
    lives: u64,
    trace: Option<Vec<String>>,
}

impl SimulatedWorld {
    /// How many records a manager puts into an entry.
    pub fn entry_records(&self) -> usize {
        self.settings.entry_records
    }

    /// Nothing runs yet; everything is about to start.
    pub fn new(plan: &SimulationPlan, mut dice: Dice) -> SimulatedWorld {
        let agents: Vec<SimulatedAgent> =
            (0..plan.agents).map(|index| SimulatedAgent::new(index, &mut dice)).collect();
        let settings = Settings::draw(&mut dice);
        let mut world = SimulatedWorld {
            now: EPOCH,
            dice,
            settings,
            disk: Disk::default(),
            manager: None,
            heard: vec![Timestamp::NEVER; agents.len()],
            said: vec![Timestamp::NEVER; agents.len()],
            greeted: vec![Timestamp::NEVER; agents.len()],
            agents,
            net: Net::default(),
            people: People::default(),
            weather: Weather::Rough,
            mishaps: Mishaps::default(),
            happenings: Vec::new(),
            steps: 0,
            refused_step: 0,
            agenda: Agenda::default(),
            wall_ahead_ns: 0,
            leapt_at: EPOCH,
            free_share: 1.0,
            full_since: None,
            interruption: None,
            synced_at: EPOCH,
            stands_until: EPOCH,
            went_on_at: Timestamp::NEVER,
            busy_until: EPOCH,
            log_takes: LogTakes::Everything,
            manager_timer: None,
            lives: 0,
            trace: plan.traced.then(Vec::new),
        };
        world.plan(0, SimulatedEvent::ManagerStarts);
        for index in 0..world.agents.len() {
            world.plan(SECOND_NS, SimulatedEvent::AgentStarts(index));
        }
        world.plan(SECOND_NS, SimulatedEvent::Fault);
        world
    }

    /// The next thing happens, and what follows from it at once.
    pub fn step(&mut self) {
        let Some((at, event)) = self.agenda.take_earliest() else { return };
        self.now = at;
        self.steps += 1;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>16} {}", at.0 - EPOCH.0, event.line()));
        }
        self.happen(event);
        self.run_manager();
        if self.is_rough() && !self.stands_still() {
            self.meet_interruption();
        }
    }

    /// What reaches a manager that stands still waits until it goes on, in its order.
    fn happen(&mut self, event: SimulatedEvent) {
        if self.stands_still() && event.is_for_manager() {
            return self.agenda.plan(self.stands_until, event);
        }
        match event {
            SimulatedEvent::ManagerGoesOn => self.go_on(),
            SimulatedEvent::ManagerStarts => self.start_manager(),
            SimulatedEvent::ManagerTime => self.manager_time(),
            SimulatedEvent::ManagerHearsCut(conn) => self.manager_hears_cut(conn),
            SimulatedEvent::ToManager(conn, message) => self.manager_receives(conn, *message),
            SimulatedEvent::Synced(term, number) => self.synced(term, number),
            SimulatedEvent::AgentStarts(index) => self.start_agent(index),
            SimulatedEvent::AgentRejoins(index) => self.rejoin(index),
            SimulatedEvent::AgentTime(index) => self.agent_time(index),
            SimulatedEvent::AgentHearsCut(index, line) => self.agent_hears_cut(index, line),
            SimulatedEvent::ToAgent(conn, message) => self.agent_receives(conn, message),
            SimulatedEvent::Engine(index, process, event) => {
                self.engine_event(index, process, event)
            }
            SimulatedEvent::ManagerEnds(life) => self.end_manager(life),
            SimulatedEvent::Notices(index) => self.notice(index),
            SimulatedEvent::Breaks(conn) => self.cut(conn, SECOND_NS, SECOND_NS),
            SimulatedEvent::Command(command) => self.command(*command),
            SimulatedEvent::Fault => self.fault(),
        }
    }

    /// What a clock on the manager says now.
    pub fn clocks(&self) -> Clocks {
        let wall = self.now.0.saturating_add_signed(self.wall_ahead_ns);
        Clocks { now: self.now, wall: Timestamp(wall) }
    }

    fn plan(&mut self, after: u64, event: SimulatedEvent) {
        self.agenda.plan(self.now + after, event);
    }

    fn note(&mut self, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:16} {}", "", text()));
        }
    }

    /// Whether the manager's process stands still.
    pub(super) fn stands_still(&self) -> bool {
        self.now < self.stands_until
    }

    fn is_rough(&self) -> bool {
        self.weather == Weather::Rough
    }

    /// The newest steps, where they were kept.
    pub fn last_steps(&self) -> Vec<String> {
        let trace = self.trace.as_deref().unwrap_or_default();
        let steps = trace[trace.len().saturating_sub(STEPS_SHOWN)..].iter().cloned();
        steps.chain(self.disk.newest_lines(RECORDS_SHOWN)).collect()
    }

    /// What came of it all.
    pub fn report(&self) -> Report {
        let view = self.manager.as_ref().map(|manager| &manager.committed);
        Report {
            steps: self.steps,
            records: view.map_or(0, |view| view.position().revision.0),
            digest: view.map_or(0, |view| view.digest().0),
            mishaps: self.mishaps,
            accepted: self.people.accepted,
            refused: self.people.refused,
            unknown: self.people.unknown,
            trace: self.trace.clone().unwrap_or_default(),
        }
    }
}
