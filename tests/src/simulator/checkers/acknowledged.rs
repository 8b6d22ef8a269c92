//! LOG-1, agreement: what a client was told is in the log, at the revision it was told, and carries its command.

use crate::simulator::world::World;
use prost::Message;
use skep_proto::v1::Record;

pub(super) fn check(world: &World) -> Result<(), String> {
    for (number, revision) in world.clients.told() {
        let entry = world.disk.entry_of(revision).ok_or_else(|| {
            format!("LOG-1: command {number} was told revision {revision}, which is not in the log")
        })?;
        let place = (revision.0 - entry.header.first_revision) as usize;
        let record = entry.records.get(place).and_then(|bytes| Record::decode(bytes.clone()).ok());
        let command = record.and_then(|record| record.command).map_or(0, |id| id.number);
        if command != number {
            return Err(format!(
                "LOG-1: command {number} was told revision {revision}, which is command {command}'s"
            ));
        }
    }
    Ok(())
}
