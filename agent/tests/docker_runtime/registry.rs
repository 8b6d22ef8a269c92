//! A registry of one image, beside an engine in its network namespace: files that a small web server hands out.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Ends with the test.
pub struct Registry {
    server: Child,
    address: String,
    _files: tempfile::TempDir,
}

impl Registry {
    /// Serves the image `hello:v.man` at a port of the namespace's own `localhost`, which engines trust without TLS.
    pub fn start(engine_host: &str, port: u16) -> Registry {
        let files = tempfile::tempdir().unwrap();
        lay_out(files.path());
        let engine = Path::new(engine_host.strip_prefix("unix://").unwrap()).parent().unwrap().to_owned();
        let address = format!("127.0.0.1:{port}");
        let server = Command::new("nsenter")
            .arg(format!("--net={}", engine.join("netns").display()))
            .args(["/bin/busybox", "httpd", "-f", "-p", &address, "-c"])
            .arg(files.path().join("httpd.conf"))
            .arg("-h")
            .arg(files.path())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Registry { server, address, _files: files }
    }

    pub fn image(&self, tag: &str) -> String {
        format!("{}/hello:{tag}", self.address)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn lay_out(root: &Path) {
    let image = root.join("v2/hello");
    fs::create_dir_all(image.join("blobs")).unwrap();
    fs::create_dir_all(image.join("manifests")).unwrap();
    fs::write(root.join("v2/index.html"), "{}").unwrap();
    let manifest_type = "application/vnd.docker.distribution.manifest.v2+json";
    fs::write(root.join("httpd.conf"), format!(".man:{manifest_type}\n")).unwrap();
    let tree = root.join("tree");
    fs::create_dir_all(tree.join("bin")).unwrap();
    fs::copy("/bin/busybox", tree.join("bin/busybox")).unwrap();
    std::os::unix::fs::symlink("busybox", tree.join("bin/sh")).unwrap();
    let tar = root.join("layer.tar");
    run("tar", &["-C", tree.to_str().unwrap(), "-cf", tar.to_str().unwrap(), "."]);
    let layer_digest = sha256(&tar);
    run("gzip", &["-n", tar.to_str().unwrap()]);
    let (layer, layer_bytes) = store(&image, &root.join("layer.tar.gz"));
    let config = root.join("config");
    let about = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh", "-c", "echo hello"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [layer_digest]}, "history": [{"created_by": "a test"}],
    });
    fs::write(&config, about.to_string()).unwrap();
    let (config, config_bytes) = store(&image, &config);
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": manifest_type,
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json", "size": config_bytes, "digest": config
        },
        "layers": [{
            "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": layer_bytes, "digest": layer
        }],
    });
    fs::write(image.join("manifests/v.man"), manifest.to_string()).unwrap();
}

/// Puts a file where blobs are asked for; its digest and size.
fn store(image: &Path, file: &PathBuf) -> (String, u64) {
    let digest = sha256(file);
    fs::copy(file, image.join("blobs").join(&digest)).unwrap();
    (digest, fs::metadata(file).unwrap().len())
}

fn sha256(file: &Path) -> String {
    let done = Command::new("sha256sum").arg(file).output().unwrap();
    format!("sha256:{}", String::from_utf8(done.stdout).unwrap().split(' ').next().unwrap())
}

fn run(program: &str, args: &[&str]) {
    assert!(Command::new(program).args(args).status().unwrap().success(), "{program} {args:?}");
}
