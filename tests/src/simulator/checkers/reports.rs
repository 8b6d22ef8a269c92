//! AGENT-6: what an agent has seen of its tasks is in the log soon, while nothing hinders it.

use super::{Check, Checker};
use crate::simulator::{
    net::Direction,
    world::{SimulatedWorld, happening::Occurrence},
};
use skep_gateway::sessions::Conn;
use skep_proto::{Id, Timestamp, time::SECOND_NS, v1::TaskState};
use std::collections::BTreeMap;

/// A report is recorded within this time, on a slow disk too.
const REPORT_NS_MAX: u64 = 25 * SECOND_NS;
/// How often it is looked at.
const LOOK_NS: u64 = SECOND_NS;

/// Since when an agent has talked to its manager without being hindered.
#[derive(Clone, Copy, Default)]
struct Talk {
    conn: Option<Conn>,
    since: Timestamp,
}

/// Compares what agents know of their tasks with what is recorded.
#[derive(Default)]
pub(super) struct Reports {
    next_look: Timestamp,
    talks: Vec<Talk>,
    /// Tasks of which the log does not know the newest state, and since when.
    behind: BTreeMap<Id, (TaskState, Timestamp)>,
}

impl Checker for Reports {
    fn name(&self) -> &'static str {
        "AGENT-6"
    }

    fn on_happening(&mut self, happening: &Occurrence, _world: &SimulatedWorld) -> Check {
        match happening {
            Occurrence::TenureBegan | Occurrence::WentOn => self.talks.clear(),
            Occurrence::Answered { .. }
            | Occurrence::Began { .. }
            | Occurrence::StopAsked { .. }
            | Occurrence::StepAsked { .. }
            | Occurrence::HungUp { .. }
            | Occurrence::StepAnswered { .. }
            | Occurrence::Dialed { .. }
            | Occurrence::Sent { .. }
            | Occurrence::StreamFull { .. }
            | Occurrence::Stopping { .. }
            | Occurrence::CalledSilent { .. }
            | Occurrence::OrderGiven { .. }
            | Occurrence::OrderAnswered { .. }
            | Occurrence::Turned { .. } => {}
        }
        Ok(())
    }

    fn on_step(&mut self, world: &SimulatedWorld) -> Check {
        if world.now < self.next_look {
            return Ok(());
        }
        self.next_look = world.now + LOOK_NS;
        let Some(manager) = world.manager.as_ref().filter(|_| !world.stands_still()) else {
            self.talks.clear();
            return Ok(());
        };
        self.talks.resize(world.agents.len(), Talk::default());
        for (index, agent) in world.agents.iter().enumerate() {
            let Some(core) = &agent.core else { continue };
            let conn = manager.conn_of(agent.node()).filter(|conn| {
                let mute = |way| world.net.is_mute(*conn, way);
                core.is_attached()
                    && agent.conn == Some(*conn)
                    && !mute(Direction::ToManager)
                    && !mute(Direction::ToAgent)
            });
            let talk = &mut self.talks[index];
            if conn.is_none() || talk.conn != conn {
                *talk = Talk { conn, since: world.now };
            }
            let talk = *talk;
            for (id, state, _) in core.tasks() {
                let row = manager.committed.tasks().by_id(id).map(|(_, row)| row);
                if row.is_none_or(|row| row.has_ended() || row.state >= state) {
                    self.behind.remove(&id);
                    continue;
                }
                let behind = self.behind.entry(id).or_insert((state, world.now));
                if behind.0 != state {
                    *behind = (state, world.now);
                }
                let since = behind.1.max(talk.since);
                if conn.is_some() && world.now.since(since) > REPORT_NS_MAX {
                    let (name, known) = (agent.name(), row.map(|row| row.state));
                    return Err(format!("{name} knows that {id} is {state:?}, the log {known:?}"));
                }
            }
        }
        Ok(())
    }
}
