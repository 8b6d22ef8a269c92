//! Commands: what is submitted, and what is said of the answer.

use crate::{
    figures::{id, id_text, node, service, status},
    manager::ManagerScript,
};
use insta::assert_snapshot;
use skep_proto::{
    json,
    v1::{self, Accepted, RefusalCode, Refused, command::Action, command_reply::Outcome},
};
use std::sync::{Arc, Mutex};

fn accepting() -> ManagerScript {
    let accepted = Accepted {
        revision: 50,
        through_revision: 60,
        object_id: id(10),
        changed: true,
        warnings: vec![],
    };
    ManagerScript {
        reply: Some(Outcome::Accepted(accepted)),
        services: vec![service(10, "web", 1, 1)],
        status: status(),
        ..ManagerScript::default()
    }
}

/// What was told and the command as it arrived.
fn check(name: &str, args: &[&str]) {
    let manager = accepting().serve();
    let told = manager.run(args);
    let command = json::render(&manager.command());
    assert_snapshot!(name, format!("$ skep {}\n{}\n{command:#}", args.join(" "), told.trim_end()));
}

const EVERY_FLAG: &str = "service create --detach --name web --replicas 3 --env A=1 \
    --mount type=bind,source=/srv,target=/data,readonly --constraint node.role==worker \
    --limit-cpu 0.5 --limit-memory 64m --reserve-cpu 0.1 --reserve-memory 16m \
    --restart-condition on-failure --restart-delay 1s --restart-max-attempts 3 --restart-window 1m \
    --label a=b --container-label c=d --user 1000:1000 --workdir /tmp --hostname h \
    --stop-signal SIGINT --stop-grace-period 3s --health-cmd true --health-interval 5s \
    --health-timeout 1s --health-retries 2 --health-start-period 10s --health-start-interval 1s \
    --read-only --init --network host --publish published=8080,target=80,mode=host --entrypoint sh \
    --replicas-max-per-node 2 --reason INC-7 busybox:1.36 sleep -x 1000";

#[test]
fn create_with_every_flag() {
    check("create_every_flag", &EVERY_FLAG.split_whitespace().collect::<Vec<_>>());
}

#[test]
fn update_reads_the_spec_and_quotes_its_version() {
    check(
        "update",
        &[
            "service",
            "update",
            "-d",
            "--image",
            "busybox:1.37",
            "--env-add",
            "A=1",
            "--reason",
            "newer",
            "web",
        ],
    );
}

#[test]
fn small_commands() {
    check("scale", &["service", "scale", "-d", "web=5"]);
    check("service_rm", &["service", "rm", "--reason", "done with it", "web"]);
    check("node_update", &["node", "update", "--label-add", "zone=b1", "--label-rm", "old", "n1"]);
    check("node_drain", &["node", "drain", "self"]);
    check("node_rm", &["node", "rm", "--force", "n1"]);
    check("node_role", &["node", "update", "--role", "manager", "n1"]);
    check("node_promote", &["node", "promote", "n1"]);
    check("node_demote", &["node", "demote", "--reason", "it is old", "n1"]);
    check("stray_rm", &["stray", "rm", "4gtm"]);
    check("unpark", &["unpark", "--reason", "mended", "web"]);
}

#[test]
fn a_refusal_is_told_with_its_hint_and_the_others_are_still_asked() {
    let refused = Refused {
        code: RefusalCode::NotFound as i32,
        message: "no service is called \"web\"".into(),
        hint: "did you mean \"wed\"?".into(),
    };
    let services = vec![service(10, "web", 1, 1), service(11, "wed", 1, 1)];
    let reply = Some(Outcome::Refused(refused));
    let manager = ManagerScript { reply, services, ..ManagerScript::default() }.serve();
    assert_snapshot!("refused", manager.run(&["service", "rm", "web", "wed"]));
    let asked = manager.script.commands.lock().expect("nobody panicked").len();
    assert_eq!(asked, 2);
}

#[test]
fn a_service_or_stray_that_is_not_there_keeps_the_others_from_being_touched() {
    let stray = |n| v1::Stray { task_id: id(n), ..v1::Stray::default() };
    let script = ManagerScript {
        nodes: vec![node(1, "n1", v1::NodeState::Ready, v1::NodeRole::Worker)],
        strays: vec![stray(30), stray(31)],
        ..accepting()
    };
    let manager = script.serve();
    let (web, first) = (id_text(10), id_text(30));
    for (args, exit, part) in [
        (&["service", "rm", "web", "nosuch"][..], 1, "\"nosuch\"; nothing was changed"),
        (&["service", "scale", "nosuch=2", "web=3"], 1, "\"nosuch\"; nothing was changed"),
        (&["stray", "rm", &first, "nosuch"], 1, "no stray task \"nosuch\"; nothing was ended"),
        (&["node", "rm", "n1", "nosuch", "n1"], 2, "node n1 is named twice"),
        (&["service", "rm", "web", &web], 2, "are the same service"),
        (&["service", "scale", "web=3", &format!("{web}=4")], 2, "are the same service"),
        (&["node", "rm", "n1", "n1"], 2, "node n1 is named twice"),
        (&["stray", "rm", &first, &first[..24]], 2, "are the same stray"),
    ] {
        let told = manager.run(args);
        assert!(told.starts_with(&format!("exit {exit}\n")) && told.contains(part), "{told}");
        let commands = manager.script.commands.lock().expect("nobody panicked");
        assert_eq!(commands.len(), 0, "{args:?} sent {commands:?}");
    }
    let told = manager.run(&["stray", "rm", &first, &id_text(31)]);
    assert!(told.starts_with("exit 0\n"), "{told}");
}

#[test]
fn a_node_that_is_not_there_keeps_no_other_from_being_asked_about() {
    for verb in ["promote", "demote", "rm", "drain"] {
        let refused = Refused { message: "no node \"nosuch\"".into(), ..Refused::default() };
        let first = Arc::new(Mutex::new(vec![Outcome::Refused(refused)]));
        let nodes = vec![node(1, "n1", v1::NodeState::Ready, v1::NodeRole::Worker)];
        let manager = ManagerScript { nodes, first_replies: first, ..accepting() }.serve();
        let told = manager.run(&["node", verb, "nosuch", "n1"]);
        assert!(told.starts_with("exit 1\n--- stdout\n") && told.contains("n1"), "{told}");
        assert!(told.ends_with("--- stderr\nerror: no node \"nosuch\"\n"), "{told}");
        let asked = manager.script.commands.lock().expect("nobody panicked").len();
        assert_eq!(asked, 2, "skep node {verb}");
    }
}

/// Two nodes that are asked to be something, and what is told where it changes nothing, is refused,
/// and is done.
#[test]
fn several_nodes_are_promoted_or_demoted_in_dockers_words() {
    let nodes = ["m1", "m2", "m3"].iter().zip(1..);
    let nodes = nodes.map(|(name, n)| node(n, name, v1::NodeState::Ready, v1::NodeRole::Worker));
    let nodes: Vec<v1::Node> = nodes.collect();
    let replies = || {
        let refused = Refused {
            code: RefusalCode::Precondition as i32,
            message: "it cannot be".into(),
            hint: "wait a moment".into(),
        };
        let unchanged = Outcome::Accepted(Accepted::default());
        Arc::new(Mutex::new(vec![unchanged, Outcome::Refused(refused)]))
    };
    for (verb, role, unchanged, done) in [
        (
            "promote",
            v1::NodeRole::Manager,
            "Node m1 is already a manager.",
            "Node m3 promoted to a manager in the cluster.",
        ),
        (
            "demote",
            v1::NodeRole::Worker,
            "Node m1 is already a worker.",
            "Manager m3 demoted in the cluster.",
        ),
    ] {
        let script =
            ManagerScript { nodes: nodes.clone(), first_replies: replies(), ..accepting() };
        let manager = script.serve();
        let told = manager.run(&["node", verb, "m1", "m2", "m3"]);
        let expected = format!(
            "exit 1\n--- stdout\n{unchanged}\n{done}\n--- stderr\nerror: it cannot be\nhint: wait a \
             moment\n"
        );
        assert_eq!(told, expected);
        let commands = manager.script.commands.lock().expect("nobody panicked");
        let asked = commands.iter().map(|command| match &command.action {
            Some(Action::UpdateNode(update)) => (update.node.clone(), update.role),
            other => panic!("{other:?}"),
        });
        let expected = ["m1", "m2", "m3"].map(|node| (node.to_owned(), Some(role as i32)));
        assert_eq!(asked.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn the_next_manager_is_demoted_when_the_one_before_is_out() {
    let nodes = ["m1", "m2"].iter().zip(1..);
    let nodes = nodes.map(|(name, n)| node(n, name, v1::NodeState::Ready, v1::NodeRole::Worker));
    let manager = ManagerScript { nodes: nodes.collect(), ..accepting() }.serve();
    let told = manager.run(&["node", "demote", "m1", "m2"]);
    assert!(told.starts_with("exit 0\n"), "{told}");
    let looks = manager.asked().into_iter().filter(|asked| asked.starts_with("nodes"));
    let looks: Vec<String> = looks.collect();
    assert_eq!(looks.len(), 2, "whether both are there, and after m1: {looks:#?}");
    assert!(looks[1].contains("[\"m1\"]"), "{looks:#?}");
}

#[test]
fn what_an_update_does_not_find_to_remove_is_told() {
    let told = accepting().serve().run(&["service", "update", "-d", "--label-rm", "nope", "web"]);
    let expected =
        "exit 0\n--- stdout\nweb\n--- stderr\nwarning: service web has no label \"nope\"\n";
    assert_eq!(told, expected);
}

#[test]
fn a_variable_without_a_value_is_told() {
    for args in [
        &["service", "update", "-d", "--env-add", "SKEP_TEST_UNSET", "web"][..],
        &["service", "create", "-d", "--env", "SKEP_TEST_UNSET", "busybox"],
    ] {
        let told = accepting().serve().run(args);
        let note = "note: SKEP_TEST_UNSET is not set here, so tasks get no value for it";
        assert!(told.starts_with("exit 0\n") && told.contains(note), "{told}");
    }
}

#[test]
fn a_warning_of_the_manager_is_talk_not_data() {
    let accepted = Accepted {
        object_id: id(10),
        warnings: vec!["port 80 fits once on a node".into()],
        ..Accepted::default()
    };
    let manager =
        ManagerScript { reply: Some(Outcome::Accepted(accepted)), ..ManagerScript::default() }
            .serve();
    let told = manager.run(&["service", "create", "-d", "--name", "web", "busybox"]);
    assert_eq!(
        told,
        format!(
            "exit 0\n--- stdout\n{}\n--- stderr\nwarning: port 80 fits once on a node\n",
            id_text(10)
        )
    );
}
