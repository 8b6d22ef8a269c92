//! Stories about references.

use super::*;
use skep_projections::fixture::{World, id};
use skep_proto::v1::event::Kind;

fn world() -> World {
    World::of(
        "node n1 | node n2 | service web replicas=2 | service worker \
         | task web.1 on n1 failed exit=1 | web.1 wanted shutdown | task web.1 on n2 running",
    )
}

#[test]
fn a_service_is_found_by_name_in_any_case_by_id_and_by_the_beginning_of_one() {
    let world = world();
    let web = Ok(world.service("web"));
    let whole = id("service", "web").to_string();
    assert_eq!(service(&world.view, "web"), web);
    assert_eq!(service(&world.view, "WEB"), web);
    assert_eq!(service(&world.view, &whole), web);
    assert_eq!(service(&world.view, &whole[..12]), web);
}

#[test]
fn a_slip_of_the_finger_gets_a_hint() {
    let world = world();
    let error = service(&world.view, "wbe").unwrap_err();
    assert_eq!(error.to_string(), "service \"wbe\" not found");
    assert_eq!(error.hint(), "did you mean \"web\"?");
    let error = service(&world.view, "payments").unwrap_err();
    assert!(error.hint().contains("skep service ls"), "{}", error.hint());
    assert_eq!(error.to_status().code(), tonic::Code::NotFound);
    assert_eq!(service(&world.view, ""), Err(ResolveError::Empty(Noun::Service)));
}

#[test]
fn what_was_removed_is_not_found() {
    let mut world = world();
    world.tell("remove web");
    assert!(service(&world.view, "web").is_err());
    assert!(
        service(&world.view, &id("service", "web").to_string()).is_err(),
        "its row is still there for its tasks"
    );
}

#[test]
fn two_nodes_of_one_host_name_are_told_apart_by_id() {
    let mut world = World::of("node n1");
    let mut joined = world.records.iter().find_map(|(_, record)| {
        let Kind::NodeJoined(e) = record.event.as_ref()?.kind.as_ref()? else { return None };
        Some(e.clone())
    });
    let twin = joined.take().map(|mut joined| {
        joined.node_id = Id(5).to_bytes();
        joined
    });
    world.record(Kind::NodeJoined(twin.unwrap()));
    let error = node(&world.view, "n1").unwrap_err();
    assert_eq!(error.code(), RefusalCode::Ambiguous);
    assert!(error.to_string().contains(&Id(5).to_string()), "{error}");
    assert_eq!(node(&world.view, &Id(5).to_string()), Ok(world.view.nodes().find(Id(5)).unwrap()));
}

#[test]
fn the_beginning_of_several_ids_is_ambiguous() {
    let mut world = World::of("node n0");
    (1..40).for_each(|n| drop(world.tell(&format!("node n{n}"))));
    let first = world.view.nodes().iter().map(|(_, row)| row.id.to_string()).find_map(|text| {
        let same = world
            .view
            .nodes()
            .iter()
            .filter(|(_, row)| row.id.to_string().starts_with(&text[..1]))
            .count();
        (same > 1).then(|| text[..1].to_owned())
    });
    let error = node(&world.view, &first.unwrap()).unwrap_err();
    assert_eq!(error.code(), RefusalCode::Ambiguous);
    assert_eq!(error.hint(), "write more of the id");
}

#[test]
fn a_slot_means_its_wanted_task_or_else_its_newest() {
    let mut world = world();
    assert_eq!(task(&world.view, "web.1"), Ok(world.task("web.1#2")));
    let old = world.task_id("web.1#1");
    assert_eq!(task(&world.view, &format!("web.1.{old}")), Ok(world.task("web.1#1")));
    assert_eq!(task(&world.view, &old.to_string()[..14]), Ok(world.task("web.1#1")));
    world.tell("web.1 failed exit=2 | web.1 wanted shutdown");
    assert_eq!(task(&world.view, "web.1"), Ok(world.task("web.1#2")));
    assert!(task(&world.view, "web.7").is_err() && task(&world.view, "web.").is_err());
}
