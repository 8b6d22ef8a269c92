//! The load: so many callers at once, for so long, each waiting for its answer before it asks
//! again.

use super::{Figures, server::Server};
use anyhow::Result;
use std::{
    future::Future,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// Runs `callers` at once for `time`. Each call answers how many operations it was; its time counts
/// for each of them.
pub async fn run<C, F>(server: &Server, callers: usize, time: Duration, call: C) -> Result<Figures>
where
    C: Fn(usize, u64) -> F + Clone + Send + 'static,
    F: Future<Output = Result<u64>> + Send,
{
    let cpu = server.cpu()?;
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let call = call.clone();
        tasks.spawn(async move {
            let mut times: Vec<(u32, u64)> = Vec::new();
            for turn in 0.. {
                let asked = Instant::now();
                if asked.duration_since(begun) >= time {
                    break;
                }
                let operations = call(caller, turn).await?;
                times.push((asked.elapsed().as_micros() as u32, operations));
            }
            Ok::<_, anyhow::Error>(times)
        });
    }
    let mut times = Vec::new();
    while let Some(done) = tasks.join_next().await {
        times.extend(done??);
    }
    let took = begun.elapsed().as_secs_f64();
    let cpu = (server.cpu()? - cpu).as_secs_f64();
    let operations: u64 = times.iter().map(|(_, operations)| operations).sum();
    times.sort_unstable();
    let at = |share: f64| {
        times.get((times.len() as f64 * share) as usize).map_or(0.0, |(us, _)| f64::from(*us))
    };
    Ok(Figures {
        rate: operations as f64 / took,
        p50_us: at(0.50),
        p99_us: at(0.99),
        cpu_us: cpu * 1e6 / operations.max(1) as f64,
    })
}
