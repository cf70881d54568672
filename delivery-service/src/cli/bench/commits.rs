//! Benchmark: ordered commits per second. The commits of one group follow each other, and the
//! groups run in parallel.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use regrow_delivery_service::HandshakeMode;

use super::{
    Scale,
    caller::{self, BenchCaller},
    figures::{BenchReport, Figure},
    floor,
    material::{self, Chain},
    progress,
    server::{self, BenchServer},
};

/// The number of connections that submit at the same time. Each submits for a part of the groups.
const CONNECTIONS: usize = 64;

/// The total number of commits. There are more if there are more groups.
const COMMITS: usize = 5_000;

/// A device and its groups.
struct Load {
    caller: BenchCaller,
    chains: Vec<Chain>,
}

/// The resources that have been used until now.
struct Usage {
    calls: f64,
    transactions: f64,
    /// Processor time of the server's process.
    server: Duration,
    /// Processor time of this process.
    load: Duration,
}

impl Usage {
    async fn now(server: &BenchServer) -> anyhow::Result<Self> {
        let (calls, transactions) = server.batches().await?;
        Ok(Self { calls, transactions, server: server.cpu()?, load: server::own_cpu()? })
    }
}

pub(super) async fn measure(
    server: &BenchServer,
    scale: Scale,
    groups: usize,
    handshake: HandshakeMode,
    report: &mut BenchReport,
) -> anyhow::Result<()> {
    let groups = if groups == 1 { 1 } else { scale.of(groups) };
    // Prepare twice as many commits: one half for the full load, the other for half the load.
    let each = (scale.of(COMMITS) / groups).max(1);
    let loads = prepare(server, scale, groups, handshake, 2 * each).await?;

    let before = Usage::now(server).await?;
    progress(&format!("{groups} groups: committing"));
    let (rate, latencies) = submit(&loads, 0..each, None).await?;
    let after = Usage::now(server).await?;
    let batch = ((after.calls - before.calls) / (after.transactions - before.transactions).max(1.0)).max(1.0);
    let per_commit = |from: Duration, to: Duration| (to - from).as_secs_f64() * 1e3 / latencies.len() as f64;
    let (served, loaded) = (per_commit(before.server, after.server), per_commit(before.load, after.load));

    let rows: Vec<Vec<u8>> = (0..each)
        .flat_map(|turn| loads.iter().flat_map(move |load| load.chains.iter().map(move |chain| &chain.commits[turn])))
        .cloned()
        .collect();
    let floor = floor::rows_per_second(server.directory(), &rows, batch.round() as usize)?;
    let mode = match handshake {
        HandshakeMode::Assisted => "",
        HandshakeMode::Opaque => "opaque ",
    };
    let bytes = rows.iter().map(Vec::len).sum::<usize>() / rows.len().max(1);
    let note = format!(
        "{batch:.1} calls a transaction; {:.0} % of the floor; {served:.2} ms of the server's CPU and {loaded:.2} of the load's \
         a commit of {bytes} bytes",
        100.0 * rate / floor
    );
    let what = format!("commits, {groups} {mode}groups of {}", scale.members);
    report.add(Figure::new(what.clone(), rate, "/s").with(latencies).noting(note));
    report.add(Figure::new(format!("floor: {} rows of the same size", rows.len()), floor, "/s"));

    progress(&format!("{groups} groups: committing at half the rate"));
    let (half, latencies) = submit(&loads, each..2 * each, Some(rate / 2.0)).await?;
    let what = format!("{what}, half the load");
    report.add(Figure::new(what, half, "/s").with(latencies).noting("timed from when each was due"));
    Ok(())
}

async fn prepare(
    server: &BenchServer,
    scale: Scale,
    groups: usize,
    handshake: HandshakeMode,
    commits: usize,
) -> anyhow::Result<Vec<Load>> {
    let http = caller::http()?;
    let devices = CONNECTIONS.min(groups);
    let names = (1..scale.members).map(|number| material::name(&format!("member{number}")));
    let members = names.collect::<anyhow::Result<Vec<_>>>()?;
    let mut owners = Vec::new();
    for member in &members {
        owners.push(BenchCaller::register(&http, &server.address, member).await?);
    }
    let mut loads = Vec::new();
    for number in 0..devices {
        let name = material::name(&format!("committer{number}"))?;
        let caller = BenchCaller::register(&http, &server.address, &name).await?;
        let device = material::BenchDevice::new(&name)?;
        let mut chains = Vec::new();
        for group in (number..groups).step_by(devices) {
            progress(&format!("{groups} groups: making group {}", group + 1));
            let others = material::key_packages(&members)?;
            caller.claim(&owners, &others).await?;
            let name = format!("{}-{group}", scale.seed);
            let chain = material::chain(&device, &name, handshake, &others, commits)?;
            caller.send("/v1/groups", chain.creation.clone()).await?;
            if let Some(addition) = &chain.addition {
                caller.send(&format!("{}/commits", chain.path), addition.clone()).await?;
            }
            chains.push(chain);
        }
        loads.push(Load { caller, chains });
    }
    Ok(loads)
}

/// Submits these commits of each group, as fast as the answers arrive, or at the total `rate` per
/// second. Returns the achieved rate and the latency of each commit.
async fn submit(
    loads: &[Load],
    turns: std::ops::Range<usize>,
    rate: Option<f64>,
) -> anyhow::Result<(f64, Vec<Duration>)> {
    let start = Instant::now();
    let groups: usize = loads.iter().map(|load| load.chains.len()).sum();
    let work = loads.iter().enumerate().map(|(place, load)| {
        let turns = turns.clone();
        // A connection with more groups submits more often, so that all end at the same time.
        let interval = rate.map(|rate| Duration::from_secs_f64(groups as f64 / load.chains.len() as f64 / rate));
        async move {
            let mut latencies = Vec::new();
            let mut due = start + interval.unwrap_or_default().mul_f64(place as f64 / loads.len() as f64);
            for turn in turns {
                for chain in &load.chains {
                    let began = match interval {
                        Some(interval) => {
                            let began = due;
                            due += interval;
                            tokio::time::sleep_until(began.into()).await;
                            began
                        }
                        None => Instant::now(),
                    };
                    load.caller.send(&format!("{}/commits", chain.path), chain.commits[turn].clone()).await?;
                    latencies.push(began.elapsed());
                }
            }
            anyhow::Ok(latencies)
        }
    });
    let latencies: Vec<_> = try_join_all(work).await?.into_iter().flatten().collect();
    Ok((latencies.len() as f64 / start.elapsed().as_secs_f64(), latencies))
}
