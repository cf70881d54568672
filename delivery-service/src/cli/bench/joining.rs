//! Many devices that are added by one commit: what that sends, and what each of them reads to join.

use std::time::Instant;

use futures_util::future::try_join_all;
use regrow_delivery_service::{
    GroupId, HandshakeMode,
    api::{DeliveryPage, RatchetTree},
};

use super::{
    Scale,
    caller::{self, Caller, decoded, encoded},
    figures::{Figure, Report},
    material, progress,
    server::Server,
};

/// Who is added.
const JOINERS: usize = 999;

pub(super) async fn measure(
    server: &Server,
    scale: Scale,
    sends_tree: bool,
    report: &mut Report,
) -> anyhow::Result<()> {
    let joiners = scale.of(JOINERS);
    let how = if sends_tree { "with the tree" } else { "without the tree" };
    progress(&format!("{joiners} joiners, {how}: making them"));
    let http = caller::http()?;
    let adder = material::name("adder")?;
    let caller = Caller::register(&http, &server.address, &adder).await?;
    let names = (0..joiners).map(|number| material::name(&format!("joiner{number}")));
    let names = names.collect::<anyhow::Result<Vec<_>>>()?;
    let mut callers = Vec::new();
    for name in &names {
        callers.push(Caller::register(&http, &server.address, name).await?);
    }
    let first = material::Device::new(&names[0])?;
    let mut key_packages = material::key_packages(&names[1..])?;
    key_packages.insert(0, first.key_package()?);
    let (device, id) = (material::Device::new(&adder)?, GroupId::new("joining")?);
    let path = material::group_path(&id);
    let mut group = device.create(&id, HandshakeMode::Assisted, sends_tree)?;
    caller.send("/v1/groups", encoded(&group.creation()?)?).await?;
    caller.claim(&callers, &key_packages).await?;
    let addition = group.add(&key_packages)?;
    let (sent, began) = (addition.len(), Instant::now());
    caller.send(&format!("{path}/commits"), addition).await?;
    let ordered = began.elapsed();

    progress(&format!("{joiners} joiners, {how}: joining"));
    let start = Instant::now();
    let tree_path = (!sends_tree).then(|| format!("{path}/trees/1"));
    let work = callers.iter().map(|caller| async {
        let began = Instant::now();
        let welcome = caller.fetch("/v1/deliveries?after=0").await?;
        let tree = match &tree_path {
            Some(path) => Some(caller.fetch(path).await?),
            None => None,
        };
        anyhow::Ok((began.elapsed(), welcome, tree))
    });
    let read = try_join_all(work).await?;
    let rate = read.len() as f64 / start.elapsed().as_secs_f64();

    // The first does join with what it has read.
    let (_, welcome, tree) = &read[0];
    let page: DeliveryPage = decoded(welcome)?;
    let welcome = page.deliveries.first().map(|delivery| delivery.bytes.0.clone()).unwrap_or_default();
    match tree {
        Some(tree) => {
            let tree: RatchetTree = decoded(tree)?;
            first.join(&welcome, Some(&tree.ratchet_tree.0))?;
        }
        None => first.join(&welcome, None)?,
    }
    let update = group.update()?.len();

    let (own, trees): (Vec<_>, Vec<_>) =
        read.iter().map(|(_, welcome, tree)| (welcome.len(), tree.as_ref().map_or(0, Vec::len))).unzip();
    let each = own.iter().sum::<usize>() / own.len().max(1);
    let latencies = read.iter().map(|(latency, ..)| *latency).collect();
    let note = format!(
        "the commit has {sent} bytes and is ordered in {:.0} ms; each reads {each} bytes and a tree of {}; the next update has {update}",
        ordered.as_secs_f64() * 1e3,
        trees.iter().max().copied().unwrap_or_default(),
    );
    report.add(Figure::new(format!("joiners, {joiners} {how}"), rate, "/s").with(latencies).noting(note));
    Ok(())
}
