//! Benchmark: one member sends messages, and each of the others reads them from its stream.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, future::try_join_all};
use regrow_delivery_service::{GroupId, HandshakeMode, api::MessageRequest};

use super::{
    Scale,
    caller::{self, BenchCaller, encoded},
    figures::{BenchReport, Figure},
    material, progress,
    server::BenchServer,
};

/// The total number of deliveries.
const DELIVERIES: usize = 100_000;

/// The line of the event stream that begins a message.
const MESSAGE: &[u8] = b"event: message";

pub(super) async fn measure(
    server: &BenchServer,
    scale: Scale,
    streams: usize,
    report: &mut BenchReport,
) -> anyhow::Result<()> {
    let count = (scale.of(DELIVERIES) / streams).clamp(10, 2_000);
    let http = caller::http()?;
    let sender = material::name("sender")?;
    let caller = BenchCaller::register(&http, &server.address, &sender).await?;
    let names = (0..streams).map(|number| material::name(&format!("listener{number}")));
    let names = names.collect::<anyhow::Result<Vec<_>>>()?;
    progress(&format!("{streams} streams: making the group"));
    let mut listeners = Vec::new();
    for name in &names {
        listeners.push(BenchCaller::register(&http, &server.address, name).await?);
    }
    let (device, id) = (material::BenchDevice::new(&sender)?, GroupId::new("fanout")?);
    let mut group = device.create(&id, HandshakeMode::Assisted, false)?;
    caller.send("/v1/groups", encoded(&group.creation()?)?).await?;
    let path = material::group_path(&id);
    let key_packages = material::key_packages(&names)?;
    caller.claim(&listeners, &key_packages).await?;
    let addition = group.add(&key_packages)?;
    caller.send(&format!("{path}/commits"), addition).await?;
    let messages = (0..count)
        .map(|number| {
            let text = format!("{}: message {number}", scale.seed);
            encoded(&MessageRequest { message: group.send(text.as_bytes())?.into() })
        })
        .collect::<anyhow::Result<Vec<_>>>()?;

    progress(&format!("{streams} streams: sending {count} messages"));
    let sent: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let mut open = Vec::new();
    for listener in &listeners {
        open.push(listener.stream().await?);
    }
    let start = Instant::now();
    let listening = try_join_all(open.into_iter().map(|mut stream| {
        let sent = Arc::clone(&sent);
        async move {
            let (mut latencies, mut rest) = (Vec::with_capacity(count), Vec::new());
            while latencies.len() < count {
                let Some(chunk) = stream.next().await else { anyhow::bail!("a stream ended") };
                rest.extend_from_slice(chunk?.as_ref());
                while let Some(end) = rest.windows(2).position(|pair| pair == b"\n\n") {
                    let event: Vec<u8> = rest.drain(..end + 2).collect();
                    if event.windows(MESSAGE.len()).any(|line| line == MESSAGE) {
                        let sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
                        latencies.push(sent.get(latencies.len()).map_or(Duration::ZERO, Instant::elapsed));
                    }
                }
            }
            Ok(latencies)
        }
    }));
    let sending = async {
        for message in messages {
            sent.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
            caller.send(&format!("{path}/messages"), message).await?;
        }
        anyhow::Ok(())
    };
    let (latencies, ()) = tokio::try_join!(listening, sending)?;
    let elapsed = start.elapsed().as_secs_f64();
    let latencies: Vec<_> = latencies.into_iter().flatten().collect();
    let what = format!("deliveries to {streams} streams");
    let note = format!("{:.0} messages/s, one after the other", count as f64 / elapsed);
    report.add(Figure::new(what, latencies.len() as f64 / elapsed, "/s").with(latencies).noting(note));
    Ok(())
}
