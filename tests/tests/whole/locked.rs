//! Locked managers: what their disks show, and what they wait for.

use super::managers::{SeveralManagers, says};
use std::{fs, path::Path, process::Command};

/// Names of the files below a folder whose bytes hold one of these texts.
fn files_with(folder: &Path, texts: &[&str]) -> String {
    let patterns = texts.iter().flat_map(|text| ["-e", text]);
    let mut search = Command::new("grep");
    let found = search.arg("-rlaF").args(patterns).arg(folder).output().unwrap();
    String::from_utf8(found.stdout).unwrap()
}

#[test]
fn a_manager_of_a_locked_cluster_waits_for_its_key_and_its_disk_shows_no_secret() {
    let cluster = SeveralManagers::found();
    let mut others = cluster.with_two_more();
    let [one, two] = [cluster.stage.client(), others[0].client()];
    let secret = "a-secret-that-nobody-may-read";
    let given = format!("PASSWORD={secret}");
    says(&one, &["service", "create", "-q", "--name", "web", "--env", &given, "/bin/sleep", "600"]);
    let locked = says(&two, &["cluster", "update", "--autolock"]);
    let key = says(&one, &["cluster", "unlock-key", "-q"]).trim().to_owned();
    assert!(key.starts_with("SWMKEY-1-") && locked.contains(&key), "{locked}");
    let state = others[0].state().to_owned();
    let secrets = ["PRIVATE KEY", "skep data keys", &key];
    cluster.stage.wait("its keys are sealed", || files_with(&state, &secrets).is_empty());
    assert_eq!(files_with(&state.join("log"), &[secret]), "");
    let authority = state.join("certificates/swarm-root-ca.key");
    let sealed = fs::read(&authority).unwrap();
    others[0].kill();
    others[0].start(&[]);
    let waits = "this node is a manager of a locked cluster";
    cluster.stage.wait("it is locked", || two.runs(&["node", "ls"]).2.contains(waits));
    let (_, status, _) = two.runs(&["node", "status"]);
    assert!(status.contains("locked: a manager that waits for its unlock key"), "{status}");
    let file = state.with_extension("key");
    let unlock = ["cluster", "unlock", "--unlock-key-file", file.to_str().unwrap()];
    fs::write(&file, "SWMKEY-1-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").unwrap();
    let (code, _, refused) = two.runs(&unlock);
    assert_ne!(code, 0, "{refused}");
    assert!(refused.contains("the key is not the one that it was locked with"), "{refused}");
    fs::write(&file, &key).unwrap();
    says(&two, &unlock);
    cluster.until_managers(&two, 3);
    says(&two, &["service", "scale", "-q", "--detach", "web=2"]);
    assert_eq!(fs::read(&authority).unwrap(), sealed, "a manager that was behind changed nothing");
    says(&one, &["cluster", "update", "--autolock=false"]);
    let in_the_clear = || !files_with(&state, &["PRIVATE KEY"]).is_empty();
    cluster.stage.wait("it needs no key any more", in_the_clear);
    says(&one, &["service", "rm", "web"]);
}
