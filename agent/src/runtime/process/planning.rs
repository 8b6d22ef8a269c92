//! From a container's spec to a process's plan: what can be honoured is settled, all else is
//! refused by name.
//!
//! IMAGE is the program: a path, or a name that is looked up in `PATH` (the spec's, or else the
//! default one). Its arguments are the spec's command and then its args: there is no image whose
//! entrypoint the command could replace, so `service create sleep 1000` and `--entrypoint 1000
//! sleep` mean the same. The environment is the spec's, with `PATH`, `HOME`, `USER` and `LOGNAME`
//! where the spec does not set them; nothing of the agent's own. The folder is `/` unless the spec
//! names one.

use super::{cgroup, notes, shim::launch};
use crate::runtime;
use nix::{sys::signal, unistd};
use skep_proto::{defaults, v1};
use std::{
    collections::BTreeMap,
    ffi::CString,
    path::{Path, PathBuf},
    str::FromStr,
};

/// A log file's size at which it is put aside; a task has two, so twice this is what it takes on
/// disk.
const LOG_FILE_BYTES_MAX: u64 = 4 << 20;
/// Where programs are looked for when the spec does not say: the same on every node, whatever the
/// agent's own environment is.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The plan of a workload, or why this node cannot run it.
pub(super) fn plan(
    workload: &runtime::Workload,
    hierarchy: Option<&cgroup::Hierarchy>,
) -> Result<notes::ProcessPlan, runtime::RuntimeError> {
    let spec = &workload.spec;
    let container =
        defaults::container(spec).ok_or_else(|| rejected("the task has no program to run"))?;
    if let Some(what) = beyond(spec, container, workload) {
        return Err(rejected(format!(
            "the process runtime cannot honour {what}; it needs a node with the docker runtime"
        )));
    }
    let (account, names) = account(container)?;
    let mut env: BTreeMap<String, String> = container
        .env
        .iter()
        .filter_map(|pair| {
            pair.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()))
        })
        .collect();
    env.entry("PATH".into()).or_insert_with(|| PATH.into());
    for (key, value) in names {
        env.entry(key.into()).or_insert(value);
    }
    let program = find_program(&container.image, &env["PATH"])?;
    let dir = PathBuf::from(if container.dir.is_empty() { "/" } else { &container.dir });
    if !dir.is_absolute() || !dir.is_dir() {
        return Err(rejected(format!(
            "there is no folder {} on this node to work in",
            dir.display()
        )));
    }
    Ok(notes::ProcessPlan {
        task: workload.task_id.to_string(),
        node: workload.node_id.to_string(),
        name: workload.name(),
        service: workload.service_id.to_string(),
        program,
        arg0: container.image.clone(),
        surroundings: notes::ProgramInput {
            args: container.command.iter().chain(&container.args).cloned().collect(),
            env,
        },
        dir,
        account,
        stop_signal: stop_signal(&container.stop_signal)?,
        groups: groups(workload, container, hierarchy)?,
        ulimits: ulimits(container)?,
        oom_score_adj: container.oom_score_adj,
        log_file_bytes_max: LOG_FILE_BYTES_MAX,
    })
}

fn rejected(message: impl Into<String>) -> runtime::RuntimeError {
    runtime::RuntimeError::Rejected(message.into())
}

/// The first thing asked for that needs more than a process.
fn beyond(
    spec: &v1::TaskSpec,
    container: &v1::ContainerSpec,
    workload: &runtime::Workload,
) -> Option<&'static str> {
    let network = spec.networks.iter().any(|network| network.target != "host");
    let dns = container.dns.as_ref().is_some_and(|dns| {
        !dns.nameservers.is_empty() || !dns.search.is_empty() || !dns.options.is_empty()
    });
    let health = container
        .health
        .as_ref()
        .is_some_and(|check| check.test.first().is_some_and(|word| word != "NONE"));
    let resources = spec.resources.as_ref();
    let swap = resources.is_some_and(|r| r.swap_bytes.is_some() || r.memory_swappiness.is_some());
    let published = !workload.ports.is_empty();
    let asked = [
        (!container.labels.is_empty(), "container labels"),
        (!container.hostname.is_empty(), "a hostname"),
        (container.privileges.as_ref().is_some_and(|p| *p != Default::default()), "privileges"),
        (container.init == Some(true), "an init process"),
        (container.tty, "a terminal"),
        (container.open_stdin, "an open standard input"),
        (container.read_only, "a read-only root"),
        (!container.mounts.is_empty(), "mounts"),
        (!container.secrets.is_empty(), "secrets"),
        (!container.configs.is_empty(), "configs"),
        (!container.hosts.is_empty(), "entries for the hosts file"),
        (dns, "name servers"),
        (health, "a health check"),
        (!container.sysctls.is_empty(), "sysctls"),
        (
            !container.capability_add.is_empty() || !container.capability_drop.is_empty(),
            "capabilities",
        ),
        (spec.log_driver.as_ref().is_some_and(|driver| !driver.name.is_empty()), "a log driver"),
        (swap, "swap settings"),
        (network, "networks other than the host's"),
        (published, "published ports"),
    ];
    asked.into_iter().find(|(asked, _)| *asked).map(|(_, what)| what)
}

/// The file of a program that is named by an absolute path or by its name alone.
fn find_program(image: &str, path: &str) -> Result<PathBuf, runtime::RuntimeError> {
    if image.is_empty() {
        return Err(rejected("the task names no program"));
    }
    let may_run =
        |file: &Path| file.is_file() && unistd::access(file, unistd::AccessFlags::X_OK).is_ok();
    if image.starts_with('/') {
        let file = PathBuf::from(image);
        return match (file.is_file(), may_run(&file)) {
            (_, true) => Ok(file),
            (true, false) => Err(rejected(format!("the file {image} is not executable"))),
            (false, false) => Err(rejected(format!("no such program {image:?} on this node"))),
        };
    }
    let found = (!image.contains('/')).then(|| {
        path.split(':')
            .map(|dir| Path::new(dir).join(image))
            .find(|file| file.is_absolute() && may_run(file))
    });
    found.flatten().ok_or_else(|| {
        rejected(format!(
            "no such program {image:?} on this node; the process runtime runs a program by its absolute path \
             or its name in PATH"
        ))
    })
}

/// Variables that say who the user is.
type UserVariables = Vec<(&'static str, String)>;

/// Whom to run as, and what its environment says of that user. Only root may change; anybody may
/// name themselves.
///
/// Groups are Docker's: a user alone has all groups that the node's database gives to it,
/// `USER:GROUP` only that group, and further ones are added to both.
fn account(
    container: &v1::ContainerSpec,
) -> Result<(Option<notes::Account>, UserVariables), runtime::RuntimeError> {
    let own = unistd::Uid::effective();
    let by_id = |uid: unistd::Uid| unistd::User::from_uid(uid).ok().flatten();
    if container.user.is_empty() && container.groups.is_empty() {
        return Ok((None, variables(by_id(own).as_ref())));
    }
    if !own.is_root() {
        return Err(rejected("the agent is not root and cannot run programs as another user"));
    }
    let (user, group) = match container.user.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (container.user.as_str(), None),
    };
    let known = match (user, user.parse::<u32>()) {
        ("", _) => by_id(own),
        (_, Ok(uid)) => by_id(unistd::Uid::from_raw(uid)),
        (name, Err(_)) => unistd::User::from_name(name).ok().flatten(),
    };
    let uid = match (&known, user.parse::<u32>()) {
        (Some(user), _) => user.uid.as_raw(),
        (None, Ok(uid)) => uid,
        (None, Err(_)) => return Err(rejected(format!("no user {user:?} on this node"))),
    };
    let (gid, mut groups) = match (group, &known) {
        (Some(group), _) => {
            let gid = group_id(group)?;
            (gid, vec![gid])
        }
        (None, Some(user)) => (user.gid.as_raw(), groups_of(user)?),
        (None, None) => {
            return Err(rejected(format!(
                "user {uid} is not in this node's user database, so its group is not known; write {uid}:GROUP"
            )));
        }
    };
    for group in &container.groups {
        let gid = group_id(group)?;
        if !groups.contains(&gid) {
            groups.push(gid);
        }
    }
    Ok((Some(notes::Account { uid, gid, groups }), variables(known.as_ref())))
}

/// All groups of a user, its main group first.
fn groups_of(user: &unistd::User) -> Result<Vec<u32>, runtime::RuntimeError> {
    let cannot = |error: &dyn std::fmt::Display| {
        rejected(format!("the groups of user {:?} cannot be read on this node: {error}", user.name))
    };
    let name = CString::new(user.name.as_str()).map_err(|error| cannot(&error))?;
    let groups = unistd::getgrouplist(&name, user.gid).map_err(|error| cannot(&error))?;
    Ok(groups.into_iter().map(unistd::Gid::as_raw).collect())
}

/// A user who is not in the database has no name, and lives in the root folder.
fn variables(user: Option<&unistd::User>) -> UserVariables {
    match user {
        Some(user) => vec![
            ("HOME", user.dir.to_string_lossy().into_owned()),
            ("USER", user.name.clone()),
            ("LOGNAME", user.name.clone()),
        ],
        None => vec![("HOME", "/".into())],
    }
}

fn group_id(group: &str) -> Result<u32, runtime::RuntimeError> {
    if let Ok(gid) = group.parse::<u32>() {
        return Ok(unistd::Gid::from_raw(gid).as_raw());
    }
    let found = unistd::Group::from_name(group).ok().flatten();
    found
        .map(|group| group.gid.as_raw())
        .ok_or_else(|| rejected(format!("no group {group:?} on this node")))
}

/// `SIGTERM`, `TERM` or `15`; empty is SIGTERM. Real-time signals are beyond us.
fn stop_signal(text: &str) -> Result<i32, runtime::RuntimeError> {
    let upper = text.to_ascii_uppercase();
    let found = match (text.parse::<i32>(), text) {
        (_, "") => Some(signal::Signal::SIGTERM),
        (Ok(number), _) => signal::Signal::try_from(number).ok(),
        (Err(_), _) if upper.starts_with("SIG") => signal::Signal::from_str(&upper).ok(),
        (Err(_), _) => signal::Signal::from_str(&format!("SIG{upper}")).ok(),
    };
    found
        .map(|signal| signal as i32)
        .ok_or_else(|| rejected(format!("no signal {text:?} to stop with")))
}

fn groups(
    workload: &runtime::Workload,
    container: &v1::ContainerSpec,
    hierarchy: Option<&cgroup::Hierarchy>,
) -> Result<Vec<notes::ControlGroup>, runtime::RuntimeError> {
    let limits = workload.spec.resources.as_ref().and_then(|resources| resources.limits.as_ref());
    let limits = cgroup::CgroupLimits {
        nano_cpus: limits.map_or(0, |limits| limits.nano_cpus),
        memory_bytes: limits.map_or(0, |limits| limits.memory_bytes),
        pids: container.pids_limit.max(0),
    };
    match hierarchy {
        Some(hierarchy) => Ok(hierarchy.groups(&workload.task_id.to_string(), limits)),
        None if limits == cgroup::CgroupLimits::default() => Ok(Vec::new()),
        None => Err(rejected(
            "this node may not make control groups, so it cannot limit what a task uses",
        )),
    }
}

fn ulimits(
    container: &v1::ContainerSpec,
) -> Result<Vec<notes::ProcessLimit>, runtime::RuntimeError> {
    let limits = container.ulimits.iter().map(|limit| {
        if launch::resource(&limit.name).is_none() {
            return Err(rejected(format!("no ulimit {:?}", limit.name)));
        }
        Ok(notes::ProcessLimit { name: limit.name.clone(), soft: limit.soft, hard: limit.hard })
    });
    limits.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_proto::v1::task_spec::Runtime;

    fn planned(container: v1::ContainerSpec) -> Result<notes::ProcessPlan, runtime::RuntimeError> {
        let spec = v1::TaskSpec {
            runtime: Some(Runtime::Container(container)),
            ..v1::TaskSpec::default()
        };
        plan(&runtime::Workload { spec: spec.into(), ..runtime::Workload::default() }, None)
    }

    fn sh() -> v1::ContainerSpec {
        v1::ContainerSpec { image: "sh".into(), ..v1::ContainerSpec::default() }
    }

    #[test]
    fn the_program_takes_command_and_args_and_an_environment_of_its_own() {
        let plan = planned(v1::ContainerSpec {
            command: vec!["-c".into()],
            args: vec!["exit 3".into(), "x".into()],
            env: vec!["A=1=2".into(), "ALONE".into()],
            ..sh()
        })
        .unwrap();
        assert!(plan.program.is_absolute() && plan.program.ends_with("sh"));
        assert_eq!(plan.surroundings.args, ["-c", "exit 3", "x"]);
        assert_eq!(plan.surroundings.env["A"], "1=2");
        assert_eq!(
            plan.surroundings.env.keys().collect::<Vec<_>>(),
            ["A", "HOME", "LOGNAME", "PATH", "USER"]
        );
        assert_eq!(plan.surroundings.env["PATH"], PATH, "nothing of the agent's own");
        assert_eq!(plan.stop_signal, 15);
    }

    #[test]
    fn what_is_not_there_is_rejected_by_name() {
        let message = |spec: v1::ContainerSpec| match planned(spec) {
            Err(runtime::RuntimeError::Rejected(message)) => message,
            other => panic!("{other:?}"),
        };
        assert!(
            message(v1::ContainerSpec { image: "nginx:1".into(), ..sh() })
                .starts_with("no such program \"nginx:1\"")
        );
        assert!(
            message(v1::ContainerSpec { image: "/no/such".into(), ..sh() })
                .contains("\"/no/such\"")
        );
        assert!(
            message(v1::ContainerSpec { image: "/etc/passwd".into(), ..sh() })
                .contains("not executable")
        );
        assert!(message(v1::ContainerSpec { dir: "/no/dir".into(), ..sh() }).contains("/no/dir"));
        assert!(
            message(v1::ContainerSpec { stop_signal: "SIGFOO".into(), ..sh() }).contains("SIGFOO")
        );
        assert!(message(v1::ContainerSpec { tty: true, ..sh() }).contains("a terminal"));
        assert!(message(v1::ContainerSpec { pids_limit: 5, ..sh() }).contains("control groups"));
    }

    #[test]
    fn what_needs_more_than_a_process_is_rejected_and_its_absence_is_not() {
        let message = |container: v1::ContainerSpec, other: v1::TaskSpec| {
            let runtime = Some(Runtime::Container(container));
            let spec = v1::TaskSpec { runtime, ..other }.into();
            match plan(&runtime::Workload { spec, ..runtime::Workload::default() }, None) {
                Err(runtime::RuntimeError::Rejected(message)) => message,
                Err(other) => panic!("{other:?}"),
                Ok(_) => String::new(),
            }
        };
        let check = |container: v1::ContainerSpec, expected: &str| {
            let message = message(container, v1::TaskSpec::default());
            assert!(message.contains(expected), "{expected}: {message}");
            assert_eq!(message.is_empty(), expected.is_empty(), "{message}");
        };
        let dns = |nameservers: &[&str], search: &[&str], options: &[&str]| {
            let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
            let (nameservers, search) = (list(nameservers), list(search));
            let dns = v1::DnsConfig { nameservers, search, options: list(options) };
            v1::ContainerSpec { dns: Some(dns), ..sh() }
        };
        check(dns(&[], &[], &[]), "");
        check(dns(&["10.0.0.1"], &[], &[]), "name servers");
        check(dns(&[], &["lan"], &[]), "name servers");
        check(dns(&[], &[], &["rotate"]), "name servers");
        let health = |word: &str| {
            let check = v1::HealthCheck { test: vec![word.into()], ..v1::HealthCheck::default() };
            v1::ContainerSpec { health: Some(check), ..sh() }
        };
        check(health("NONE"), "");
        check(health("CMD"), "a health check");
        let plain = v1::Privileges::default();
        let raised = v1::Privileges { no_new_privileges: true, ..plain.clone() };
        check(v1::ContainerSpec { privileges: Some(plain), ..sh() }, "");
        check(v1::ContainerSpec { privileges: Some(raised), ..sh() }, "privileges");
        check(v1::ContainerSpec { capability_add: vec!["A".into()], ..sh() }, "capabilities");
        check(v1::ContainerSpec { capability_drop: vec!["A".into()], ..sh() }, "capabilities");
        let limit = |name: &str| v1::Ulimit { name: name.into(), soft: 9, hard: 9 };
        check(v1::ContainerSpec { ulimits: vec![limit("nofile")], ..sh() }, "");
        check(v1::ContainerSpec { ulimits: vec![limit("nothing")], ..sh() }, "no ulimit");

        let network = |target: &str| v1::TaskSpec {
            networks: vec![v1::NetworkAttachment { target: target.into(), ..Default::default() }],
            ..v1::TaskSpec::default()
        };
        assert_eq!(message(sh(), network("host")), "");
        assert!(message(sh(), network("backend")).contains("networks other than the host's"));
        let log = |name: &str| v1::TaskSpec {
            log_driver: Some(v1::LogDriver { name: name.into(), ..Default::default() }),
            ..v1::TaskSpec::default()
        };
        assert_eq!(message(sh(), log("")), "");
        assert!(message(sh(), log("syslog")).contains("a log driver"));
        let swap = v1::ResourceRequirements { swap_bytes: Some(1), ..Default::default() };
        let swap = v1::TaskSpec { resources: Some(swap), ..v1::TaskSpec::default() };
        assert!(message(sh(), swap).contains("swap settings"));
    }

    #[test]
    fn further_groups_are_added_once() {
        if !unistd::Uid::effective().is_root() {
            return;
        }
        let groups = ["54321", "7", "7"].map(str::to_owned).to_vec();
        let user = v1::ContainerSpec { user: "12345:54321".into(), groups, ..sh() };
        let account = planned(user).unwrap().account;
        assert_eq!(account.map(|account| account.groups), Some(vec![54321, 7]));
    }

    #[test]
    fn a_spec_may_say_who_the_user_is() {
        let env = vec!["USER=me".into(), "HOME=/h".into(), "PATH=/bin:/usr/bin".into()];
        let plan = planned(v1::ContainerSpec { env, ..sh() }).unwrap();
        assert_eq!(
            (plan.surroundings.env["USER"].as_str(), plan.surroundings.env["HOME"].as_str()),
            ("me", "/h")
        );
        assert_eq!(plan.surroundings.env["PATH"], "/bin:/usr/bin");
    }

    #[test]
    fn a_user_without_an_entry_needs_a_group() {
        if !unistd::Uid::effective().is_root() {
            return;
        }
        match planned(v1::ContainerSpec { user: "12345".into(), ..sh() }) {
            Err(runtime::RuntimeError::Rejected(message)) => {
                assert!(message.contains("write 12345:GROUP"), "{message}")
            }
            other => panic!("{other:?}"),
        }
        let plan = planned(v1::ContainerSpec { user: "12345:54321".into(), ..sh() }).unwrap();
        assert_eq!(
            plan.account,
            Some(notes::Account { uid: 12345, gid: 54321, groups: vec![54321] })
        );
        assert_eq!(
            (plan.surroundings.env["HOME"].as_str(), plan.surroundings.env.get("USER")),
            ("/", None)
        );
    }

    #[test]
    fn a_signal_has_three_spellings() {
        for text in ["SIGUSR1", "usr1", "10"] {
            assert_eq!(stop_signal(text).unwrap(), 10, "{text}");
        }
    }
}
