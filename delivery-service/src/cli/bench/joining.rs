//! Benchmark: one commit adds many devices. It measures the sent bytes, and the bytes that each
//! joiner reads.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use openmls::prelude::KeyPackage;
use regrow_delivery_service::{
    GroupId, HandshakeMode,
    api::{DeliveryPage, RatchetTree},
};

use super::{
    Scale,
    caller::{self, BenchCaller, decoded, encoded},
    figures::{BenchReport, Figure},
    material, progress,
    server::BenchServer,
};

/// The number of devices that the commit adds.
const JOINERS: usize = 999;

/// The devices that the commit adds.
struct Joiners {
    callers: Vec<BenchCaller>,
    key_packages: Vec<KeyPackage>,
    /// The keys of the first device, which joins at the end.
    first: material::BenchDevice,
}

/// The answers that one joiner reads, encoded.
struct Answers {
    latency: Duration,
    page: Vec<u8>,
    tree: Option<Vec<u8>>,
}

pub(super) async fn measure(
    server: &BenchServer,
    scale: Scale,
    sends_tree: bool,
    report: &mut BenchReport,
) -> anyhow::Result<()> {
    let count = scale.of(JOINERS);
    let how = if sends_tree { "with the tree" } else { "without the tree" };
    progress(&format!("{count} joiners, {how}: making them"));
    let http = caller::http()?;
    let adder = material::name("adder")?;
    let caller = BenchCaller::register(&http, &server.address, &adder).await?;
    let joiners = Joiners::register(&http, server, count).await?;
    let (device, id) = (material::BenchDevice::new(&adder)?, GroupId::new("joining")?);
    let path = material::group_path(&id);
    let mut group = device.create(&id, HandshakeMode::Assisted, sends_tree)?;
    caller.send("/v1/groups", encoded(&group.creation()?)?).await?;
    caller.claim(&joiners.callers, &joiners.key_packages).await?;
    let addition = group.add(&joiners.key_packages)?;
    let (sent, began) = (addition.len(), Instant::now());
    caller.send(&format!("{path}/commits"), addition).await?;
    let ordered = began.elapsed();

    progress(&format!("{count} joiners, {how}: joining"));
    let start = Instant::now();
    let tree_path = (!sends_tree).then(|| format!("{path}/trees/1"));
    let work = joiners.callers.iter().map(|caller| read_answers(caller, tree_path.as_deref()));
    let read = try_join_all(work).await?;
    let rate = read.len() as f64 / start.elapsed().as_secs_f64();
    join(&joiners.first, &read[0])?;
    let update = group.update()?.len();

    let page = read.iter().map(|answers| answers.page.len()).sum::<usize>() / read.len().max(1);
    let tree = read.iter().map(|answers| answers.tree.as_ref().map_or(0, Vec::len)).max().unwrap_or_default();
    let latencies = read.iter().map(|answers| answers.latency).collect();
    let note = format!(
        "the commit has {sent} bytes and is ordered in {:.0} ms; each reads {page} bytes and a tree of {tree}; the next update has {update}",
        ordered.as_secs_f64() * 1e3,
    );
    report.add(Figure::new(format!("joiners, {count} {how}"), rate, "/s").with(latencies).noting(note));
    Ok(())
}

impl Joiners {
    /// Registers the devices, and makes a key package for each.
    async fn register(http: &reqwest::Client, server: &BenchServer, count: usize) -> anyhow::Result<Self> {
        let names = (0..count).map(|number| material::name(&format!("joiner{number}")));
        let names = names.collect::<anyhow::Result<Vec<_>>>()?;
        let mut callers = Vec::new();
        for name in &names {
            callers.push(BenchCaller::register(http, &server.address, name).await?);
        }
        let first = material::BenchDevice::new(&names[0])?;
        let mut key_packages = material::key_packages(&names[1..])?;
        key_packages.insert(0, first.key_package()?);
        Ok(Self { callers, key_packages, first })
    }
}

/// Reads the deliveries of one joiner, and the ratchet tree if `tree_path` is given.
async fn read_answers(caller: &BenchCaller, tree_path: Option<&str>) -> anyhow::Result<Answers> {
    let began = Instant::now();
    let page = caller.fetch("/v1/deliveries?after=0").await?;
    let tree = match tree_path {
        Some(path) => Some(caller.fetch(path).await?),
        None => None,
    };
    Ok(Answers { latency: began.elapsed(), page, tree })
}

/// Joins the group with these answers, to prove that they are complete.
fn join(device: &material::BenchDevice, answers: &Answers) -> anyhow::Result<()> {
    let page: DeliveryPage = decoded(&answers.page)?;
    let welcome = page.deliveries.first().map(|delivery| delivery.bytes.0.clone()).unwrap_or_default();
    match &answers.tree {
        Some(tree) => {
            let tree: RatchetTree = decoded(tree)?;
            device.join(&welcome, Some(&tree.ratchet_tree.0))
        }
        None => device.join(&welcome, None),
    }
}
