//! GATE-1: nothing is acknowledged or refused before what it was decided on is committed.

use super::{Check, Checker};
use crate::simulator::world::{SimulatedWorld, happening::Occurrence};
use skep_gateway::turn::Answer;
use skep_proto::v1::RefusalCode;

/// Looks at each answer.
pub(super) struct Early;

impl Checker for Early {
    fn name(&self) -> &'static str {
        "GATE-1"
    }

    fn on_happening(&mut self, happening: &Occurrence, _world: &SimulatedWorld) -> Check {
        let Occurrence::Answered { number, answer, proposed_before, concluded, committed } =
            happening
        else {
            return Ok(());
        };
        match answer {
            // Those say that nothing was decided.
            Answer::Unknown(_) => return Ok(()),
            Answer::Refused(refusal) if refusal.code == RefusalCode::Exhausted => return Ok(()),
            Answer::Accepted { revision, through, .. }
                if revision > committed || through > committed =>
            {
                return Err(format!(
                    "command {number} was told {revision} to {through} while {committed} was committed"
                ));
            }
            Answer::Accepted { .. } | Answer::Refused(_) => {}
        }
        if concluded < proposed_before {
            return Err(format!(
                "command {number} was answered with {concluded} entries concluded; {proposed_before} had been \
                 proposed when it came"
            ));
        }
        Ok(())
    }
}
