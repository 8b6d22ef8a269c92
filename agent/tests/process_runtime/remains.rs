//! What outlives its shim, its folder or its agent, and is found and ended.

use super::*;

/// The numbers that a task printed, once it has printed so many.
async fn printed_pids(runtime: &ProcessRuntime, work: &Workload, count: usize) -> Vec<i32> {
    let pids = soon(async {
        loop {
            let lines = texts(runtime, work, LogQuery::default()).await;
            if lines.len() >= count {
                return lines;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    pids.await.iter().map(|line| line.parse().unwrap()).collect()
}

async fn gone(pids: &[i32]) {
    soon(async {
        while pids.iter().any(|pid| is_alive(*pid)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// Prints the numbers of three processes, of which one has left its session and one the world's
/// view.
const FAMILY: &str = "echo $$; setsid sh -c 'echo $$; exec sleep 1000' & \
                      setsid sh -c 'echo $$; exec sleep 1000' & exec sleep 1000";

#[tokio::test]
async fn a_killed_shim_takes_all_that_its_program_started_with_it() {
    let node = ProcessNode::new();
    let (runtime, work) = (node.runtime(), shell(FAMILY));
    begin(&runtime, &work).await;
    let pids = printed_pids(&runtime, &work, 3).await;
    signal(node.shims()[0], "KILL");
    assert_eq!(soon(runtime.wait(&work)).await.unwrap().cause, EndCause::KilledOutside);
    gone(&pids).await;
}

#[tokio::test]
async fn a_program_does_not_outlive_its_shim_while_no_agent_looks() {
    let node = ProcessNode::new();
    let (runtime, work) = (node.runtime(), shell("exec sleep 1000"));
    let pid = begin(&runtime, &work).await;
    drop(runtime);
    signal(node.shims()[0], "KILL");
    gone(&[pid]).await;
}

/// Somebody has copied a machine's state folder, and starts both.
#[tokio::test]
async fn a_copy_of_the_folder_touches_nothing_that_runs_under_the_original() {
    let (node, copy) = (ProcessNode::new(), ProcessNode::new());
    let (runtime, work) = (node.runtime(), shell("exec sleep 1000"));
    let pid = begin(&runtime, &work).await;
    let (from, to) = (node.folder(work.task_id), copy.folder(work.task_id));
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    let copied = std::process::Command::new("cp").arg("-a").args([&from, &to]).status().unwrap();
    assert!(copied.success());
    let refused = soon(copy.runtime().list(work.node_id)).await.unwrap_err().to_string();
    assert!(refused.contains(&format!("{} is a copy", to.display())), "{refused}");
    assert!(std::path::Path::new(&format!("/proc/{pid}")).exists(), "it goes on");
    assert_eq!(soon(runtime.list(work.node_id)).await.unwrap().len(), 1);
    fs::remove_dir_all(&to).unwrap();
}

#[tokio::test]
async fn a_damaged_file_costs_its_own_task_and_no_other() {
    let damages: [(&str, Option<&[u8]>); 5] = [
        ("plan.json", Some(b"")),
        ("plan.json", Some(b"{\"task\":\"0abc")),
        ("plan.json", None),
        ("running.json", Some(b"\0\0\0\0")),
        ("control", None),
    ];
    for (name, content) in damages {
        let node = ProcessNode::new();
        let runtime = node.runtime();
        let (well, ill) = (Workload { task_id: own_id(70), ..shell(FAMILY) }, shell(FAMILY));
        begin(&runtime, &well).await;
        begin(&runtime, &ill).await;
        let pids = printed_pids(&runtime, &ill, 3).await;
        drop(runtime);
        let file = node.folder(ill.task_id).join(name);
        fs::remove_file(&file).unwrap();
        if let Some(content) = content {
            fs::write(&file, content).unwrap();
        }
        let runtime = node.runtime();
        let found = soon(runtime.list(well.node_id)).await.unwrap();
        let state = |id| &found.iter().find(|found| found.task_id == id).unwrap().state;
        assert!(matches!(state(well.task_id), FoundState::Running(_)), "{name}: {found:?}");
        if name == "control" {
            soon(runtime.stop(ill.task_id, Duration::ZERO)).await.unwrap();
        } else {
            let ended = soon(runtime.wait(&ill)).await.unwrap();
            assert_eq!(ended.cause, EndCause::NotesDamaged, "{name}");
            assert!(ended.error.contains(name), "{ended:?}");
        }
        gone(&pids).await;
        let found = soon(node.runtime().list(well.node_id)).await.unwrap();
        assert_eq!(found.len(), 2);
        soon(runtime.remove(ill.task_id)).await.unwrap();
        assert!(!node.folder(ill.task_id).exists());
        soon(runtime.remove(well.task_id)).await.unwrap();
    }
}

#[tokio::test]
async fn a_damaged_end_is_an_end() {
    let node = ProcessNode::new();
    let (runtime, work) = (node.runtime(), shell("exit 0"));
    begin(&runtime, &work).await;
    soon(runtime.wait(&work)).await.unwrap();
    fs::write(node.folder(work.task_id).join("ended.json"), "").unwrap();
    let ended = soon(node.runtime().wait(&work)).await.unwrap();
    assert_eq!((ended.exit_code, ended.cause), (None, EndCause::NotesDamaged), "{ended:?}");
    assert!(ended.error.contains("ended.json"), "{ended:?}");
}

#[tokio::test]
async fn what_runs_is_ended_although_its_folder_was_removed() {
    for restarted in [false, true] {
        let node = ProcessNode::new();
        let (mut runtime, work) = (node.runtime(), shell(FAMILY));
        begin(&runtime, &work).await;
        let mut pids = printed_pids(&runtime, &work, 3).await;
        pids.extend(node.shims());
        fs::remove_dir_all(node.dir.path().join("tasks")).unwrap();
        if restarted {
            runtime = node.runtime();
            let found = soon(runtime.list(work.node_id)).await.unwrap();
            assert!(
                matches!(&found[..], [one] if matches!(one.state, FoundState::Running(_))),
                "{found:?}"
            );
        }
        soon(runtime.stop(work.task_id, Duration::from_secs(5))).await.unwrap();
        assert!(!pids.iter().any(|pid| is_alive(*pid)), "stopped means ended");
        assert_eq!(soon(runtime.list(work.node_id)).await.unwrap(), []);
    }
}

#[tokio::test]
async fn a_stuck_shim_costs_its_own_task() {
    let node = ProcessNode::new();
    let (runtime, work) = (node.runtime(), shell(FAMILY));
    begin(&runtime, &work).await;
    let mut pids = printed_pids(&runtime, &work, 3).await;
    pids.extend(node.shims());
    signal(node.shims()[0], "STOP");
    assert_eq!(soon(node.runtime().list(work.node_id)).await.unwrap().len(), 1);
    soon(runtime.stop(work.task_id, Duration::ZERO)).await.unwrap();
    gone(&pids).await;
    assert_eq!(soon(runtime.wait(&work)).await.unwrap().cause, EndCause::KilledOutside);
}
