//! The metrics page of a running manager: its numbers, gathered at each scrape.

use crate::{
    connections::ConnectionLimiter,
    door::{DoorState, DoorWatch},
    drive::Drive,
    metrics::ManagerGauges,
};
use skep_log::Health;

/// The page.
pub fn render(drive: &Drive, limiter: &ConnectionLimiter, watch: &DoorWatch) -> String {
    let watch = watch.look();
    let (connections, _, connections_refused) = limiter.look();
    let status = drive.log().status().borrow().clone();
    let space = drive.log().space();
    let written = drive.log().counters();
    let gauges = ManagerGauges {
        leader: status.leader,
        healthy: status.health == Health::Ok,
        term: status.term,
        log_bytes: space.log_bytes,
        free_bytes: space.free_bytes,
        syncs: written.syncs,
        entries: written.entries,
        connections: connections.into(),
        connections_refused,
        port_open: matches!(watch.port, DoorState::Open(_)),
        machines_turned_away: watch.refused,
    };
    drive.counters().render(&drive.newest().view, &gauges)
}
