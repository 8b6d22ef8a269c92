//! Whether other machines can come in, and who was turned away. PURE.

use super::{cluster::bounded, ok, problem, warning};
use crate::door::{DoorReport, DoorState, TurnedAway};
use skep_projections::{NodeRow, View, trust::IssuedCertificate};
use skep_proto::{Timestamp, counted, time::DAY_NS, v1::Finding};

/// A certificate of whose life only one part in so many is left should have been renewed.
const LIFE_LEFT_PARTS: u64 = 10;
/// Who was turned away is told for a day.
const TOLD_PERIOD_NS: u64 = DAY_NS;

/// The port, the authority, and those who were turned away lately.
pub(super) fn access(state: &DoorReport, now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::from([port(&state.port)]);
    if let Some(trouble) = &state.trouble {
        let message = format!("it gives no certificates: {}", trouble.message);
        findings.push(problem("authority", message, &trouble.hint));
    }
    let is_late = |known: &&TurnedAway| now.since(known.at) < TOLD_PERIOD_NS;
    let late: Vec<String> = state
        .turned_away
        .iter()
        .filter(is_late)
        .map(|known| format!("from {} at {}: {}", known.from, known.at, known.why))
        .collect();
    if !late.is_empty() {
        let count = counted(state.refused, "connection");
        let message = format!(
            "{count} turned away since the start; the newest of each address {}",
            late.join("; ")
        );
        let hint = "look whether that machine should be in this cluster; its own log and `skep node status` \
                    there say more. `skep cluster token worker` (or `manager`) prints what it joins with";
        findings.push(warning("turned away", message, hint));
    }
    findings
}

fn port(state: &DoorState) -> Finding {
    match state {
        DoorState::Closed => ok("port", "closed: no other machine can connect"),
        DoorState::Open(address) => ok("port", format!("open: it listens on {address}")),
        DoorState::Blocked { address, message } => problem(
            "port",
            format!(
                "closed, and it should be open: {message}; others are to reach it at {}",
                address.advertise
            ),
            "free that address, or open another one with `skep cluster init --listen-addr`; it is \
             tried again every few seconds",
        ),
    }
}

/// Certificates of nodes that should have been renewed by now.
pub(super) fn certificates(view: &View, now: Timestamp) -> Vec<Finding> {
    let present = view.nodes().iter().map(|(_, row)| row).filter(|row| !row.removed);
    let found = present.filter_map(|row| certificate(row, row.certificate.as_deref()?, now));
    let mut found: Vec<Finding> = found.collect();
    // What has ended is told first: of many only some are told.
    found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    bounded(found.into_iter(), "certificates are near their end")
}

fn certificate(row: &NodeRow, known: &IssuedCertificate, now: Timestamp) -> Option<Finding> {
    let left_ns = known.not_after.since(now);
    if left_ns > known.not_after.since(known.not_before) / LIFE_LEFT_PARTS {
        return None;
    }
    let hint = "look into the log of its daemon: a node renews its certificate by itself while it \
                reaches a manager";
    let name = row.hostname();
    Some(match left_ns {
        0 => problem(name, format!("its certificate ended at {}", known.not_after), hint),
        _ => warning(name, format!("its certificate ends at {}", known.not_after), hint),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::{AuthorityTrouble, DoorAddress, DoorWatch};
    use skep_projections::fixture::World;

    fn told(findings: &[Finding]) -> Vec<String> {
        let line = |found: &Finding| {
            format!("{:?} {}: {}", found.severity(), found.subject, found.message)
        };
        findings.iter().map(line).collect()
    }

    #[test]
    fn a_port_that_should_be_open_is_told_with_what_is_in_the_way() {
        let watch = DoorWatch::default();
        let port = |watch: &DoorWatch| told(&access(&watch.look(), NOW)).remove(0);
        assert_eq!(port(&watch), "Ok port: closed: no other machine can connect");
        let listen = "0.0.0.0:2377".parse().expect("an address");
        let advertise = "10.0.0.1:2377".parse().expect("an address");
        let address = DoorAddress { listen, advertise };
        watch.port(DoorState::Open(address));
        assert_eq!(
            port(&watch),
            "Ok port: open: it listens on 0.0.0.0:2377 (others reach it at 10.0.0.1:2377)"
        );
        watch.port(DoorState::Blocked { address, message: "taken".into() });
        assert_eq!(
            port(&watch),
            "Problem port: closed, and it should be open: taken; others are to reach it at 10.0.0.1:2377"
        );
    }

    #[test]
    fn a_lost_authority_and_strangers_are_told() {
        let watch = DoorWatch::default();
        watch.authority(Some(AuthorityTrouble { message: "lost".into(), hint: "find it".into() }));
        let at = Timestamp(NOW.0 - 1);
        for why in ["first", "second"] {
            watch.turned_away("10.0.0.7", why, at);
        }
        watch.turned_away("10.0.0.8", &"…".repeat(100), at);
        watch.turned_away("10.0.0.9", "too long ago", Timestamp(NOW.0 - TOLD_PERIOD_NS));
        let found = access(&watch.look(), NOW);
        let cut = "…".repeat(85);
        assert_eq!(
            told(&found)[1..],
            [
                "Problem authority: it gives no certificates: lost".to_owned(),
                format!(
                    "Warning turned away: 4 connections turned away since the start; the newest of \
                     each address from 10.0.0.8 at {at}: {cut}; from 10.0.0.7 at {at}: second"
                ),
            ]
        );
        assert_eq!(found[1].hint, "find it");
        watch.authority(None);
        assert_eq!(access(&watch.look(), NOW).len(), 2);
    }

    const NOW: Timestamp = Timestamp(9 * DAY_NS);

    #[test]
    fn one_address_does_not_hide_the_others() {
        let watch = DoorWatch::default();
        for number in 0..100 {
            watch.turned_away("10.0.0.1", "busy", NOW);
            watch.turned_away(&format!("10.0.0.{}", number % 6 + 2), "other", NOW);
        }
        let state = watch.look();
        assert_eq!((state.refused, state.turned_away.len()), (200, 7));
        (0..100).for_each(|number| watch.turned_away(&format!("10.0.1.{number}"), "new", NOW));
        assert_eq!(watch.look().turned_away.len(), 8, "there is a most");
    }

    #[test]
    fn a_certificate_that_is_not_renewed_in_time_is_told() {
        let mut world = World::of("node n1 | node n2 | certify n1");
        let begun = world.view.at();
        let at = |parts: u64| told(&certificates(&world.view, begun + parts * (DAY_NS / 20)));
        assert_eq!(at(10), [""; 0]);
        let ends = begun + DAY_NS;
        assert_eq!(at(19), [format!("Warning n1: its certificate ends at {ends}")]);
        assert_eq!(at(21), [format!("Problem n1: its certificate ended at {ends}")]);
        world.tell("rmnode n1");
        assert_eq!(certificates(&world.view, begun + 2 * DAY_NS), []);
    }
}
