//! Coming to rest: after the faults nothing may change any more, within a bounded time and a
//! bounded number of records.

use super::{checkers::Checkers, disk, world::SimulatedWorld};
use skep_proto::{event, time::SECOND_NS};
use std::collections::BTreeMap;

/// How long nothing may change, and how soon that must be so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest {
    /// Nothing is recorded for so long.
    quiet_ns: u64,
    /// Virtual time after which it must have come to that.
    limit_ns: u64,
    /// Records on the way there at most; more is a restless cluster.
    records_max: u64,
    /// Steps on the way there at most; more is something that spins.
    steps_max: usize,
}

/// After the faults, when nobody repairs anything: longer than every back-off.
pub(super) const BY_ITSELF: Rest = Rest {
    quiet_ns: 900 * SECOND_NS,
    limit_ns: 3 * 3_600 * SECOND_NS,
    records_max: 2_000,
    steps_max: 300_000,
};
/// After everything was asked to be healthy: an hour without a record.
pub(super) const AS_ASKED: Rest = Rest {
    quiet_ns: 3_600 * SECOND_NS,
    limit_ns: 3 * 3_600 * SECOND_NS,
    records_max: 2_000,
    steps_max: 300_000,
};

/// Somebody waits for an answer, for a session or for the manager's work for so long at most.
const BUSY_NS_MAX: u64 = 300 * SECOND_NS;
/// The newest records that are looked at to say what still changes.
const RECORDS_SHOWN: usize = 60;

/// Goes on until nothing changes any more; otherwise says what still does.
pub(super) fn come_to_rest(
    world: &mut SimulatedWorld,
    checkers: &mut Checkers,
    rest: Rest,
) -> Result<(), String> {
    let (began_at, records) = (world.now, checkers.records());
    let (steps, mut busy_since) = (world.steps, world.now);
    loop {
        world.step();
        checkers.look(world)?;
        let quiet_since = world.newest_record_at().max(began_at);
        let under_way = world.under_way();
        if under_way.is_none() && world.now.since(quiet_since) >= rest.quiet_ns {
            return Ok(());
        }
        if under_way.is_none() {
            busy_since = world.now;
        }
        let restless = checkers.records() - records > rest.records_max
            || world.steps - steps > rest.steps_max
            || world.now.since(busy_since) > BUSY_NS_MAX;
        if restless || world.now.since(began_at) > rest.limit_ns {
            let under_way = under_way.unwrap_or_else(|| "nothing is on its way".into());
            return Err(format!("REST-1: does not come to rest: {under_way}; {}", changes(world)));
        }
    }
}

/// What the newest records are, by kind.
fn changes(world: &SimulatedWorld) -> String {
    let mut kinds: BTreeMap<&'static str, usize> = BTreeMap::new();
    let newest = world.disk.safe().iter().rev().flat_map(|written| disk::records(&written.entry));
    for record in newest.filter_map(|(_, record)| record.ok()).take(RECORDS_SHOWN) {
        if let Some(kind) = record.event.as_ref().and_then(|event| event.kind.as_ref()) {
            *kinds.entry(event::name(kind)).or_default() += 1;
        }
    }
    let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let ago_ms = world.now.since(world.newest_record_at()) / 1_000_000;
    format!("the newest record is {ago_ms} ms old; the last were {}", kinds.join(", "))
}
