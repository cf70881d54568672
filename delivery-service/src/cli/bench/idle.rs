//! Benchmark: memory of idle streams.

use super::{
    Scale,
    caller::{self, BenchCaller},
    figures::{BenchReport, Figure},
    material, progress,
    server::BenchServer,
};

/// The total number of streams.
const STREAMS: usize = 10_000;
/// The number of streams of each device.
const EACH: usize = 100;

pub(super) async fn measure(server: &BenchServer, scale: Scale, report: &mut BenchReport) -> anyhow::Result<()> {
    let http = caller::http()?;
    let streams = scale.of(STREAMS);
    let mut callers = Vec::new();
    for number in 0..streams.div_ceil(EACH) {
        let name = material::name(&format!("idle{number}"))?;
        callers.push(BenchCaller::register(&http, &server.address, &name).await?);
    }
    let before = server.memory()?;
    let mut open = Vec::new();
    for caller in callers.iter().cycle().take(streams) {
        if open.len() % 100 == 0 {
            progress(&format!("{} idle streams", open.len()));
        }
        open.push(caller.stream().await?);
    }
    let memory = server.memory()?;
    let each = (memory.saturating_sub(before)) as f64 / streams as f64 / 1024.0;
    let note = format!("{streams} streams; the server has {} MiB, and had {}", memory >> 20, before >> 20);
    report.add(Figure::new("memory of an idle stream", each, "KiB").noting(note));
    drop(open);
    Ok(())
}
