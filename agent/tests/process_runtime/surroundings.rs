//! What a task is given when it starts, and what it is not.

use super::*;

#[tokio::test]
async fn a_task_inherits_nothing_of_the_agents_own() {
    // As a daemon has it that is started with other limits and protection.
    fs::write("/proc/self/oom_score_adj", "300").unwrap();
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(700), hard).unwrap();
    let script = "cat /proc/self/oom_score_adj; ulimit -Sn; ulimit -Hn; umask; env | sort";
    let lines = output(&ProcessNode::new(), &shell(script)).await;
    assert_eq!(lines[..2], ["0", "1024"], "{lines:?}");
    assert!(lines[2].parse::<u64>().unwrap() <= 524_288, "{lines:?}");
    assert_eq!(lines[3].trim_start_matches('0'), "22", "{lines:?}");
    let names: Vec<&str> =
        lines[4..].iter().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    let known = [
        "HOME",
        "LOGNAME",
        "OLDPWD",
        "PATH",
        "PWD",
        "SHLVL",
        "SKEP_NODE_ID",
        "SKEP_TASK_ID",
        "USER",
        "_",
    ];
    assert!(names.iter().all(|name| known.contains(name)), "{names:?}");
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert!(lines.iter().any(|line| line == path), "{lines:?}");
}

#[tokio::test]
async fn a_user_has_its_groups_and_names() {
    let groups = fs::read_to_string("/etc/group").unwrap();
    let member = groups.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let user = fields[3].split(',').find(|user| !user.is_empty() && *user != "root")?;
        Some((user.to_owned(), fields[2].to_owned()))
    });
    let Some((user, gid)) = member else {
        eprintln!("no user of this machine has a second group: not tried");
        return;
    };
    let spec = ContainerSpec { user: user.clone(), ..shell_spec("id -G; echo $USER $LOGNAME") };
    let lines = output(&ProcessNode::new(), &with(spec)).await;
    assert!(lines[0].split(' ').any(|group| group == gid), "{user} is in {gid}: {lines:?}");
    assert_eq!(lines[1], format!("{user} {user}"));
    let spec = ContainerSpec { user: format!("{user}:4242"), ..shell_spec("id -G") };
    assert_eq!(output(&ProcessNode::new(), &with(spec)).await, ["4242"]);
}

#[tokio::test]
async fn fast_starts_add_no_waiting() {
    let node = ProcessNode::new();
    let runtime = node.runtime();
    for place in 0..20 {
        let work = Workload { task_id: own_id(1000 + place), ..program_named("true", &[]) };
        begin(&runtime, &work).await;
        assert_eq!(soon(runtime.wait(&work)).await.unwrap().exit_code, Some(0));
        soon(runtime.remove(work.task_id)).await.unwrap();
    }
    assert_eq!(node.shims().len(), 0);
    assert_eq!(fs::read_dir(node.dir.path().join("tasks")).unwrap().count(), 0);
}

/// A FIFO that nobody writes to stands for a disk that hangs.
#[tokio::test]
async fn no_step_holds_the_agents_thread_while_the_disk_hangs() {
    let node = ProcessNode::new();
    let runtime = node.runtime();
    let work = shell("exec sleep 1000");
    let folder = node.folder(work.task_id);
    fs::create_dir_all(&folder).unwrap();
    let plan = folder.join("plan.json");
    nix::unistd::mkfifo(&plan, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let nothing = |_| {};
    let steps: [(&str, BoxFuture<'_, ()>); 6] = [
        ("list", Box::pin(async { drop(runtime.list(work.node_id).await) })),
        ("prepare", Box::pin(async { drop(runtime.prepare(&work, &nothing).await) })),
        ("start", Box::pin(async { drop(runtime.start(&work).await) })),
        ("ready", Box::pin(async { drop(runtime.ready(&work).await) })),
        ("wait", Box::pin(async { drop(runtime.wait(&work).await) })),
        ("remove", Box::pin(async { drop(runtime.remove(work.task_id).await) })),
    ];
    // The disk recovers when the test is over, or after a while if this thread hangs with it.
    let (over, until_over) = std::sync::mpsc::channel::<()>();
    let (hanging, whole) = (folder.join("hanging"), folder.join("whole"));
    fs::hard_link(&plan, &hanging).unwrap();
    fs::write(&whole, "no plan").unwrap();
    let disk = std::thread::spawn(move || {
        let _ = until_over.recv_timeout(Duration::from_secs(10));
        fs::rename(whole, plan).unwrap();
        let writer = fs::File::options().read(true).write(true).open(hanging);
        std::thread::sleep(Duration::from_millis(500));
        drop(writer);
    });
    for (name, step) in steps {
        let polled = tokio::time::timeout(Duration::from_millis(20), step).await;
        assert!(polled.is_err(), "{name} waited for the disk on the agent's thread");
        assert!(!disk.is_finished(), "{name} held the agent's thread");
    }
    drop(over);
    disk.join().unwrap();
}

#[tokio::test]
async fn a_large_environment_is_read_at_the_start_alone() {
    let node = ProcessNode::new();
    let runtime = node.runtime();
    let mut work = shell("echo ${#BIG}; exec sleep 1000");
    let mut spec = TaskSpec::clone(&work.spec);
    let Some(Kind::Container(container)) = &mut spec.runtime else { panic!("{spec:?}") };
    container.env.push(format!("BIG={}", "x".repeat(100_000)));
    work.spec = Arc::new(spec);
    begin(&runtime, &work).await;
    let size = |name: &str| fs::metadata(node.folder(work.task_id).join(name)).unwrap().len();
    assert!(size("program.json") > 100_000);
    assert!(size("plan.json") < 4096, "{}", size("plan.json"));
    let query = LogQuery { follow: true, ..LogQuery::default() };
    let mut lines = runtime.logs(work.task_id, query).await.unwrap();
    let line = soon(lines.next()).await.unwrap().unwrap().line().unwrap();
    assert_eq!(line.text, "100000");
    runtime.remove(work.task_id).await.unwrap();
}
