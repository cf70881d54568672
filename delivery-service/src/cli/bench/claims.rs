//! Benchmark: claims of key packages per second.

use std::time::Instant;

use futures_util::future::try_join_all;
use regrow_delivery_service::api::ClaimRequest;

use super::{
    Scale,
    caller::{self, BenchCaller, encoded},
    figures::{BenchReport, Figure},
    material, progress,
    server::BenchServer,
};

/// The number of devices that claim at the same time.
const CLAIMERS: usize = 64;

/// The number of devices whose key packages are claimed.
const OWNERS: usize = 20;
/// The number of key packages of each owner.
const EACH: usize = 200;

pub(super) async fn measure(server: &BenchServer, scale: Scale, report: &mut BenchReport) -> anyhow::Result<()> {
    let http = caller::http()?;
    let each = scale.of(EACH);
    let mut claims = Vec::new();
    for number in 0..OWNERS {
        progress(&format!("key packages: making those of device {}", number + 1));
        let name = material::name(&format!("owner{number}"))?;
        let owner = BenchCaller::register(&http, &server.address, &name).await?;
        let upload = material::BenchDevice::new(&name)?.upload(each)?;
        owner.send("/v1/key-packages", encoded(&upload)?).await?;
        let claim = encoded(&ClaimRequest { user: name.user().clone(), device: Some(name.device().to_owned()) })?;
        claims.extend(std::iter::repeat_n(claim, each));
    }
    let mut claimers = Vec::new();
    for number in 0..CLAIMERS {
        let name = material::name(&format!("claimer{number}"))?;
        claimers.push(BenchCaller::register(&http, &server.address, &name).await?);
    }
    progress("key packages: claiming");
    let (start, claims) = (Instant::now(), &claims);
    let work = claimers.iter().enumerate().map(|(place, claimer)| async move {
        let mut latencies = Vec::new();
        for claim in claims.iter().skip(place).step_by(CLAIMERS) {
            let began = Instant::now();
            claimer.send("/v1/key-packages/claims", claim.clone()).await?;
            latencies.push(began.elapsed());
        }
        anyhow::Ok(latencies)
    });
    let latencies: Vec<_> = try_join_all(work).await?.into_iter().flatten().collect();
    let rate = latencies.len() as f64 / start.elapsed().as_secs_f64();
    report.add(Figure::new("key packages claimed", rate, "/s").with(latencies));
    Ok(())
}
