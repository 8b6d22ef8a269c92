//! What will happen, and when.

use crate::simulator::engine::EngineEvent;
use skep_gateway::sessions::Conn;
use skep_proto::{
    Timestamp,
    v1::{Command, FromAgent, ToAgent},
};
use std::collections::BTreeMap;

/// Longest line of a step in a trace, bytes; the rest is left out.
const LINE_BYTES_MAX: usize = 200;

/// Something that will happen.
#[derive(Clone, Debug)]
pub enum SimulatedEvent {
    /// An agent's process starts.
    AgentStarts(usize),
    /// Somebody empties the folder of a node that was removed, and starts its agent again.
    AgentRejoins(usize),
    /// An agent wants to know the time.
    AgentTime(usize),
    /// An agent notices that its stream is gone.
    AgentHearsCut(usize, u64),
    /// The runtime of a node tells its agent what it notices by itself.
    Notices(usize),
    /// On a node, for the process of that number.
    Engine(usize, u64, EngineEvent),
    /// The manager's process starts.
    ManagerStarts,
    /// The manager's process of that number ends, after somebody has stopped it.
    ManagerEnds(u64),
    /// The manager's process goes on after it had stood still.
    ManagerGoesOn,
    /// The manager wants to know the time.
    ManagerTime,
    /// The manager notices that a stream is gone.
    ManagerHearsCut(Conn),
    /// Entries up to this number are on the disk, in the tenure of that number.
    Synced(u64, usize),
    /// A message reaches the manager.
    ToManager(Conn, Box<FromAgent>),
    /// A message reaches an agent.
    ToAgent(Conn, Box<ToAgent>),
    /// A stream that had gone mute breaks.
    Breaks(Conn),
    /// A command reaches the manager, if there is one.
    Command(Box<Command>),
    /// Something goes wrong, or somebody asks for something.
    Fault,
}

impl SimulatedEvent {
    /// Whether the manager's process must do something about it.
    pub fn is_for_manager(&self) -> bool {
        match self {
            SimulatedEvent::ManagerTime
            | SimulatedEvent::ManagerHearsCut(_)
            | SimulatedEvent::ToManager(..)
            | SimulatedEvent::Synced(..)
            | SimulatedEvent::ManagerEnds(_)
            | SimulatedEvent::Command(_) => true,
            SimulatedEvent::ManagerStarts
            | SimulatedEvent::ManagerGoesOn
            | SimulatedEvent::AgentStarts(_)
            | SimulatedEvent::AgentRejoins(_)
            | SimulatedEvent::AgentTime(_)
            | SimulatedEvent::AgentHearsCut(..)
            | SimulatedEvent::Notices(_)
            | SimulatedEvent::Engine(..)
            | SimulatedEvent::ToAgent(..)
            | SimulatedEvent::Breaks(_)
            | SimulatedEvent::Fault => false,
        }
    }

    /// One line about it.
    pub fn line(&self) -> String {
        let mut text = format!("{self:?}");
        if text.len() > LINE_BYTES_MAX {
            let cut = (0..=LINE_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.truncate(cut);
        }
        text
    }
}

/// All that will happen, in order of time; of what happens at once, in the order in which it was
/// planned.
#[derive(Default)]
pub struct Agenda {
    events: BTreeMap<(Timestamp, u64), SimulatedEvent>,
    order: u64,
    commands: usize,
}

impl Agenda {
    /// Plans something.
    pub fn plan(&mut self, at: Timestamp, event: SimulatedEvent) {
        self.order += 1;
        self.commands += usize::from(matches!(event, SimulatedEvent::Command(_)));
        self.events.insert((at, self.order), event);
    }

    /// Takes what is planned for the earliest time.
    pub fn take_earliest(&mut self) -> Option<(Timestamp, SimulatedEvent)> {
        let ((at, _), event) = self.events.pop_first()?;
        self.commands -= usize::from(matches!(event, SimulatedEvent::Command(_)));
        Some((at, event))
    }

    /// Whether commands are on their way.
    pub fn has_commands(&self) -> bool {
        self.commands > 0
    }
}
