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
    (1..200).for_each(|n| drop(world.tell(&format!("node n{n}"))));
    let first = world.view.nodes().iter().map(|(_, row)| row.id.to_string()).find_map(|text| {
        let same = world
            .view
            .nodes()
            .iter()
            .filter(|(_, row)| row.id.to_string().starts_with(&text[..1]))
            .count();
        (same > MATCHES_SHOWN_MAX).then(|| text[..1].to_owned())
    });
    let error = node(&world.view, &first.unwrap()).unwrap_err();
    assert_eq!(error.code(), RefusalCode::Ambiguous);
    assert_eq!(error.hint(), "write more of the id");
    let ResolveError::Ambiguous { matches, total, .. } = &error else { panic!("{error}") };
    assert!(*total > MATCHES_SHOWN_MAX, "{error}");
    assert_eq!(matches.len(), MATCHES_SHOWN_MAX);
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

#[test]
fn one_slip_is_one_letter_or_two_neighbours_that_changed_places() {
    for near in ["we", "ewb", "webb", "wab", "eb", "WBE"] {
        assert!(one_slip_apart("web", near), "{near}");
    }
    for far in ["w", "bew", "wax", "wxe", "ebw", "webxx", "database"] {
        assert!(!one_slip_apart("web", far), "{far}");
    }
    assert!(!one_slip_apart("a", "b"), "nothing is left of the name");
}

#[test]
fn what_it_could_be_is_listed_with_how_many_more_there_are() {
    let two = ["a".to_owned(), "b".to_owned()];
    assert_eq!(listed(&two, 2), "a, b");
    assert_eq!(listed(&two, 5), "a, b and 3 more");
}

#[test]
fn a_long_reference_is_said_back_at_a_bounded_length() {
    let error = service(&world().view, &"x".repeat(1_000)).unwrap_err();
    assert_eq!(error.to_string(), format!("service {:?} not found", "x".repeat(100)));
}

#[test]
fn a_removed_node_is_no_hint() {
    let world = World::of("node alpha | service web | task web.1 on alpha | rmnode alpha");
    let error = node(&world.view, "alphx").unwrap_err();
    assert!(!error.hint().contains("alpha"), "{}", error.hint());
    let world = World::of("node alpha");
    assert_eq!(node(&world.view, "alphx").unwrap_err().hint(), "did you mean \"alpha\"?");
}

#[test]
fn a_task_is_found_by_its_whole_id_too() {
    let world = world();
    assert_eq!(task(&world.view, &world.task_id("web.1#1").to_string()), Ok(world.task("web.1#1")));
}
