//! VIEW-4: `resume` finds what the deltas had left, and the deltas leave nothing that `resume`
//! would find.

use super::{Check, Checker};
use crate::simulator::world::{SimulatedWorld, happening::Occurrence};
use skep_proto::event;
use skep_reconcilers::{Brain, Entropy, Turn};

/// Room for all that a forgotten piece of work could decide.
const ROOM: usize = 4_096;

/// Asks a brain that has just begun.
#[derive(Default)]
pub(super) struct Resumed {
    turned: bool,
}

impl Checker for Resumed {
    fn name(&self) -> &'static str {
        "VIEW-4"
    }

    fn on_happening(&mut self, happening: &Occurrence, _world: &SimulatedWorld) -> Check {
        match happening {
            Occurrence::Turned { more } => self.turned = !more,
            // A new tip has everything before it.
            Occurrence::TenureBegan => self.turned = false,
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
            | Occurrence::WentOn
            | Occurrence::OrderGiven { .. }
            | Occurrence::OrderAnswered { .. }
            | Occurrence::CalledSilent { .. } => {}
        }
        Ok(())
    }

    fn on_step(&mut self, world: &SimulatedWorld) -> Check {
        if !std::mem::take(&mut self.turned) {
            return Ok(());
        }
        let Some(manager) = &world.manager else { return Ok(()) };
        let mut view = manager.tip().clone();
        let brain = Brain::new();
        let left = brain.resume(&view);
        let turn = Turn { now: view.at(), entropy: Entropy::new([7; 32]) };
        let settled = brain.settle(&mut view, left, &turn, ROOM);
        let found =
            settled.records.iter().filter_map(|record| record.event.as_ref()?.kind.as_ref());
        let found: Vec<&str> = found.map(event::name).collect();
        if found.is_empty() {
            return Ok(());
        }
        let at = manager.tip().position();
        let first = settled.records.first();
        Err(format!(
            "at {at} a new brain finds work that was left undone: {}; the first is {first:?}",
            found.join(", ")
        ))
    }
}
