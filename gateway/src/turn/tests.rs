//! Stories about one turn: what goes in, what is recorded, what is answered.

mod lineage;

use super::*;
use crate::admit::MachineRequest;
use skep_proto::{
    Id, author,
    v1::{
        Annotations, ClusterCreated, ClusterSpec, Command, CommandId, ContainerSpec, CreateService,
        IncarnationBegun, Person, RefusalCode, RemoveService, Replicated, ServiceMode, ServiceSpec,
        TaskSpec, TenureBegun, command::Action, event, service_mode::Mode, task_spec::Runtime,
    },
};

/// A leader whose cluster was just created.
fn leader() -> Tip {
    let mut tip = Tip::new(View::default(), Hash::ZERO, Brain::new(), "test");
    let created =
        ClusterCreated { cluster_id: Id(1).to_bytes(), spec: Some(ClusterSpec::default()) };
    let fact = Request::Machine(MachineRequest::Fact(Kind::ClusterCreated(Box::new(created))));
    take(&mut tip, vec![(author::manager(Id(9)), fact)]);
    tip
}

fn take(tip: &mut Tip, asks: Vec<(Author, Request)>) -> TurnOutput<u64> {
    let asks = asks.into_iter().enumerate();
    let asks = asks.map(|(index, (author, request))| Ask {
        caller: index as u64,
        author: author.into(),
        request,
        bytes: 100,
    });
    let seeds = seeds(tip);
    tip.turn(asks.collect(), Timestamp(1_000_000_000), seeds)
}

/// Others for each turn, as the leader's are: ids and salts are made of them.
fn seeds(tip: &Tip) -> Seeds {
    let mut ids = [7; 32];
    ids[..8].copy_from_slice(&tip.view().position().revision.0.to_le_bytes());
    Seeds { ids, salts: ids.map(|byte| !byte) }
}

fn alice(action: Action, id: Option<(u64, u64)>) -> (Author, Request) {
    let id = id.map(|(stamp, number)| CommandId { stamp, number, ..CommandId::default() });
    let command = Command { id, action: Some(action), ..Command::default() };
    let person = Person { uid: 1000, name: "alice".into(), ..Person::default() };
    (author::person(person), Request::Command(command))
}

fn create(name: &str, replicas: u64) -> Action {
    let container = ContainerSpec { image: "run".into(), ..ContainerSpec::default() };
    let spec = ServiceSpec {
        annotations: Some(Annotations { name: name.into(), ..Annotations::default() }),
        task: Some(TaskSpec {
            runtime: Some(Runtime::Container(container)),
            ..TaskSpec::default()
        }),
        mode: Some(ServiceMode { mode: Some(Mode::Replicated(Replicated { replicas })) }),
        ..ServiceSpec::default()
    };
    Action::CreateService(Box::new(CreateService { spec: Some(spec) }))
}

fn remove(name: &str) -> Action {
    Action::RemoveService(RemoveService { service: name.into() })
}

/// The kinds in an entry, in their order.
fn kinds(turned: &TurnOutput<u64>) -> Vec<&'static str> {
    let records = turned.entry.iter().flat_map(|entry| &entry.records);
    let kind = |bytes: &bytes::Bytes| {
        let record =
            <Record as prost::Message>::decode(bytes.clone()).expect("what was sealed decodes");
        skep_proto::event::name(
            record.event.and_then(|e| e.kind).as_ref().expect("each has a kind"),
        )
    };
    records.map(kind).collect()
}

#[test]
fn a_service_is_created_and_expanded_in_one_entry() {
    let mut tip = leader();
    let turned = take(&mut tip, vec![alice(create("web", 2), None)]);
    assert_eq!(kinds(&turned)[..3], ["service_created", "task_created", "task_created"]);
    let answer = &turned.decided.answers()[0];
    let Answer::Accepted { revision, through, changed, .. } = answer else { panic!("{answer:?}") };
    assert!(*changed);
    assert_eq!(*through, turned.view.position().revision, "what follows from it is in the answer");
    assert_eq!(revision.0 + turned.records as u64 - 1, through.0);
}

#[test]
fn a_command_sent_again_under_its_id_is_answered_and_not_done_again() {
    let mut tip = leader();
    let first = take(&mut tip, vec![alice(create("web", 1), Some((5, 1)))]);
    let again = take(&mut tip, vec![alice(create("web", 1), Some((5, 1)))]);
    assert!(again.entry.is_none(), "{:?}", kinds(&again));
    let object = |answer: &Answer| match answer {
        Answer::Accepted { object, revision, .. } => (*object, *revision),
        Answer::Refused(_) | Answer::Unknown(_) => panic!("{answer:?}"),
    };
    assert_eq!(object(&first.decided.answers()[0]), object(&again.decided.answers()[0]));
}

#[test]
fn a_command_whose_id_is_too_old_is_refused_and_not_done() {
    let mut tip = leader();
    take(&mut tip, vec![alice(create("web", 1), Some((5, 2_000)))]);
    let old = take(&mut tip, vec![alice(create("late", 1), Some((5, 1)))]);
    let Answer::Refused(refusal) = &old.decided.answers()[0] else {
        panic!("{:?}", old.decided.answers())
    };
    assert_eq!(refusal.message, "the command's id is too old to tell whether it was done");
    assert_eq!(refusal.code, RefusalCode::Expired);
    assert!(tip.view().service_named("late").is_none());
}

#[test]
fn requests_of_one_turn_see_what_stood_before_them() {
    let mut tip = leader();
    let asks = vec![
        alice(create("web", 1), None),
        alice(create("web", 1), None),
        alice(remove("web"), None),
    ];
    let turned = take(&mut tip, asks);
    let refused: Vec<bool> = turned
        .decided
        .answers()
        .iter()
        .map(|answer| matches!(answer, Answer::Refused(_)))
        .collect();
    assert_eq!(refused, [false, true, false], "the name is taken, then free again");
}

#[test]
fn a_refusal_is_recorded_with_its_author_and_without_the_commands_body() {
    let mut tip = leader();
    let turned = take(&mut tip, vec![alice(remove("ghost"), None)]);
    assert_eq!(kinds(&turned), ["command_refused"]);
    let bytes = turned.entry.expect("it is recorded").records[0].clone();
    let record = <Record as prost::Message>::decode(bytes).expect("what was sealed decodes");
    assert_eq!(author::describe(record.author.as_ref()), "alice");
    let Some(event::Kind::CommandRefused(refused)) = record.event.and_then(|e| e.kind) else {
        panic!()
    };
    assert_eq!((refused.command.as_str(), refused.object.as_str()), ("remove_service", "ghost"));
    assert_eq!(refused.code(), RefusalCode::NotFound);
}

#[test]
fn a_refusal_is_found_under_the_object_that_it_is_about() {
    let mut tip = leader();
    take(&mut tip, vec![alice(create("web", 1), None)]);
    let (index, web) = (
        tip.view().service_named("web").expect("it was created"),
        |row: &skep_projections::ServiceRow| row.id,
    );
    let web = tip.view().services().get(index).map(web).expect("it has a row");
    let turned = take(&mut tip, vec![alice(create("web", 1), None)]);
    let bytes = turned.entry.expect("it is recorded").records[0].clone();
    let record = <Record as prost::Message>::decode(bytes).expect("what was sealed decodes");
    let kind = record.event.and_then(|e| e.kind).expect("each has a kind");
    assert_eq!(skep_proto::event::name(&kind), "command_refused");
    assert_eq!(skep_proto::event::objects(&kind).collect::<Vec<_>>(), [web]);
}

#[test]
fn what_does_not_fit_into_an_entry_is_given_back() {
    let mut tip = leader();
    let large = |number: usize| {
        let (author, request) = alice(create(&format!("s{number}"), 1), None);
        let bytes = ENTRY_BYTES_MAX / 2;
        Ask { caller: number as u64, author: author.into(), request, bytes }
    };
    let seeds = seeds(&tip);
    let turned = tip.turn((0..5).map(large).collect(), Timestamp(2_000_000_000), seeds);
    assert_eq!(turned.decided.answers().len(), 2);
    let rest: Vec<u64> = turned.rest.iter().map(|ask| ask.caller).collect();
    assert_eq!(rest, [2, 3, 4], "in their order");
    assert!(turned.more);
}

#[test]
fn an_entry_is_full_at_its_number_of_records() {
    let mut tip = leader().with_entry_records(3);
    let turned = take(&mut tip, (0..3).map(|_| alice(remove("ghost"), None)).collect());
    assert_eq!(kinds(&turned), ["command_refused", "command_refused"]);
    assert_eq!((turned.decided.answers().len(), turned.rest.len()), (2, 1));
    assert!(turned.more);
}

#[test]
fn a_flood_of_requests_leaves_room_for_the_reconcilers() {
    let mut tip = leader().with_entry_records(8);
    let turned = take(&mut tip, (0..9).map(|n| alice(create(&format!("s{n}"), 1), None)).collect());
    assert_eq!((turned.decided.answers().len(), turned.rest.len()), (6, 3));
    assert_eq!(kinds(&turned)[6..], ["task_created", "placement_blocked"]);
}

#[test]
fn a_large_service_is_cut_at_the_entrys_bound_and_goes_on() {
    let mut tip = leader();
    let mut turned = take(&mut tip, vec![alice(create("web", 5_000), None)]);
    let mut entries = 1;
    while turned.more {
        assert!(turned.records <= ENTRY_RECORDS_MAX + 1, "{} records", turned.records);
        turned = take(&mut tip, Vec::new());
        entries += 1;
        assert!(entries < 10, "it never ends");
    }
    assert_eq!(tip.view().tasks().len(), 5_000);
    assert!(entries >= 2);
}

#[test]
fn each_entry_names_the_one_before_it() {
    let mut tip = leader();
    let first = take(&mut tip, vec![alice(create("a", 1), None)]).entry.expect("one");
    let second = take(&mut tip, vec![alice(create("b", 1), None)]).entry.expect("another");
    assert_eq!(second.header.parent_hash, first.hash.to_bytes());
    assert_eq!(
        second.header.first_revision,
        first.header.first_revision + u64::from(first.header.record_count)
    );
}

#[test]
fn the_digest_is_recorded_when_ten_thousand_records_are_passed() {
    let mut tip = leader();
    let mut turned = take(&mut tip, vec![alice(create("web", 11_000), None)]);
    let mut checkpoints = 0;
    loop {
        checkpoints += kinds(&turned).iter().filter(|kind| **kind == "checkpoint").count();
        if !turned.more {
            break;
        }
        turned = take(&mut tip, Vec::new());
    }
    assert_eq!(checkpoints as u64, tip.view().position().revision.0 / CHECKPOINT_PERIOD_RECORDS);
}

#[test]
fn a_history_begins_with_incarnation_1_and_goes_on_with_its_own() {
    let record = |kind| Record { event: Some(skep_proto::event::event(kind)), ..Record::default() };
    let tenure = record(Kind::TenureBegun(TenureBegun::default()));
    let mut view = View::default();
    assert_eq!(incarnation_of(&view, &tenure), 1);
    let begun = IncarnationBegun { incarnation: 4, ..IncarnationBegun::default() };
    let begun = record(Kind::IncarnationBegun(begun));
    assert_eq!(incarnation_of(&view, &begun), 4);
    let stamp = Stamp { revision: Revision(1), at: Timestamp(1), incarnation: 3 };
    view.apply(stamp, &tenure).expect("a record we know");
    assert_eq!(incarnation_of(&view, &tenure), 3);
}
