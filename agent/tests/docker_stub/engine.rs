//! An engine that answers as it is told to: a very small web server behind a socket.

use serde::Serialize;
use serde_json::json;
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// How a path is answered.
#[derive(Clone)]
pub(crate) enum StubAnswer {
    /// With this text, and 200.
    Body(String),
    /// With this status and error message.
    Status(u16, String),
    /// With this text, and 200, after so long.
    After(Duration, String),
    /// Not at all, until everybody is hung up on.
    Nothing,
}

impl StubAnswer {
    pub(crate) fn json(value: &impl Serialize) -> StubAnswer {
        StubAnswer::Body(serde_json::to_string(value).unwrap())
    }
}

#[derive(Default)]
struct StubState {
    answers: BTreeMap<String, StubAnswer>,
    /// How often each path was asked for.
    asked: BTreeMap<String, u64>,
    /// Counts hang-ups.
    hung_up: u64,
}

/// The engine; it lives until the test's process ends.
pub(crate) struct Stub {
    dir: tempfile::TempDir,
    shared: Arc<(Mutex<StubState>, Condvar)>,
}

impl Stub {
    pub(crate) fn start() -> Stub {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("docker.sock")).unwrap();
        let shared = Arc::new((Mutex::<StubState>::default(), Condvar::new()));
        let stub = Stub { dir, shared: Arc::clone(&shared) };
        stub.speak("1.41");
        stub.answer("/_ping", StubAnswer::Body("OK".into()));
        stub.answer("/info", StubAnswer::json(&json!({ "NCPU": 1, "MemTotal": 1024 })));
        stub.answer("/networks/bridge", StubAnswer::Status(404, "no such network".into()));
        stub.answer("/containers/json", StubAnswer::Body("[]".into()));
        stub.answer("/events", StubAnswer::Nothing);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                thread::spawn(move || serve(stream, &shared));
            }
        });
        stub
    }

    pub(crate) fn host(&self) -> String {
        format!("unix://{}/docker.sock", self.dir.path().display())
    }

    /// From now on the path is answered so.
    pub(crate) fn answer(&self, path: &str, answer: StubAnswer) {
        self.lock().answers.insert(path.to_owned(), answer);
    }

    /// The newest version of the API that it speaks.
    pub(crate) fn speak(&self, version: &str) {
        let about = json!({ "ApiVersion": version, "Version": "stub" });
        self.answer("/version", StubAnswer::json(&about));
    }

    /// Breaks all connections off that wait for an answer.
    pub(crate) fn hang_up(&self) {
        self.lock().hung_up += 1;
        self.shared.1.notify_all();
    }

    /// How often the path was asked for.
    pub(crate) fn times_asked(&self, path: &str) -> u64 {
        self.lock().asked.get(path).copied().unwrap_or(0)
    }

    fn lock(&self) -> MutexGuard<'_, StubState> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(mut stream: UnixStream, shared: &(Mutex<StubState>, Condvar)) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(target) = request(&mut reader) {
        let path = target.split('?').next().unwrap_or_default();
        // With a version before it or without.
        let path = match path.strip_prefix("/v").and_then(|rest| rest.split_once('/')) {
            Some((_, rest)) => format!("/{rest}"),
            None => path.to_owned(),
        };
        let mut state = shared.0.lock().unwrap();
        *state.asked.entry(path.clone()).or_default() += 1;
        let unknown = StubAnswer::Status(404, format!("no such path: {path}"));
        let answer = state.answers.get(&path).cloned().unwrap_or(unknown);
        let hung_up = state.hung_up;
        let (status, body) = match answer {
            StubAnswer::Body(body) => (200, body),
            StubAnswer::After(delay, body) => {
                drop(state);
                thread::sleep(delay);
                state = shared.0.lock().unwrap();
                (200, body)
            }
            StubAnswer::Status(status, message) => {
                (status, json!({ "message": message }).to_string())
            }
            StubAnswer::Nothing => {
                drop(shared.1.wait_while(state, |state| state.hung_up == hung_up).unwrap());
                return;
            }
        };
        drop(state);
        let head = format!(
            "HTTP/1.1 {status} so\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        if stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(body.as_bytes()))
            .is_err()
        {
            return;
        }
    }
}

/// Reads one request; gives back what it asks for.
fn request(reader: &mut BufReader<UnixStream>) -> Option<String> {
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|length| *length > 0)?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    first.split_whitespace().nth(1).map(str::to_owned)
}
