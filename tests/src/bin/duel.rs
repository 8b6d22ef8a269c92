//! Commands committed by us and by etcd, in turn: `duel [--members N] SKEP [PAIRS] [SECONDS]
//! [LOAD…]`. A Markdown table to stdout.
//!
//! A load is a number of clients, or `streams`, or `calls`: 256 clients whose calls ask nothing of
//! the log, which is what the door alone costs. Without any, all of them; one alone is for looking
//! at a profile.

#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

use anyhow::{Context, Result};
use skep_tests::duel::{Figures, etcd::Etcd, load, median, skep::Skep};
use std::{env, path::PathBuf, sync::Arc, time::Duration};

/// The load takes cores from the servers that it measures: with the C library's allocator a third
/// of its time went there, whichever server it asked.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Where the rival listens: loopback, a port that nothing else of ours uses.
const ETCD_PORT: u16 = 23_790;
/// Streams, and callers of transactions, at once.
const STREAMS: usize = 16;
/// What is run when nothing is named.
const LOADS: [&str; 5] = ["1", "256", "1024", "streams", "calls"];
/// Clients of the calls that ask nothing.
const CALLERS: usize = 256;

struct Duel {
    skep: Arc<Skep>,
    etcd: Arc<Etcd>,
    pairs: usize,
    time: Duration,
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments: Vec<String> = env::args().skip(1).collect();
    let mut members = 1;
    if let [flag, count, ..] = &arguments[..]
        && flag == "--members"
    {
        members = count.parse().context("--members N")?;
        arguments.drain(..2);
    }
    let program = PathBuf::from(
        arguments.first().context("usage: duel [--members N] SKEP [PAIRS] [SECONDS] [LOAD…]")?,
    );
    let number =
        |at: usize, default: u64| arguments.get(at).and_then(|w| w.parse().ok()).unwrap_or(default);
    let dir = env::temp_dir().join(format!("skep-duel-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let duel = Duel {
        skep: Arc::new(
            Skep::start_members(&program, &dir, &["--runtime", "process"], members).await?,
        ),
        etcd: Arc::new(Etcd::start(&dir, ETCD_PORT, members).await?),
        pairs: number(1, 5) as usize,
        time: Duration::from_secs(number(2, 3)),
    };
    println!(
        "| load | ours /s | etcd /s | ratio | ours p50 µs | etcd p50 µs | ratio | ours CPU µs | etcd CPU µs | ratio |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let mut loads: Vec<&str> = arguments.iter().skip(3).map(String::as_str).collect();
    if loads.is_empty() {
        loads.extend(LOADS);
    }
    for load in loads {
        match load {
            "streams" => {
                let pairs = duel.by_hundreds().await?;
                show(&format!("{STREAMS} streams of 100 in flight, transactions of 100"), &pairs);
            }
            "calls" => {
                show(&format!("{CALLERS} clients, a call that asks nothing"), &duel.calls().await?)
            }
            callers => {
                let callers =
                    callers.parse().context("a load is a number, `streams` or `calls`")?;
                duel.show_singly(callers).await?;
            }
        }
    }
    drop(duel);
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

impl Duel {
    async fn show_singly(&self, callers: usize) -> Result<()> {
        let syncs = self.skep.metric("skep_log_syncs_total").await?;
        let pairs = self.singly(callers).await?;
        show(&format!("{callers} clients, one command a call"), &pairs);
        let after = self.skep.metric("skep_log_syncs_total").await?;
        let commands: f64 = pairs.iter().map(|(ours, _)| ours.rate * self.time.as_secs_f64()).sum();
        println!(
            "<!-- syncs per command at {callers} clients: {:.4} -->",
            (after - syncs) / commands
        );
        Ok(())
    }

    async fn singly(&self, callers: usize) -> Result<Vec<(Figures, Figures)>> {
        let mut pairs = Vec::new();
        for _ in 0..self.pairs {
            let skep = self.skep.clone();
            let ours =
                load::run(&self.skep.server, callers, self.time, move |c, t| skep.update(c, t))
                    .await?;
            let etcd = self.etcd.clone();
            let theirs =
                load::run(&self.etcd.server, callers, self.time, move |c, t| etcd.put(c, t))
                    .await?;
            pairs.push((ours, theirs));
        }
        Ok(pairs)
    }

    async fn calls(&self) -> Result<Vec<(Figures, Figures)>> {
        let mut pairs = Vec::new();
        for _ in 0..self.pairs {
            let skep = self.skep.clone();
            let ours =
                load::run(&self.skep.server, CALLERS, self.time, move |c, _| skep.greet(c)).await?;
            let etcd = self.etcd.clone();
            let theirs =
                load::run(&self.etcd.server, CALLERS, self.time, move |c, _| etcd.look(c)).await?;
            pairs.push((ours, theirs));
        }
        Ok(pairs)
    }

    async fn by_hundreds(&self) -> Result<Vec<(Figures, Figures)>> {
        let mut pairs = Vec::new();
        for _ in 0..self.pairs {
            let (skep, time) = (self.skep.clone(), self.time);
            // One call is a whole stream: it lasts as long as the load does.
            let ours =
                load::run(&self.skep.server, STREAMS, Duration::from_millis(1), move |c, _| {
                    skep.stream(c, time)
                });
            let ours = ours.await?;
            let etcd = self.etcd.clone();
            let theirs =
                load::run(&self.etcd.server, STREAMS, self.time, move |c, t| etcd.hundred(c, t))
                    .await?;
            pairs.push((ours, theirs));
        }
        Ok(pairs)
    }
}

fn show(load: &str, pairs: &[(Figures, Figures)]) {
    let row = |of: fn(&Figures) -> f64, digits: usize| {
        let ours = median(pairs.iter().map(|(ours, _)| of(ours)).collect());
        let theirs = median(pairs.iter().map(|(_, theirs)| of(theirs)).collect());
        let ratio = median(pairs.iter().map(|(ours, theirs)| of(ours) / of(theirs)).collect());
        format!("{ours:.digits$} | {theirs:.digits$} | {ratio:.2}")
    };
    let (rate, p50, cpu) = (row(|f| f.rate, 0), row(|f| f.p50_us, 0), row(|f| f.cpu_us, 1));
    println!("| {load} | {rate} | {p50} | {cpu} |");
}
