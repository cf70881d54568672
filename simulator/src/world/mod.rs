//! Where a scenario happens: real engine clients, the delivery service's real ordering code, virtual time, one seed.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `device` | one member's phone: its client, its store, its process that can die |
//! | `store` | a store in memory whose process can die before it writes |
//! | `file` | the same in a file, for a device whose storage is to be stolen |
//! | `post`, `remote` | the delivery service: in this process, or a server over the network |
//! | `service` | what devices submit, and what the adversary records of it |
//! | `courier` | what the scenario does to deliveries: held, dropped, repeated |
//! | `window` | which messages a member's policy lets it read, reckoned without any key |
//! | `act` | what each step does |
//! | `commit` | a commit from the wish to the new epoch, through lost races and crashes |
//! | `deliver` | everything goes to everyone who is online |
//! | `impersonate` | what a thief does in a member's name, and who notices |
//! | `expect` | what has to hold, in the middle and at the end |
//! | `chronicle` | what is told to those who work out what a thief can read |
//! | `event` | what the transcript says |
//! | [`fault_injection`] | what devices and the service are built on, for who wants it to be otherwise |
//! | [`matrix`] | everybody's device, stolen after every step |
//! | [`randomness`] | where every random byte comes from |
//!
//! The same scenario and seed give the same transcript: whatever order can be seen comes from the scenario or from the
//! seed, and members that work side by side share nothing.

mod act;
mod chronicle;
mod commit;
mod courier;
mod deliver;
mod device;
mod event;
mod expect;
mod file;
mod impersonate;
pub mod matrix;
mod post;
pub mod randomness;
mod remote;
mod service;
mod store;
pub mod fault_injection;
mod window;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use regrow_delivery_service::Sequence;
use regrow_engine::{Ciphersuite, GroupId, Policy, Timestamp};

use self::{
    chronicle::Chronicle,
    courier::Courier,
    device::{Basis, Device},
    event::Event,
    impersonate::{Forgery, Hands},
    post::Post,
    service::Sent,
    fault_injection::{NoFaults, FaultInjection},
};
use crate::{
    adversary::{Thief, Traffic},
    report::{Failure, RunOutcome, RunOptions, Transcript},
    scenario::{self, Act, Action, CompromiseId, FailCode, MemberName, Place, Placed, Scenario, Step},
};

/// When a scenario begins: 2100-01-01T00:00:00Z, in seconds since the Unix epoch.
///
/// The engine has no clock: its caller tells it the time. But OpenMLS compares the lifetimes of key
/// packages with the clock of the machine, and accepts no other time. The same seed must give the
/// same bytes on any day and on any machine.
///
/// Here the lifetimes begin in 1970 and end after the virtual time, so OpenMLS finds them valid on
/// any real day before 2100. The engine and the delivery service compare the end of a key package's
/// use with the virtual time. So a scenario simulates the expiry of key packages exactly, but not
/// the beginning of their lifetimes.
const START: Timestamp = Timestamp(4_102_444_800);

/// The tolerance for clocks that are behind, which lets the lifetimes of key packages begin in 1970.
const CLOCK_SKEW: u64 = u64::MAX / 2;

/// The name of the one group.
const GROUP: &str = "group";

/// How many events a failure tells.
const RECENT_EVENTS: usize = 8;

/// Runs a scenario to its end, or to the first step that does not hold.
pub fn run(scenario: &Scenario, options: &RunOptions, transcript: &mut Transcript) -> RunOutcome {
    run_in(scenario, options, transcript, &NoFaults)
}

/// Runs a scenario likewise, with something else under its devices and its service.
pub fn run_in(
    scenario: &Scenario,
    options: &RunOptions,
    transcript: &mut Transcript,
    fault_injection: &dyn FaultInjection,
) -> RunOutcome {
    let seed = options.seed_of(scenario);
    let service = match &options.service {
        Some(address) => Post::there(address),
        None => Post::here(fault_injection),
    };
    let service = service.map_err(|error| Failed::new(FailCode::Rejected, error));
    let world = service.and_then(|service| World::new(scenario, seed, transcript, fault_injection, service, None));
    let mut world = match world {
        Ok(world) => world,
        Err(failed) => return RunOutcome { failures: vec![failed.into_failure(None)], ..RunOutcome::default() },
    };
    let mut failures = world.play(scenario);
    if failures.is_empty() {
        failures = world.invariants();
    }
    world.tell_results();
    RunOutcome { failures, figures: world.figures() }
}

/// A step that did not succeed.
#[derive(Debug)]
struct Failed {
    code: FailCode,
    detail: String,
}

impl Failed {
    fn new(code: FailCode, detail: impl ToString) -> Self {
        Self { code, detail: detail.to_string() }
    }

    fn into_failure(self, place: Option<Place>) -> Failure {
        Failure {
            place,
            expected: "the step succeeds".into(),
            seen: format!("it failed with `{}`: {}", self.code, self.detail),
            events: Vec::new(),
        }
    }
}

/// Everything there is while a scenario runs.
struct World<'t> {
    seed: u64,
    policy: Policy,
    group: GroupId,
    clock: Timestamp,
    service: Post<'t>,
    devices: Vec<Device>,
    by_name: BTreeMap<MemberName, usize>,
    courier: Courier,
    /// The application messages that the service has ordered, and those by the number of their log entry.
    sent: Sent,
    /// All that the service has ordered: what the adversary has.
    traffic: Vec<Traffic>,
    /// The number of the service's latest log entry that is known.
    last_sequence: Sequence,
    /// Who was a member, by epoch.
    rosters: Vec<BTreeSet<usize>>,
    thieves: Vec<Thief>,
    chronicle: Chronicle,
    /// What is kept for a matrix, if one is wanted.
    watch: Option<matrix::Watch>,
    /// With what each thief acts, and what has come of it.
    hands: BTreeMap<CompromiseId, Hands>,
    /// What the service has ordered of the thieves', by the number of its log entry.
    forged: BTreeMap<Sequence, Forgery>,
    /// How often each step was done, so that the same step twice draws different randomness.
    steps_done: BTreeMap<String, u32>,
    /// Whose key package was claimed, and is to be replaced.
    claimed: BTreeSet<usize>,
    transcript: &'t mut Transcript,
    place: Option<Place>,
    recent: VecDeque<String>,
    /// Breaches of what every scenario promises, found on the way.
    breaches: Vec<Failure>,
    /// Commits whose proposals are in an order that is the machine's and not the seed's.
    unordered_commits: u64,
}

impl<'t> World<'t> {
    fn new(
        scenario: &Scenario,
        seed: u64,
        transcript: &'t mut Transcript,
        fault_injection: &'t dyn FaultInjection,
        service: Post<'t>,
        watch: Option<matrix::Watch>,
    ) -> Result<Self, Failed> {
        let policy = policy(scenario);
        let group = GroupId::new(format!("{GROUP}{}", service.suffix()))
            .map_err(|error| Failed::new(FailCode::InvalidMessage, error))?;
        let mut world = Self {
            seed,
            group,
            clock: START,
            service,
            devices: Vec::with_capacity(scenario.members.len()),
            by_name: BTreeMap::new(),
            courier: Courier::default(),
            sent: Sent::default(),
            traffic: Vec::new(),
            last_sequence: Sequence(0),
            rosters: Vec::new(),
            thieves: Vec::new(),
            chronicle: Chronicle::new(watch.is_some() || somebody_steals(scenario), &policy),
            watch,
            hands: BTreeMap::new(),
            forged: BTreeMap::new(),
            steps_done: BTreeMap::new(),
            claimed: BTreeSet::new(),
            transcript,
            place: None,
            recent: VecDeque::new(),
            breaches: Vec::new(),
            unordered_commits: 0,
            policy,
        };
        let policy = world.policy.clone();
        let suffix = world.service.suffix().to_owned();
        let basis =
            Basis { seed, policy: &policy, suffix, verification_cache: Arc::default(), common: Arc::default(), fault_injection };
        let on_disk = stolen_on_disk(scenario);
        for (index, name) in scenario.members.iter().enumerate() {
            let log = world.chronicle.log(name.as_str());
            world.devices.push(Device::new(&basis, index, name.clone(), log, on_disk.contains(name))?);
            world.by_name.insert(name.clone(), index);
            let registered = world.service.register(&world.devices[index].address, world.now());
            registered.map_err(|error| Failed::new(FailCode::Rejected, error))?;
        }
        world.claimed = (0..world.devices.len()).collect();
        world.replenish()?;
        Ok(world)
    }

    /// Does the steps. A step that fails is what a following `expect` may ask for; else it ends the scenario.
    fn play(&mut self, scenario: &Scenario) -> Vec<Failure> {
        let mut failed: Option<(Place, Failed)> = None;
        for step in scenario.expand() {
            self.place = Some(step.place.clone());
            let expected_code = match &step.item {
                Step::Do(Action::Expect(expect)) => expect.fails,
                _ => None,
            };
            match (failed.take(), expected_code) {
                (Some((_, failure)), Some(code)) if failure.code == code => {}
                (Some((place, failure)), _) => return vec![self.with_events(failure.into_failure(Some(place)))],
                (None, Some(code)) => {
                    let failure = self.failure(format!("the step before fails with `{}`", code), "it succeeded");
                    return vec![failure];
                }
                (None, None) => {}
            }
            if let Step::Do(Action::Expect(expect)) = &step.item {
                let failures = self.expect(expect);
                if !failures.is_empty() {
                    return failures;
                }
                continue;
            }
            self.begin_step(&step);
            let result = self.step(&step).and_then(|()| self.deliver_everything());
            if let Err(failure) = result {
                self.tell(Event::Failed { code: failure.code, detail: failure.detail.clone() });
                failed = Some((step.place.clone(), failure));
                // What was under way is brought to an end all the same: others may have to act on it.
                if let Err(failure) = self.deliver_everything() {
                    return vec![self.with_events(failure.into_failure(Some(step.place)))];
                }
            }
            if let Err(failure) = self.watch(&step) {
                return vec![self.with_events(failure.into_failure(Some(step.place)))];
            }
        }
        self.place = None;
        match failed {
            Some((place, failure)) => vec![self.with_events(failure.into_failure(Some(place)))],
            None => Vec::new(),
        }
    }

    /// Gives every device its randomness for this step: that of the same step, done as often, in any scenario.
    fn begin_step(&mut self, step: &Placed<Step>) {
        let what = match &step.item {
            Step::Do(action) => format!("{action:?}"),
            Step::Race(contenders) => {
                let contenders: Vec<_> = contenders.iter().map(|contender| format!("{:?}", contender.item)).collect();
                format!("race {}", contenders.join(" "))
            }
        };
        let times = self.steps_done.entry(what.clone()).or_default();
        *times += 1;
        let label = format!("{what} #{times}");
        for device in &mut self.devices {
            device.begin_step(&label);
        }
        for hands in self.hands.values_mut() {
            hands.begin_step(&label);
        }
    }

    fn device(&self, name: &MemberName) -> Result<usize, Failed> {
        let index = self.by_name.get(name).copied();
        index
            .ok_or_else(|| Failed::new(FailCode::UnknownMember, format!("{name} is not one of the scenario's members")))
    }

    /// Writes an event to the transcript, and remembers it for failures.
    fn tell(&mut self, event: Event) {
        self.transcript.record(self.clock.0 - START.0, self.place.as_ref(), &event);
        if let Some(line) = event.line() {
            if self.recent.len() == RECENT_EVENTS {
                self.recent.pop_front();
            }
            let place = self.place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default();
            self.recent.push_back(place + &line);
        }
    }

    /// Something that does not hold in the present step.
    fn failure(&self, expected: impl Into<String>, seen: impl Into<String>) -> Failure {
        self.with_events(Failure {
            place: self.place.clone(),
            expected: expected.into(),
            seen: seen.into(),
            events: Vec::new(),
        })
    }

    fn with_events(&self, failure: Failure) -> Failure {
        Failure { events: self.recent.iter().cloned().collect(), ..failure }
    }
}

/// The engine's policy for all members of a scenario: its settings over the engine's defaults.
fn policy(scenario: &Scenario) -> Policy {
    let settings = &scenario.group;
    let default = Policy::default();
    let number = |setting: Option<u32>, default: usize| setting.map_or(default, |value| value as usize);
    Policy {
        ciphersuite: settings.ciphersuite.map_or(default.ciphersuite, |suite| match suite {
            scenario::Ciphersuite::X25519Aes128GcmSha256Ed25519 => {
                Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519
            }
            scenario::Ciphersuite::P256Aes128GcmSha256P256 => Ciphersuite::MLS_128_DHKEMP256_AES128GCM_SHA256_P256,
            scenario::Ciphersuite::X25519ChaCha20Poly1305Sha256Ed25519 => {
                Ciphersuite::MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519
            }
        }),
        handshake: settings.handshake.unwrap_or(default.handshake),
        past_epochs: number(settings.past_epochs, default.past_epochs),
        // A scenario says how many, and the oracle counts them.
        past_epoch_age: None,
        out_of_order: settings.out_of_order.unwrap_or(default.out_of_order),
        padding: number(settings.padding, default.padding),
        clock_skew: CLOCK_SKEW,
        publish_group_info: somebody_joins_alone(scenario),
        ..default
    }
}

/// Whose storage is stolen at some time: they keep a file from the beginning, so that it has a history.
fn stolen_on_disk(scenario: &Scenario) -> BTreeSet<MemberName> {
    let stolen = scenario.expand().filter_map(|step| match step.item {
        Step::Do(Action::Compromise { who, scope: scenario::TheftScope::Disk, .. }) => Some(who),
        _ => None,
    });
    stolen.collect()
}

/// Whether anybody joins by external commit. Only then commits carry the group info that this takes, which is a quarter
/// of the work of making one in a large group.
fn somebody_joins_alone(scenario: &Scenario) -> bool {
    any(scenario, |action| {
        matches!(action, Action::Join { .. } | Action::Rejoin { .. } | Action::Impersonate { act: Act::Rejoin, .. })
    })
}

/// Whether anything is stolen. Only then what the devices compute is recorded.
fn somebody_steals(scenario: &Scenario) -> bool {
    any(scenario, |action| matches!(action, Action::Compromise { .. }))
}

fn any(scenario: &Scenario, is: impl Fn(&Action) -> bool) -> bool {
    scenario.expand().any(|step| match &step.item {
        Step::Do(action) => is(action),
        Step::Race(contenders) => contenders.iter().any(|contender| is(&contender.item)),
    })
}
