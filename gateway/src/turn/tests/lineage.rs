//! Stories about a turn from feature level 3 on: what its entry names, what is salted, to whom and
//! to what a command's id is bound.

use super::*;
use prost::Message;
use skep_proto::{
    Lineage,
    v1::{FeatureLevelRaised, PortConfig, PublishMode, TraceContext},
};

const HERE: Lineage = Lineage(0x7e57);

/// A leader whose cluster was just created, and raised to this program's level.
fn leader_of_today() -> Tip {
    let mut tip = leader();
    let raised = FeatureLevelRaised { level: FEATURE_LEVEL, lineage: HERE.0 };
    let fact = Request::Machine(MachineRequest::Fact(Kind::FeatureLevelRaised(raised)));
    take(&mut tip, vec![(author::manager(Id(9)), fact)]);
    tip
}

/// Somebody's command under this number.
fn asked(uid: u32, number: u64, action: Action) -> (Author, Request) {
    let id = CommandId { stamp: 5, number, given_revision: 1, lineage: HERE.0, command_hash: 0 };
    let mut command = Command { id: Some(id), action: Some(action), ..Command::default() };
    bind(&mut command);
    (author::person(Person { uid, ..Person::default() }), Request::Command(command))
}

fn records(turned: &TurnOutput<u64>) -> Vec<Record> {
    let records = turned.entry.iter().flat_map(|entry| &entry.records);
    records.map(|bytes| Record::decode(bytes.clone()).expect("it was sealed")).collect()
}

fn refusal(turned: &TurnOutput<u64>) -> &Refusal {
    match &turned.decided.answers()[0] {
        Answer::Refused(refusal) => refusal,
        answer @ (Answer::Accepted { .. } | Answer::Unknown(_)) => panic!("{answer:?}"),
    }
}

#[test]
fn an_entry_names_its_lineage_its_seed_and_what_began_its_turn() {
    let mut tip = leader_of_today().with_entry_records(4);
    let expected = seeds(&tip).ids;
    let first = take(&mut tip, vec![asked(1, 1, create("web", 9))]).entry.expect("a full one");
    assert_eq!(first.header.lineage, HERE.0);
    assert_eq!(first.header.seed[..], expected);
    let origin = first.header.origin.expect("it says what began it");
    assert_eq!((origin.requested, origin.continued, origin.woken), (1, false, false));
    let second = take(&mut tip, vec![asked(1, 2, remove("ghost"))]).entry.expect("the next");
    let origin = second.header.origin.expect("it says what began it");
    assert_eq!((origin.requested, origin.continued), (1, true), "the refusal, and what was left");
}

#[test]
fn the_first_turn_of_a_tenure_says_so_and_a_deadline_says_so() {
    let mut tip = leader();
    let raised = FeatureLevelRaised { level: FEATURE_LEVEL, lineage: HERE.0 };
    let fact = Request::Machine(MachineRequest::Fact(Kind::FeatureLevelRaised(raised)));
    take(&mut tip, vec![(author::manager(Id(9)), fact)]);
    let head = tip.head;
    let mut next = Tip::new(tip.view().clone(), head, Brain::new(), "test");
    let resumed = take(&mut next, vec![asked(1, 1, create("web", 1))]).entry.expect("one");
    assert!(resumed.header.origin.expect("it says so").resumed);
    next.wake_at = Some(Timestamp(5));
    let woken = take(&mut next, vec![asked(1, 2, create("db", 1))]).entry.expect("one");
    let origin = woken.header.origin.expect("it says so");
    assert!(origin.woken && !origin.resumed);
}

#[test]
fn below_the_level_nothing_is_written_that_an_older_program_does_not_know() {
    let mut tip = leader();
    let turned = take(&mut tip, vec![asked(1, 1, create("web", 1))]);
    let header = &turned.entry.as_ref().expect("one").header;
    assert_eq!((header.lineage, header.seed.len(), header.origin), (0, 0, None));
    let record = &records(&turned)[0];
    let id = record.command.expect("it had an id");
    assert_eq!((id.given_revision, id.lineage, id.command_hash), (0, 0, 0));
    assert!(record.salt.is_empty() && record.warnings.is_empty());
}

#[test]
fn records_with_text_are_salted_and_the_others_are_not() {
    let mut tip = leader_of_today();
    let turned = take(&mut tip, vec![asked(1, 1, create("web", 1))]);
    let salts: Vec<(&str, usize)> = records(&turned)
        .iter()
        .map(|record| {
            let kind = record.event.as_ref().and_then(|event| event.kind.as_ref());
            (kind.map_or("", skep_proto::event::name), record.salt.len())
        })
        .collect();
    assert_eq!(salts, [("service_created", 16), ("task_created", 0), ("placement_blocked", 16)]);
}

#[test]
fn a_command_that_is_sent_again_is_answered_as_before_with_its_warnings() {
    let mut tip = leader_of_today();
    let mut published = create("web", 2);
    if let Action::CreateService(create) = &mut published {
        let endpoint = create.spec.get_or_insert_default().endpoint.get_or_insert_default();
        endpoint.ports.push(PortConfig {
            published_port: 80,
            target_port: 80,
            publish_mode: PublishMode::Host as i32,
            ..PortConfig::default()
        });
    }
    let first = take(&mut tip, vec![asked(1, 1, published.clone())]);
    let again = take(&mut tip, vec![asked(1, 1, published)]);
    assert!(again.entry.is_none(), "{:?}", kinds(&again));
    let told = |turned: &TurnOutput<u64>| match &turned.decided.answers()[0] {
        Answer::Accepted { revision, object, changed, warnings, .. } => {
            (*revision, *object, *changed, warnings.clone())
        }
        answer @ (Answer::Refused(_) | Answer::Unknown(_)) => panic!("{answer:?}"),
    };
    assert_eq!(told(&first), told(&again));
    let recorded = &records(&first)[0].warnings;
    assert_eq!(recorded, &told(&first).3);
    assert_eq!(recorded.len(), 1, "{recorded:?}");
}

#[test]
fn an_id_is_of_one_author_and_of_one_command_and_who_errs_is_recorded() {
    let mut tip = leader_of_today();
    take(&mut tip, vec![asked(1, 1, create("web", 1))]);
    let stranger = take(&mut tip, vec![asked(2, 1, create("web", 1))]);
    assert_eq!(refusal(&stranger).code, RefusalCode::Permission);
    assert_eq!(refusal(&stranger).message, "the command's id was given to somebody else");
    assert_eq!(kinds(&stranger), ["command_refused"]);
    let other = take(&mut tip, vec![asked(1, 1, create("db", 1))]);
    let done_at = tip.view().services().iter().next().map(|(_, row)| row.version);
    let done_at = done_at.expect("web is there");
    let expected = format!("another command was done under this id, at revision {done_at}");
    assert_eq!((refusal(&other).code, &refusal(&other).message), (RefusalCode::Invalid, &expected));
    assert!(tip.view().service_named("db").is_none());
}

#[test]
fn an_id_of_another_history_is_expired_and_both_are_named() {
    let mut tip = leader_of_today();
    let (author, mut request) = asked(1, 1, create("web", 1));
    if let Request::Command(command) = &mut request {
        command.id.get_or_insert_default().lineage = 0xdead;
    }
    let turned = take(&mut tip, vec![(author, request)]);
    assert!(turned.entry.is_none(), "who retries after a restore does nothing wrong");
    assert_eq!(refusal(&turned).code, RefusalCode::Expired);
    let expected = "the command's id was given in lineage 000000000000dead, and this cluster's history goes on in \
                    lineage 0000000000007e57: whether the command was done before, it cannot tell";
    assert_eq!(refusal(&turned).message, expected);
    let (author, mut request) = asked(1, 1, create("web", 1));
    if let Request::Command(command) = &mut request {
        command.id.get_or_insert_default().lineage = 0;
    }
    let turned = take(&mut tip, vec![(author, request)]);
    let expected = "the command's id was given before this cluster had a lineage, or by a client that knows of none";
    assert_eq!(refusal(&turned).message, expected);
}

#[test]
fn the_hash_of_a_command_is_of_what_it_asks_and_why_and_not_of_who_traces_it() {
    let hash = |change: fn(&mut Command)| {
        let (_, request) = asked(1, 1, create("web", 1));
        let Request::Command(mut command) = request else { panic!("it is one") };
        change(&mut command);
        bind(&mut command);
        command.id.map(|id| id.command_hash)
    };
    let plain = hash(|_| {});
    assert!(plain.is_some_and(|hash| hash != 0));
    assert_eq!(plain, hash(|command| command.trace = Some(TraceContext::default())));
    assert_eq!(plain, hash(|command| command.id.get_or_insert_default().command_hash = 3));
    assert_ne!(plain, hash(|command| command.reason = "because".into()));
    assert_ne!(plain, hash(|command| command.action = Some(remove("web"))));
    assert_eq!(hash(|command| command.id = None), None);
}
