//! The load: so many callers at once, for so long, each waiting for its answer before it asks
//! again.

use super::{Figures, server::Servers};
use anyhow::Result;
use std::{
    future::Future,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// What a call did.
#[derive(Default)]
pub struct LoadAnswer {
    operations: u64,
    /// How long each operation took, microseconds; empty where that is the call's own time.
    each_us: Vec<u32>,
}

impl LoadAnswer {
    /// So many operations that were asked together and answered together.
    pub fn together(operations: u64) -> LoadAnswer {
        LoadAnswer { operations, each_us: Vec::new() }
    }

    /// So many more operations that took so long each.
    pub fn add(&mut self, operations: usize, took: Duration) {
        self.operations += operations as u64;
        self.each_us.extend(std::iter::repeat_n(took.as_micros() as u32, operations));
    }
}

/// Runs `callers` at once for `time`; each calls again as soon as it is answered.
pub async fn run<C, F>(server: &Servers, callers: usize, time: Duration, call: C) -> Result<Figures>
where
    C: Fn(usize, u64) -> F + Clone + Send + 'static,
    F: Future<Output = Result<LoadAnswer>> + Send,
{
    let cpu = server.cpu()?;
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let call = call.clone();
        tasks.spawn(async move {
            let (mut operations, mut times) = (0, Vec::new());
            for turn in 0.. {
                let asked = Instant::now();
                if asked.duration_since(begun) >= time {
                    break;
                }
                let answered = call(caller, turn).await?;
                operations += answered.operations;
                if answered.each_us.is_empty() {
                    times.push(asked.elapsed().as_micros() as u32);
                }
                times.extend(answered.each_us);
            }
            Ok::<_, anyhow::Error>((operations, times))
        });
    }
    let (mut operations, mut times) = (0, Vec::new());
    while let Some(done) = tasks.join_next().await {
        let (more, took) = done??;
        operations += more;
        times.extend(took);
    }
    let took = begun.elapsed().as_secs_f64();
    let cpu = (server.cpu()? - cpu).as_secs_f64();
    times.sort_unstable();
    let at = |share: f64| {
        times.get((times.len() as f64 * share) as usize).map_or(0.0, |us| f64::from(*us))
    };
    Ok(Figures {
        rate: operations as f64 / took,
        p50_us: at(0.50),
        p99_us: at(0.99),
        cpu_us: cpu * 1e6 / operations.max(1) as f64,
    })
}
