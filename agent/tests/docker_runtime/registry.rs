//! A registry of one image, beside an engine in its network namespace: a few files behind a very
//! small web server.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// What is handed out at each path.
type RegistryFiles = BTreeMap<String, (&'static str, Vec<u8>)>;

/// Ends when it is dropped.
pub(crate) struct Registry {
    address: String,
    over: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
}

impl Registry {
    /// Serves the image `hello:1` at a port of the namespace's own `localhost`, which engines trust
    /// without TLS.
    pub(crate) fn start(engine_host: &str, port: u16) -> Registry {
        let engine =
            Path::new(engine_host.strip_prefix("unix://").unwrap()).parent().unwrap().to_owned();
        let address = format!("127.0.0.1:{port}");
        let over = Arc::new(AtomicBool::new(false));
        let (seen, at) = (Arc::clone(&over), address.clone());
        let (ready, listening) = std::sync::mpsc::channel();
        let server = thread::spawn(move || {
            // Only this thread enters the namespace: its sockets are there, the test's are not.
            let namespace = File::open(engine.join("netns")).unwrap();
            nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            let listener = TcpListener::bind(at).unwrap();
            listener.set_nonblocking(true).unwrap();
            let files = Arc::new(image());
            ready.send(()).unwrap();
            while !seen.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => {
                        let files = Arc::clone(&files);
                        thread::spawn(move || answer(&stream, &files));
                    }
                    Err(_) => thread::sleep(Duration::from_millis(5)),
                }
            }
        });
        listening.recv().unwrap();
        Registry { address, over, server: Some(server) }
    }

    pub(crate) fn image(&self, tag: &str) -> String {
        format!("{}/hello:{tag}", self.address)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

/// One request a connection.
fn answer(mut stream: &TcpStream, files: &RegistryFiles) {
    stream.set_nonblocking(false).unwrap();
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().unwrap().unwrap();
    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
    let mut tokens = first.split(' ');
    let (method, path) = (tokens.next().unwrap(), tokens.next().unwrap());
    let unknown =
        br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"no image of that name lives here"}]}"#;
    let (status, kind, body) = match files.get(path) {
        Some((kind, body)) => ("200 OK", *kind, body.as_slice()),
        None => ("404 Not FoundTask", "application/json", &unknown[..]),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes());
    if method != "HEAD" {
        let _ = stream.write_all(body);
    }
}

/// An image of the static busybox that says `hello`.
fn image() -> RegistryFiles {
    let root = tempfile::tempdir().unwrap();
    let tree = root.path().join("tree");
    fs::create_dir_all(tree.join("bin")).unwrap();
    fs::copy("/bin/busybox", tree.join("bin/busybox")).unwrap();
    std::os::unix::fs::symlink("busybox", tree.join("bin/sh")).unwrap();
    let tar = root.path().join("layer.tar");
    run("tar", &["-C", tree.to_str().unwrap(), "-cf", tar.to_str().unwrap(), "."]);
    let unpacked = sha256(&tar);
    run("gzip", &["-n", tar.to_str().unwrap()]);
    let layer = root.path().join("layer.tar.gz");
    let about = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh", "-c", "echo hello"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [unpacked]}, "history": [{"created_by": "a test"}],
    });
    let config = root.path().join("config");
    fs::write(&config, about.to_string()).unwrap();
    let size = |file: &Path| fs::metadata(file).unwrap().len();
    let about = serde_json::json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "size": size(&config), "digest": sha256(&config),
        },
        "layers": [{
            "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
            "size": size(&layer), "digest": sha256(&layer),
        }],
    });
    let manifest = root.path().join("manifest");
    fs::write(&manifest, about.to_string()).unwrap();
    let blob = |file: &Path| ("application/octet-stream", fs::read(file).unwrap());
    BTreeMap::from([
        ("/v2/".to_owned(), ("application/json", b"{}".to_vec())),
        ("/v2/hello/manifests/1".to_owned(), (MANIFEST, fs::read(&manifest).unwrap())),
        (
            format!("/v2/hello/manifests/{}", sha256(&manifest)),
            (MANIFEST, fs::read(&manifest).unwrap()),
        ),
        (format!("/v2/hello/blobs/{}", sha256(&config)), blob(&config)),
        (format!("/v2/hello/blobs/{}", sha256(&layer)), blob(&layer)),
    ])
}

fn sha256(file: &Path) -> String {
    let done = Command::new("sha256sum").arg(file).output().unwrap();
    format!("sha256:{}", String::from_utf8(done.stdout).unwrap().split(' ').next().unwrap())
}

fn run(program: &str, args: &[&str]) {
    assert!(Command::new(program).args(args).status().unwrap().success(), "{program} {args:?}");
}
