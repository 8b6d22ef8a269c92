//! Tables on a terminal: they narrow to its columns. In a pipe nothing does.

use crate::{
    figures::{failed, node, service, task},
    manager::ManagerScript,
    run::skep,
};
use nix::pty::{Winsize, openpty};
use skep_proto::v1::{NodeRole, NodeState, PlacementBlocked, TaskState};
use std::{fs::File, io::Read, path::Path, process::Stdio};

const NO_PROGRAM: &str = "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: \"nosuchprogram\": executable file not found in $PATH: unknown";

fn world() -> ManagerScript {
    let mut broken = failed(20, 1, 127);
    if let Some(status) = broken.status.as_mut() {
        status.error = NO_PROGRAM.into();
    }
    let mut waiting = service(11, "waiting-for-room", 0, 2);
    waiting.blocked = Some(PlacementBlocked {
        message: "no suitable node: not enough free cpu, memory or other resources on 1 node"
            .into(),
        ..PlacementBlocked::default()
    });
    ManagerScript {
        nodes: vec![
            node(1, "node-a.rack-7.example.com", NodeState::Ready, NodeRole::Manager),
            node(2, "node-b", NodeState::Down, NodeRole::Worker),
        ],
        services: vec![service(10, "web", 2, 3), waiting],
        tasks: vec![broken, task(21, 1, TaskState::Running)],
        ..ManagerScript::default()
    }
}

/// What the program writes to a terminal of so many columns.
fn on_terminal(socket: &Path, columns: u16, args: &[&str]) -> String {
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(Some(&size), None).expect("a terminal");
    let mut child = skep(args)
        .env("SKEP_HOST", format!("unix://{}", socket.display()))
        .stdout(Stdio::from(pty.slave))
        .stderr(Stdio::null())
        .spawn()
        .expect("the program was built for this test");
    let mut shown = Vec::new();
    // A terminal whose other end has closed gives an error in place of an end.
    drop(File::from(pty.master).read_to_end(&mut shown));
    assert!(child.wait().expect("it ends").success(), "{args:?}");
    String::from_utf8(shown).expect("text").replace("\r\n", "\n")
}

#[test]
fn tables_narrow_to_the_terminal_and_keep_what_explains_an_error() {
    let manager = world().serve();
    let socket = manager.path();
    let lists: [&[&str]; 4] =
        [&["task", "ls"], &["service", "ps", "web"], &["service", "ls"], &["node", "ls"]];
    for columns in [40, 60, 80, 120, 200] {
        for args in lists {
            let shown = on_terminal(socket, columns, args);
            let widest = shown.lines().map(|line| line.chars().count()).max().unwrap_or(0);
            assert!(widest <= usize::from(columns), "{columns} columns, {args:?}:\n{shown}");
            if args[0] == "task" && columns >= 60 {
                let cause = "executable file not found in $PATH";
                assert!(shown.contains(cause), "{columns} columns:\n{shown}");
            }
        }
    }
    let whole = on_terminal(socket, 40, &["task", "ls", "--no-trunc"]);
    assert!(whole.contains(NO_PROGRAM), "{whole}");
}
