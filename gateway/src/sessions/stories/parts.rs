//! Stories about sets of assignments that travel in parts.

use super::*;

/// A service whose spec is so large that a part holds one of them at most.
fn large(name: &str) -> String {
    format!("service {name} replicas=2 label=k:{} | task {name}.1 on a", "x".repeat(700_000))
}

#[test]
fn a_large_set_travels_in_parts_and_waits_for_the_agent() {
    let services: Vec<String> = (1..=7).map(|n| large(&format!("s{n}"))).collect();
    let mut world = SessionsWorld::of(&format!("member a | {}", services.join(" | ")));
    world.act("a hello");
    let part =
        |n: u32, more: &str| format!("a1 set part {n}{more} {{s{0}}} s{0}.1=RUNNING*", n + 1);
    let first: Vec<String> = (0..AHEAD).map(|n| part(n, "+")).collect();
    let welcomed = world.act("commit");
    let names: Vec<&str> = welcomed.split(", ").collect();
    assert_eq!(names.len() as u32, 1 + AHEAD, "{welcomed}");
    drop(first);
    // What changes meanwhile waits behind it.
    assert_eq!(world.act("tell s1.1 wanted shutdown"), "-");
    let parts: Vec<String> = (AHEAD..7).map(|_| world.act("a takes")).collect();
    assert!(parts.iter().take(parts.len() - 1).all(|part| part.contains("+ {s")), "{parts:?}");
    let last = parts.last().expect("parts");
    assert!(
        last.contains("part 6 {s") && last.contains(", a1 change ") && last.ends_with("=SHUTDOWN"),
        "{last}"
    );
    assert_eq!(world.act("a takes"), "-");
}

#[test]
fn a_set_that_breaks_off_is_sent_anew_from_its_beginning() {
    let services: Vec<String> = (1..=3).map(|n| large(&format!("s{n}"))).collect();
    let mut world = SessionsWorld::of(&format!("member a | {}", services.join(" | ")));
    world.act("a hello");
    assert_eq!(world.act("commit").matches("part").count(), 3);
    world.act("a gone");
    world.act("commit");
    world.act("a hello");
    let again = world.act("commit");
    assert!(again.contains("a2 set part 0+") && again.contains("a2 set part 2 "), "{again}");
}

#[test]
fn a_service_is_described_once_while_tasks_of_it_are_there() {
    let mut world = SessionsWorld::of(
        "member a | service web replicas=9 | service db replicas=9 | task web.1 on a",
    );
    world.act("a hello");
    world.act("commit");
    let changed = |world: &mut SessionsWorld, parts: &str| {
        let heard = world.act(parts);
        heard
            .split_once('>')
            .and_then(|(_, rest)| rest.split_once(' '))
            .map(|(_, items)| items.to_owned())
    };
    assert_eq!(changed(&mut world, "tell task web.2 on a").as_deref(), Some("web.2=RUNNING*"));
    assert_eq!(changed(&mut world, "tell task db.1 on a").as_deref(), Some("{db} db.1=RUNNING*"));
    // Scaling changes nothing about its tasks; a label does.
    world.act("tell scale web 12");
    assert_eq!(changed(&mut world, "tell task web.3 on a").as_deref(), Some("web.3=RUNNING*"));
    world.act("tell update web label=tier:front");
    assert_eq!(
        changed(&mut world, "tell task web.4 on a").as_deref(),
        Some("{web} web.4=RUNNING*")
    );
    assert_eq!(changed(&mut world, "tell task web.5 on a").as_deref(), Some("web.5=RUNNING*"));
    // With its last task the agent forgets it.
    world.act("tell db.1 wanted shutdown | db.1 shutdown | reap db.1");
    assert_eq!(changed(&mut world, "tell task db.2 on a").as_deref(), Some("{db} db.2=RUNNING*"));
}
