//! How fast the log commits: clients in this process, each waiting for its entry before it sends
//! the next.
//!
//! `commit_bench [CLIENTS] [SECONDS] [RECORD_BYTES] [DIR]`, by default 1 client, 3 seconds, 256
//! bytes, the temporary folder. The folder must lie on a real disk for the syncs to mean anything.
//! A bare append with fdatasync is measured first, in the same folder, as the floor.

#![allow(clippy::unwrap_used, reason = "what goes wrong here shall stop it")]
#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

use skep_log::{Config, Draft, Entry, Fold, Frozen, Halt, Hash, Log, Proposal, RestoreError, seal};
use skep_proto::{FEATURE_LEVEL, Id, Lineage, Position, Revision, Timestamp, v1};
use std::{
    env,
    error::Error,
    fs::File,
    io::Write,
    path::Path,
    process,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Counts, and holds nothing.
struct Count(u64);

impl Fold for Count {
    fn apply(&mut self, entry: &Arc<Entry>) -> Result<(), Halt> {
        self.0 = entry.last().0;
        Ok(())
    }

    fn announce(&mut self) {}

    fn freeze(&self) -> Frozen {
        let count = self.0;
        Box::new(move || count.to_be_bytes().to_vec())
    }

    fn restore(&mut self, position: Position, _: Hash, _: &[u8]) -> Result<(), RestoreError> {
        self.0 = position.revision.0;
        Ok(())
    }
}

/// Where the next entry goes.
struct NextEntry {
    parent: Hash,
    revision: u64,
}

fn propose(log: &Log, next: &Mutex<NextEntry>, record: &v1::Record) -> Proposal {
    let mut next = next.lock().unwrap_or_else(PoisonError::into_inner);
    let sealed = seal(&Draft {
        parent: next.parent,
        incarnation: 1,
        first_revision: Revision(next.revision),
        at: Timestamp(next.revision),
        feature_level: FEATURE_LEVEL,
        lineage: Lineage::NONE,
        made_from: None,
        code_version: "bench".into(),
        records: std::iter::once(record.clone()).collect(),
    });
    (next.parent, next.revision) = (sealed.hash, next.revision + 1);
    log.propose(sealed)
}

/// The median of a bare append of so many bytes, in microseconds.
fn floor_us(dir: &Path, bytes: usize) -> Result<u128, Box<dyn Error>> {
    let path = dir.join("floor");
    let mut file = File::create(&path)?;
    let mut times = Vec::new();
    let end = Instant::now() + Duration::from_millis(500);
    while Instant::now() < end {
        let start = Instant::now();
        file.write_all(&vec![0x5a; bytes])?;
        file.sync_data()?;
        times.push(start.elapsed().as_micros());
    }
    std::fs::remove_file(path)?;
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let number = |at: usize, usual: usize| args.get(at).map_or(Ok(usual), |text| text.parse());
    let (clients, seconds, bytes) = (number(0, 1)?, number(1, 3)?, number(2, 256)?);
    let base = args.get(3).map_or_else(env::temp_dir, Into::into);
    let dir = base.join(format!("commit-bench-{}", process::id()));
    std::fs::create_dir_all(&dir)?;
    let floor = floor_us(&dir, bytes)?;
    let run = tokio::runtime::Runtime::new()?.block_on(run(&dir, clients, seconds, bytes));
    std::fs::remove_dir_all(&dir)?;
    let Run { mut times, elapsed, syncs, opened } = run?;
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_micros();
    let rate = times.len() as f64 / elapsed.as_secs_f64();
    #[allow(clippy::print_stdout, reason = "what the bench is for")]
    {
        println!(
            "clients {clients}: {rate:.0} commits/s, p50 {} us, p99 {} us, {syncs} syncs ({:.1} commits each), bare \
             fdatasync p50 {floor} us, opened in {} ms",
            at(0.5),
            at(0.99),
            times.len() as f64 / syncs as f64,
            opened.as_millis(),
        );
    }
    Ok(())
}

struct Run {
    times: Vec<Duration>,
    elapsed: Duration,
    syncs: u64,
    opened: Duration,
}

async fn run(
    dir: &Path,
    clients: usize,
    seconds: usize,
    bytes: usize,
) -> Result<Run, Box<dyn Error>> {
    let start = Instant::now();
    let log = Log::open(Config { min_free: 0.0, ..Config::new(dir.join("log"), Id(1)) }, Count(0))
        .await?;
    let opened = start.elapsed();
    let next = Arc::new(Mutex::new(NextEntry { parent: Hash::ZERO, revision: 1 }));
    let record = Arc::new(v1::Record { reason: "x".repeat(bytes), ..Default::default() });
    let before = log.counters();
    let start = Instant::now();
    let end = start + Duration::from_secs(seconds as u64);
    let clients: Vec<_> = (0..clients)
        .map(|_| {
            let (log, next, record) = (log.clone(), next.clone(), record.clone());
            tokio::spawn(async move {
                let mut times = Vec::new();
                while Instant::now() < end {
                    let start = Instant::now();
                    propose(&log, &next, &record).await?;
                    times.push(start.elapsed());
                }
                Ok::<_, skep_log::ProposeError>(times)
            })
        })
        .collect();
    let mut times = Vec::new();
    for client in clients {
        times.extend(client.await??);
    }
    let elapsed = start.elapsed();
    let syncs = log.counters().syncs - before.syncs;
    log.close().await;
    Ok(Run { times, elapsed, syncs, opened })
}
