//! What is written is read back, only the owner may read it, and what does not belong together is
//! told with the paths.

use super::*;
use crate::fixture::{NOW, TestCluster, member};
use skep_proto::v1::NodeRole;
use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
};

fn folder() -> (tempfile::TempDir, CertificateFolder) {
    let outer = tempfile::tempdir().unwrap();
    let folder = CertificateFolder::new(outer.path().join("deep/certificates"));
    (outer, folder)
}

fn write_node(folder: &CertificateFolder, member: &TestCluster) -> NodeKey {
    let (key, certificate) = member.issue(5, NodeRole::Worker, NOW);
    folder.write_key(&key).unwrap();
    folder.write_certificate(&certificate, member.authority.root()).unwrap();
    key
}

fn text(error: FolderError, folder: &CertificateFolder) -> String {
    error.to_string().replace(&format!("{}/", folder.path.display()), "")
}

#[test]
fn an_empty_folder_has_nothing() {
    let (_outer, folder) = folder();
    assert!(folder.read_authority().unwrap().is_none());
    assert!(folder.read_node().unwrap().is_none());
}

#[test]
fn an_authority_is_read_back() {
    let (_outer, folder) = folder();
    let authority = member().authority;
    folder.write_authority(&authority).unwrap();
    let read = folder.read_authority().unwrap().unwrap();
    assert_eq!(read.root(), authority.root());
    assert_eq!(*read.key_pem(), *authority.key_pem());
}

#[test]
fn a_node_is_read_back_before_and_after_its_certificate() {
    let (_outer, folder) = folder();
    let member = member();
    let (key, certificate) = member.issue(5, NodeRole::Worker, NOW);
    folder.write_key(&key).unwrap();
    let bare = folder.read_node().unwrap().unwrap();
    assert_eq!((bare.key.digest(), bare.issued), (key.digest(), None));
    folder.write_certificate(&certificate, member.authority.root()).unwrap();
    let whole = folder.read_node().unwrap().unwrap();
    let issued = whole.issued.unwrap();
    assert_eq!(issued.certificate, certificate);
    assert_eq!(issued.read, NodeCertificate::read(&certificate).unwrap());
    assert_eq!(&issued.root, member.authority.root());
    assert!(folder.read_authority().unwrap().is_none(), "a worker has the root without its key");
}

#[test]
fn only_the_owner_may_read() {
    let (_outer, folder) = folder();
    // What a crash left behind may have had other permissions.
    fs::create_dir_all(&folder.path).unwrap();
    let left = folder.path.join("swarm-node.key.new");
    fs::write(&left, "half").unwrap();
    fs::set_permissions(&left, Permissions::from_mode(0o644)).unwrap();
    let member = member();
    folder.write_authority(&member.authority).unwrap();
    write_node(&folder, &member);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder.path), 0o700);
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir(&folder.path).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        names.push(path.file_name().unwrap().to_string_lossy().into_owned());
    }
    names.sort();
    let all = ["swarm-node.crt", "swarm-node.key", "swarm-root-ca.crt", "swarm-root-ca.key"];
    assert_eq!(names, all);
}

#[test]
fn what_does_not_belong_together_is_told() {
    let (_outer, folder) = folder();
    let member = member();
    folder.write_authority(&member.authority).unwrap();
    write_node(&folder, &member);
    folder.write_key(&NodeKey::generate().unwrap()).unwrap();
    assert_eq!(
        text(folder.read_node().unwrap_err(), &folder),
        "swarm-node.key: this key does not belong to the certificate swarm-node.crt"
    );
    let other = crate::fixture::member().authority;
    folder.write(ROOT_FILE, other.root().pem()).unwrap();
    assert_eq!(
        text(folder.read_authority().unwrap_err(), &folder),
        "swarm-root-ca.key: this key does not belong to the certificate swarm-root-ca.crt"
    );
}

#[test]
fn what_is_missing_is_told() {
    let (_outer, folder) = folder();
    let member = member();
    folder.write_authority(&member.authority).unwrap();
    write_node(&folder, &member);
    fs::remove_file(folder.path.join(ROOT_FILE)).unwrap();
    let missing = "swarm-root-ca.crt: missing, although ";
    let error = text(folder.read_authority().unwrap_err(), &folder);
    assert_eq!(error, format!("{missing}swarm-root-ca.key is there"));
    let error = text(folder.read_node().unwrap_err(), &folder);
    assert_eq!(error, format!("{missing}swarm-node.crt is there"));
    fs::remove_file(folder.path.join(NODE_KEY_FILE)).unwrap();
    let error = text(folder.read_node().unwrap_err(), &folder);
    assert_eq!(error, "swarm-node.key: missing, although swarm-node.crt is there");
}

#[test]
fn damage_is_told_with_the_file() {
    let (_outer, folder) = folder();
    let member = member();
    folder.write_authority(&member.authority).unwrap();
    write_node(&folder, &member);
    let with = |name: &str, content: &str| {
        let path = folder.path.join(name);
        let before = fs::read(&path).unwrap();
        fs::write(&path, content).unwrap();
        let error = match name {
            ROOT_KEY_FILE => folder.read_authority().unwrap_err(),
            _ => folder.read_node().unwrap_err(),
        };
        fs::write(&path, before).unwrap();
        text(error, &folder)
    };
    for name in [ROOT_FILE, ROOT_KEY_FILE, NODE_FILE, NODE_KEY_FILE] {
        let told = with(name, "nothing");
        assert!(told.starts_with(&format!("{name}: damaged (")), "{told}");
    }
    assert_eq!(with(NODE_FILE, &"x".repeat(70_000)), "swarm-node.crt: damaged (over 65536 bytes)");
    assert_eq!(
        with(NODE_FILE, member.authority.root().pem()),
        "swarm-node.crt: damaged (the certificate's field CN is not an id)"
    );
    assert!(folder.read_node().unwrap().unwrap().issued.is_some(), "all is as before");
}

#[test]
fn a_file_system_that_refuses_is_told() {
    let (outer, _) = folder();
    fs::write(outer.path().join("file"), "").unwrap();
    let folder = CertificateFolder::new(outer.path().join("file/below"));
    let error = folder.write_key(&NodeKey::generate().unwrap()).unwrap_err();
    assert!(matches!(error, FolderError::Io { .. }), "{error}");
    assert!(folder.read_node().is_err());
}
