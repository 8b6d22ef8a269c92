//! What a node is called that was renamed.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_renamed_is_shown_by_the_name_it_has_now() {
    let mut world = World::of("node alpha | service web replicas=1 | task web.1 on alpha running");
    let before = world.view.position().revision;
    let (_, row) = world.view.nodes().by_id(id("node", "alpha")).unwrap();
    let description =
        v1::NodeDescription { hostname: "omega".into(), ..(*row.description).clone() };
    let opened = v1::SessionOpened {
        node_id: id("node", "alpha").to_bytes(),
        session: row.session + 1,
        description: Some(description),
        former_hostname: "alpha".into(),
        address: "10.0.0.7".into(),
        ..v1::SessionOpened::default()
    };
    let author = author::manager(id("node", "alpha"));
    say(&mut world, author, Revision::ZERO, Kind::SessionOpened(Box::new(opened)));
    world.tell("web.1 failed exit=3");
    let written = write(&world).await;
    let all = lines(&written, &v1::LogRequest { all: true, ..v1::LogRequest::default() });
    let renamed = "node omega connected from 10.0.0.7: its host name changed from alpha to omega";
    assert!(all.iter().any(|line| line == renamed), "{all:#?}");
    assert!(all.iter().any(|line| line.starts_with("node omega joined")), "{all:#?}");
    let why = ask(&written, "omega");
    assert!(why.verdict.starts_with("node omega is ready"), "{}", why.verdict);
    assert!(why.chain.iter().any(|record| record.summary == renamed), "{:#?}", why.chain);
    let past = written.past();
    let then = why_at(&past, before, "alpha");
    assert!(then.chain[0].summary.starts_with("node alpha "), "{:#?}", then.chain);
}

fn why_at(past: &Past, revision: Revision, reference: &str) -> v1::WhyReply {
    why(past, &past.view_at(revision).unwrap(), reference).unwrap()
}
