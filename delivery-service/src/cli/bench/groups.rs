//! Benchmark: polls of a device in many groups, without news and with one new message.

use std::time::Instant;

use regrow_delivery_service::{
    GroupId, HandshakeMode,
    api::{AcknowledgeRequest, DeliveryPage, MessageRequest},
};

use super::{
    Scale,
    caller::{self, BenchCaller, encoded},
    figures::{BenchReport, Figure},
    material, progress,
    server::BenchServer,
};

/// The number of polls of each kind.
const POLLS: usize = 400;

pub(super) async fn measure(
    server: &BenchServer,
    scale: Scale,
    groups: usize,
    report: &mut BenchReport,
) -> anyhow::Result<()> {
    let http = caller::http()?;
    let name = material::name("alice")?;
    let caller = BenchCaller::register(&http, &server.address, &name).await?;
    let device = material::BenchDevice::new(&name)?;
    let active = GroupId::new(format!("{}, active", scale.seed))?;
    let mut group = device.create(&active, HandshakeMode::Opaque, false)?;
    caller.send("/v1/groups", encoded(&group.creation()?)?).await?;
    for number in 1..groups {
        if number % 100 == 0 {
            progress(&format!("{groups} groups: making group {number}"));
        }
        let id = GroupId::new(format!("{}, {number}", scale.seed))?;
        caller.send("/v1/groups", encoded(&device.create(&id, HandshakeMode::Opaque, false)?.creation()?)?).await?;
    }

    progress(&format!("{groups} groups: polling"));
    let count = scale.of(POLLS);
    let (mut nothing, mut one, mut acknowledged) = (Vec::new(), Vec::new(), Vec::new());
    let (mut after, path) = (0, format!("{}/messages", material::group_path(&active)));
    for number in 0..count {
        let begun = Instant::now();
        let page: DeliveryPage = caller.get(&format!("/v1/deliveries?after={after}")).await?;
        nothing.push(begun.elapsed());
        anyhow::ensure!(page.deliveries.is_empty(), "a poll without news returned a delivery");

        let message = group.send(format!("message {number}").as_bytes())?.into();
        caller.send(&path, encoded(&MessageRequest { message })?).await?;
        let begun = Instant::now();
        let page: DeliveryPage = caller.get(&format!("/v1/deliveries?after={after}")).await?;
        one.push(begun.elapsed());
        anyhow::ensure!(page.deliveries.len() == 1, "a poll did not return exactly one delivery");
        after = page.deliveries.last().map_or(after, |delivery| delivery.cursor);

        let begun = Instant::now();
        caller.send("/v1/acknowledgements", encoded(&AcknowledgeRequest { up_to: after })?).await?;
        acknowledged.push(begun.elapsed());
    }
    for (what, latencies) in
        [("polls without news", nothing), ("polls with one message", one), ("acknowledgements of one", acknowledged)]
    {
        let total: f64 = latencies.iter().map(std::time::Duration::as_secs_f64).sum();
        let mean = total / latencies.len().max(1) as f64 * 1e3;
        report.add(Figure::new(format!("{what}, {groups} groups"), mean, "ms").with(latencies));
    }
    Ok(())
}
