//! Benchmark: latencies of other devices while one device sends the worst requests that its limits
//! allow.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use axum::body::Bytes as Shared;
use futures_util::future::{join_all, try_join_all};
use regrow_delivery_service::{
    GroupId, HandshakeMode,
    api::{Bytes, CommitRequest, UploadRequest},
};
use reqwest::{Method, StatusCode, header};

use super::{
    Scale,
    caller::{self, BenchCaller, decoded, encoded},
    figures::{BenchReport, Figure},
    material::{self, Chain},
    progress,
    server::BenchServer,
};

/// The number of devices that commit in their own groups during an attack.
const OTHERS: usize = 8;

/// The commits per second of each of these devices. This is below the default rate of a device.
const RATE: f64 = 10.0;

/// The commits of each of these devices in one phase.
const COMMITS: usize = 100;

/// The number of connections on which the attacker sends at the same time.
const CONNECTIONS: usize = 8;

/// The number of members in the group to which the attacker submits forged commits.
const MEMBERS: usize = 20;

/// The number of invented members in an opaque group of the attacker. The service cannot check
/// them.
const CLAIMED_MEMBERS: usize = 1_000;

/// The maximum size of a commit or a welcome, in bytes.
const LARGEST: usize = 4 * 1024 * 1024 - 1024;

/// The number of key packages in one upload of the attacker.
const UPLOAD: usize = 100;

/// The attacker's pause after a refusal without a `retry-after` header.
const PAUSE: Duration = Duration::from_millis(50);

/// A request that the attacker repeats.
#[derive(Clone)]
struct Attack {
    name: &'static str,
    method: Method,
    path: String,
    /// Every attempt sends the same bytes without a copy, so that the attacker's own work does not
    /// slow down the others.
    body: Shared,
}

/// An answer to the attacker.
struct Answered {
    /// The time until the next attempt, if the server has refused to process the request.
    pause: Option<Duration>,
}

/// A device with a group of its own, and the commits that it submits.
struct Other {
    caller: BenchCaller,
    chain: Chain,
}

pub(super) async fn measure(server: &BenchServer, scale: Scale, report: &mut BenchReport) -> anyhow::Result<()> {
    let http = caller::http()?;
    let (mallory, attacks) = attacker(server, &http).await?;
    let each = scale.of(COMMITS);
    let others = others(server, &http, scale, each * (attacks.len() + 2)).await?;
    let turns = |phase: usize| phase * each..(phase + 1) * each;

    progress("hostile: quiet");
    let mut quiet = commits(&others, turns(0)).await?;
    let mut figures = Vec::with_capacity(attacks.len());
    for (phase, attack) in attacks.iter().enumerate() {
        progress(&format!("hostile: {}", attack.name));
        let (latencies, sent) = attacked(&mallory, attack, &others, turns(phase + 1)).await?;
        let note = format!("the ratio of the 99th percentiles; meanwhile {sent} attacks were answered");
        let what = format!("commits of others, {}", attack.name);
        figures.push(Figure::new(what, 0.0, "x").with(latencies).noting(note));
    }
    // A second quiet phase at the end, because other work of the machine may disturb a single one.
    progress("hostile: quiet");
    quiet.extend(commits(&others, turns(attacks.len() + 1)).await?);
    let quiet = Figure::new("commits of others, quiet", 1.0, "x").with(quiet);
    let quiet_p99 = quiet.p99_ms.unwrap_or_default().max(f64::EPSILON);
    report.add(quiet);
    for figure in figures {
        report.add(Figure { value: figure.p99_ms.unwrap_or_default() / quiet_p99, ..figure });
    }
    Ok(())
}

/// Submits the commits of `turns` during the attack. Returns their latencies and the number of
/// answers to the attacker.
async fn attacked(
    mallory: &BenchCaller,
    attack: &Attack,
    others: &[Other],
    turns: std::ops::Range<usize>,
) -> anyhow::Result<(Vec<Duration>, usize)> {
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, mallory, attack) = (Arc::clone(&stop), mallory.clone(), attack.clone());
    // The attacker has its own thread, so that it does not delay the others.
    let attacking = thread::spawn(move || attack_until(&stopped, &mallory, &attack));
    let latencies = commits(others, turns).await;
    stop.store(true, Ordering::Relaxed);
    let answered = attacking.join().map_err(|_| anyhow!("the attacker has panicked"))??;
    Ok((latencies?, answered))
}

/// Attacks on all connections until the flag is set. Returns the number of answers.
fn attack_until(stop: &AtomicBool, mallory: &BenchCaller, attack: &Attack) -> anyhow::Result<usize> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mallory = mallory.on(caller::http()?);
    let answered = AtomicUsize::new(0);
    runtime.block_on(join_all((0..CONNECTIONS).map(|_| async {
        while !stop.load(Ordering::Relaxed) {
            let pause = match mallory.repeated(attack).await {
                Ok(answer) => {
                    answered.fetch_add(1, Ordering::Relaxed);
                    answer.pause
                }
                // The server ends the connection if it refuses a request before the body has
                // arrived.
                Err(_) => Some(PAUSE),
            };
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
            }
        }
    })));
    Ok(answered.into_inner())
}

impl BenchCaller {
    /// Sends the attack once and reads the answer.
    async fn repeated(&self, attack: &Attack) -> reqwest::Result<Answered> {
        let response = self.requested(attack.method.clone(), &attack.path, attack.body.clone()).await?;
        let status = response.status();
        let wait = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        response.bytes().await?;
        let is_refused = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        Ok(Answered { pause: is_refused.then(|| wait.map_or(PAUSE, Duration::from_secs)) })
    }
}

/// Submits the commits of `turns` at a steady rate. A latency begins when its commit is due.
async fn commits(others: &[Other], turns: std::ops::Range<usize>) -> anyhow::Result<Vec<Duration>> {
    let start = Instant::now();
    let interval = Duration::from_secs_f64(1.0 / RATE);
    let work = others.iter().enumerate().map(|(place, other)| {
        let turns = turns.clone();
        async move {
            let mut latencies = Vec::with_capacity(turns.len());
            let mut due = start + interval.mul_f64(place as f64 / OTHERS as f64);
            for turn in turns {
                tokio::time::sleep_until(due.into()).await;
                other.caller.send(&format!("{}/commits", other.chain.path), other.chain.commits[turn].clone()).await?;
                latencies.push(due.elapsed());
                due += interval;
            }
            anyhow::Ok(latencies)
        }
    });
    Ok(try_join_all(work).await?.into_iter().flatten().collect())
}

async fn others(
    server: &BenchServer,
    http: &reqwest::Client,
    scale: Scale,
    commits: usize,
) -> anyhow::Result<Vec<Other>> {
    let mut others = Vec::with_capacity(OTHERS);
    for number in 0..OTHERS {
        progress(&format!("hostile: making group {}", number + 1));
        let name = material::name(&format!("other{number}"))?;
        let caller = BenchCaller::register(http, &server.address, &name).await?;
        let group = format!("{}-{number}", scale.seed);
        let chain =
            material::chain(&material::BenchDevice::new(&name)?, &group, HandshakeMode::Assisted, &[], commits)?;
        caller.send("/v1/groups", chain.creation.clone()).await?;
        others.push(Other { caller, chain });
    }
    Ok(others)
}

/// Registers the attacker, makes its groups, and lists its attacks.
async fn attacker(server: &BenchServer, http: &reqwest::Client) -> anyhow::Result<(BenchCaller, Vec<Attack>)> {
    progress("hostile: making the attacker");
    let name = material::name("mallory")?;
    let caller = BenchCaller::register(http, &server.address, &name).await?;
    let device = material::BenchDevice::new(&name)?;
    let opaque = GroupId::new("mallory, opaque")?;
    let mut unseen = device.create(&opaque, HandshakeMode::Opaque, false)?;
    caller.send("/v1/groups", encoded(&unseen.creation()?)?).await?;

    let assisted = GroupId::new("mallory, assisted")?;
    let mut group = device.create(&assisted, HandshakeMode::Assisted, false)?;
    caller.send("/v1/groups", encoded(&group.creation()?)?).await?;
    let names = (0..MEMBERS).map(|number| material::name(&format!("member{number}")));
    let names = names.collect::<anyhow::Result<Vec<_>>>()?;
    let mut members = Vec::with_capacity(MEMBERS);
    for name in &names {
        members.push(BenchCaller::register(http, &server.address, name).await?);
    }
    let key_packages = material::key_packages(&names)?;
    caller.claim(&members, &key_packages).await?;
    let welcoming = unseen.add(&key_packages[..1])?;
    let path = material::group_path(&assisted);
    caller.send(&format!("{path}/commits"), group.add(&key_packages)?).await?;

    let crowded_id = GroupId::new("mallory, crowded")?;
    let from_outside = crowded(&caller, &device, &crowded_id).await?;

    let commits_to = |group: &GroupId| format!("{}/commits", material::group_path(group));
    let post =
        |name, path: String, body: Vec<u8>| Attack { name, method: Method::POST, path, body: Shared::from(body) };
    let get = |name, path: String| Attack { name, method: Method::GET, path, body: Shared::new() };
    let attacks = vec![
        post("commits of 4 MB to no group", commits_to(&GroupId::new("no group")?), zeros()?),
        post("commits of 4 MB of zeros", commits_to(&assisted), zeros()?),
        post("a million empty secrets", commits_to(&opaque), with_welcome(&welcoming, empty_secrets())?),
        post("forged commits", format!("{path}/commits"), forged(decoded(&group.update()?)?)?),
        post("forged external commits", commits_to(&crowded_id), forged(from_outside)?),
        post("key packages with one that is bad", "/v1/key-packages".into(), bad_upload(&device)?),
        get("ratchet trees", format!("{path}/trees/1")),
        get("pages of deliveries", "/v1/deliveries?after=0".into()),
    ];
    Ok((caller, attacks))
}

/// A commit of the maximum size that is not an MLS message.
fn zeros() -> anyhow::Result<Vec<u8>> {
    let commit = vec![0; LARGEST].into();
    encoded(&CommitRequest { commit, welcome: None, group_info: None, added: Vec::new(), removed: Vec::new() })
}

/// Creates an opaque group with many members that the service does not know. Returns an external
/// commit to the group.
async fn crowded(caller: &BenchCaller, device: &material::BenchDevice, id: &GroupId) -> anyhow::Result<CommitRequest> {
    let mut group = device.create(id, HandshakeMode::Opaque, true)?;
    caller.send("/v1/groups", encoded(&group.creation()?)?).await?;
    let names = (0..CLAIMED_MEMBERS).map(|number| material::name(&format!("claimed{number}")));
    let key_packages = material::key_packages(&names.collect::<anyhow::Result<Vec<_>>>()?)?;
    let mut addition: CommitRequest = decoded(&group.add(&key_packages)?)?;
    (addition.welcome, addition.added) = (None, Vec::new());
    caller.send(&format!("{}/commits", material::group_path(id)), encoded(&addition)?).await?;
    let Bytes(group_info) = addition.group_info.context("no group info")?;
    let outsider = material::name("outsider")?;
    material::BenchDevice::new(&outsider)?.external_commit(outsider, &group_info)
}

/// Replaces the welcome of a request.
fn with_welcome(request: &[u8], welcome: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    let mut request: CommitRequest = decoded(request)?;
    request.welcome = Some(welcome.into());
    encoded(&request)
}

/// A Welcome (RFC 9420, 12.4.3.1) with the maximum number of secrets for new members, each of no
/// bytes.
fn empty_secrets() -> Vec<u8> {
    const SECRET: [u8; 3] = [0; 3];
    let secrets = SECRET.repeat(LARGEST / SECRET.len());
    let length = u32::try_from(secrets.len()).unwrap_or(u32::MAX) | 0b10 << 30;
    // The version, the wire format of a welcome, and ciphersuite 1.
    let mut welcome = vec![0, 1, 0, 3, 0, 1];
    welcome.extend(length.to_be_bytes());
    welcome.extend(secrets);
    welcome.extend([16; 17]);
    welcome
}

/// Changes a byte in the middle of the request's commit, so that its verification fails.
fn forged(mut request: CommitRequest) -> anyhow::Result<Vec<u8>> {
    let middle = request.commit.0.len() / 2;
    request.commit.0[middle] ^= 1;
    encoded(&request)
}

/// An upload whose last key package has a wrong signature. The service verifies all of them.
fn bad_upload(device: &material::BenchDevice) -> anyhow::Result<Vec<u8>> {
    let mut upload: UploadRequest = device.upload(UPLOAD)?;
    let Bytes(last) = upload.key_packages.last_mut().context("no key package")?;
    *last.last_mut().context("an empty key package")? ^= 1;
    encoded(&upload)
}
