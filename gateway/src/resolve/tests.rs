//! Stories about references.

use super::*;
use crate::{admit::Refusal, reads::status};
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

/// All that somebody hears of an error.
fn heard(error: &ResolveError) -> (tonic::Code, String, String) {
    let refusal = Refusal::from(error.clone());
    assert_eq!(refusal.code, error.code());
    (status(&refusal).code(), refusal.message, refusal.hint)
}

#[test]
fn each_error_says_what_was_looked_for_and_what_to_do() {
    use tonic::Code::{InvalidArgument, NotFound};
    let not_found = |noun| ResolveError::NotFound { noun, reference: "x".into(), near: None };
    let ambiguous = |noun| ResolveError::Ambiguous {
        noun,
        reference: "x".into(),
        matches: vec!["a".into(), "b".into()],
        total: 2,
    };
    let told = [
        (
            Noun::Service,
            "service",
            "`skep service ls` lists services; `skep log` shows removed ones too",
        ),
        (Noun::Node, "node", "`skep node ls` lists nodes; `skep log` shows removed ones too"),
        (
            Noun::Task,
            "task",
            "`skep service ps SERVICE` lists a service's tasks, `skep log` older ones",
        ),
        (
            Noun::Object,
            "object",
            "`skep service ls` and `skep node ls` list both; `skep log` shows removed ones too",
        ),
    ];
    for (noun, name, look) in told {
        let empty = (
            InvalidArgument,
            format!("no {name} is named"),
            format!("name a {name} by its name, its id, or the beginning of its id"),
        );
        assert_eq!(heard(&ResolveError::Empty(noun)), empty);
        assert_eq!(ResolveError::Empty(noun).code(), RefusalCode::Invalid);
        let missing = (NotFound, format!("{name} \"x\" not found"), look.to_owned());
        assert_eq!(heard(&not_found(noun)), missing);
        assert_eq!(not_found(noun).code(), RefusalCode::NotFound);
        let several = (
            InvalidArgument,
            format!("{name} \"x\" is ambiguous: it could be a, b"),
            "write more of the id".to_owned(),
        );
        assert_eq!(heard(&ambiguous(noun)), several);
        assert_eq!(ambiguous(noun).code(), RefusalCode::Ambiguous);
    }
}

#[test]
fn nothing_that_was_removed_is_found_or_hinted_at() {
    let mut world = World::of(
        "node alpha | service web replicas=1 | task web.1 on alpha running | rmnode alpha",
    );
    let node_id = id("node", "alpha").to_string();
    for reference in ["alpha", &node_id, &node_id[..10]] {
        assert!(node(&world.view, reference).is_err(), "{reference}");
    }
    assert_eq!(service(&world.view, "wex").unwrap_err().hint(), "did you mean \"web\"?");
    world.tell("remove web");
    let service_id = id("service", "web").to_string();
    assert!(world.view.services().find(id("service", "web")).is_some(), "its row is still there");
    for reference in ["web", &service_id, &service_id[..10]] {
        assert!(service(&world.view, reference).is_err(), "{reference}");
    }
    let hint = service(&world.view, "wex").unwrap_err().hint();
    assert!(hint.contains("skep service ls"), "{hint}");
}

#[test]
fn a_tasks_name_and_id_must_belong_together() {
    let world = World::of(
        "node n1 | service web replicas=2 | service db | task web.1 on n1 running \
         | task web.2 on n1 running | task db.1 on n1 running",
    );
    let web = world.task_id("web.1");
    for good in ["web.1".to_owned(), "WEB.1".into(), format!("web.1.{web}"), format!("Web.1.{web}")]
    {
        assert_eq!(task(&world.view, &good), Ok(world.task("web.1")), "{good}");
    }
    assert_eq!(task(&world.view, "web.2"), Ok(world.task("web.2")));
    for bad in [
        format!("db.1.{web}"),
        format!("web.2.{web}"),
        format!("web.{web}"),
        "web.0".into(),
        "web.3".into(),
        "web.4294967295".into(),
        "web.-1".into(),
        "web.1.".into(),
        "nothing.1".into(),
        "web".into(),
        "1".repeat(400),
    ] {
        assert!(task(&world.view, &bad).is_err(), "{bad}");
    }
}

#[test]
fn a_whole_id_wins_over_a_name() {
    let mut world = World::of("service web | node n1");
    let (web, n1) = (id("service", "web").to_string(), id("node", "n1").to_string());
    world.tell(&format!("service {web} | service {n1} | node {n1}"));
    assert_eq!(service(&world.view, &web), Ok(world.service("web")));
    assert_eq!(node(&world.view, &n1), Ok(world.node("n1")));
    assert_eq!(service(&world.view, &n1), Ok(world.service(&n1)), "no service has this id");
}

#[test]
fn nodes_of_one_name_are_listed_up_to_a_bound_and_counted() {
    let mut world = World::of("node n1");
    let mut twins = |from: u128, to: u128| {
        for number in from..=to {
            let joined = skep_proto::v1::NodeJoined {
                node_id: Id(number).to_bytes(),
                description: Some(skep_projections::fixture::node_description("n1")),
                ..Default::default()
            };
            world.record(Kind::NodeJoined(Box::new(joined)));
        }
        node(&world.view, "n1").unwrap_err().to_string()
    };
    let all = twins(101, 104);
    assert_eq!(all.matches("n1 (").count(), 5, "{all}");
    assert!(!all.contains("more"), "{all}");
    let more = twins(105, 106);
    assert_eq!(more.matches("n1 (").count(), 5, "{more}");
    assert!(more.ends_with(" and 2 more"), "{more}");
}

#[test]
fn the_beginning_of_an_id_that_two_have_is_listed_with_their_names() {
    let mut world = World::of("node n1");
    for number in [1_u128, 2] {
        let joined = skep_proto::v1::NodeJoined {
            node_id: Id(number).to_bytes(),
            description: Some(skep_projections::fixture::node_description(&format!("x{number}"))),
            ..Default::default()
        };
        world.record(Kind::NodeJoined(Box::new(joined)));
    }
    let begun = &Id(1).to_string()[..20];
    let message =
        format!("node {begun:?} is ambiguous: it could be x1 ({}), x2 ({})", Id(1), Id(2));
    assert_eq!(node(&world.view, begun).unwrap_err().to_string(), message);
    assert_eq!(node(&world.view, &Id(2).to_string()), Ok(world.view.nodes().find(Id(2)).unwrap()));
}
