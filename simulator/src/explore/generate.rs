//! Generates scenarios from a seed, step by step. Each step makes sense after the steps before it.

use std::time::Duration;

use regrow_engine::HandshakeMode;

use super::{
    generator::{ATTEMPTS, Generator},
    model::{AGES, ProposedChange},
    race,
    weights::{StepKind, Weights},
};
use crate::choices::Choices;
use crate::scenario::{
    Action, Ciphersuite, CompromiseId, Delivery, Fidelity, GroupSettings, Limit, MemberName, MemberPolicy,
    NetworkChange, Placed, PolicySettings, Protocol, RunSettings, Scenario, ServiceSettings, Step, TheftScope,
    ThiefAction,
};

/// The names of the first members.
const NAMES: [&str; 8] = ["alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi"];

/// The names of the first members if they are devices of one user.
const DEVICES: [&str; 2] = ["alice/phone", "alice/laptop"];

const HOUR: u64 = 60 * 60;
const DAY: u64 = 24 * HOUR;

/// The actions of thieves.
const ACTS: [ThiefAction; 3] = [ThiefAction::Send, ThiefAction::Commit, ThiefAction::Rejoin];

/// The limits on the size of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// The largest number of members; at least 2.
    pub members: u32,
    /// The largest number of steps, without the steps that end the scenario.
    pub steps: u32,
}

/// Generates the scenario with this number in the search with this seed.
pub(super) fn generate(seed: u64, number: u64, size: Size, weights: &Weights) -> Scenario {
    let mut rng = Choices::new(&format!("regrow explore {seed} {number}"));
    let count = rng.between(2, size.members.max(2)) as usize;
    let has_devices =
        weights.of(StepKind::User) > 0 && Choices::new(&format!("regrow explore {seed} {number} devices")).once_in(2);
    let names: Vec<_> = (0..count).map(|index| name(index, has_devices)).collect();
    let group = settings(&mut rng);
    let scenario_seed = u64::from(rng.below(u32::MAX));
    let steps = rng.between(size.steps.min(3), size.steps);
    let mut generator = Generator::new(rng, weights, names.clone());
    generator.begin();
    while generator.steps.len() < steps as usize && generator.go_on() {}
    generator.end();
    let mut scenario = Scenario {
        policies: policies(&mut Choices::new(&format!("regrow explore {seed} {number} policies")), &names),
        name: format!("scenario {number} of seed {seed}"),
        about: None,
        run: RunSettings::default(),
        seed: scenario_seed,
        fidelity: Fidelity::Real,
        protocol: Protocol::Mls,
        group,
        members: names,
        service: ServiceSettings::default(),
        trace: None,
        steps: generator.steps,
    };
    scenario.group.policy.publish_group_info = has_external_commit(&scenario).then_some(true);
    let is_upkeep = |step: Placed<Step>| matches!(step.item, Step::Do(Action::Upkeep { .. }));
    // The generator's model does not remove inactive members.
    let has_upkeep = scenario.expand().any(is_upkeep);
    scenario.group.policy.remove_inactive_after = has_upkeep.then_some(Limit::Never);
    scenario
}

/// True if a device or a thief joins by external commit, and so needs a group info.
fn has_external_commit(scenario: &Scenario) -> bool {
    let is_external = |action: &Action| {
        matches!(
            action.unnamed(),
            Action::Join { .. } | Action::Rejoin { .. } | Action::Impersonate { act: ThiefAction::Rejoin, .. }
        )
    };
    scenario.expand().any(|step| match &step.item {
        Step::Do(action) => is_external(action),
        Step::Race(contenders) => contenders.iter().any(|contender| is_external(&contender.item)),
    })
}

/// The name of a member. In a scenario with devices, the first two members are one user's.
fn name(index: usize, has_devices: bool) -> MemberName {
    if let Some(device) = DEVICES.get(index).filter(|_| has_devices) {
        return MemberName::new(*device);
    }
    MemberName::new(NAMES.get(index).map_or_else(|| format!("m{}", index + 1), ToString::to_string))
}

/// Draws the settings of the group. Most of them are defaults, as in most real groups.
fn settings(rng: &mut Choices) -> GroupSettings {
    let ciphersuite = match rng.below(12) {
        0 => Some(Ciphersuite::P256Aes128GcmSha256P256),
        1 => Some(Ciphersuite::X25519ChaCha20Poly1305Sha256Ed25519),
        #[cfg(feature = "post-quantum")]
        2 => Some(Ciphersuite::XWingChaCha20Poly1305Sha256Ed25519),
        _ => None,
    };
    GroupSettings {
        ciphersuite,
        handshake: rng.once_in(3).then_some(HandshakeMode::Opaque),
        policy: PolicySettings {
            past_epochs: rng.once_in(2).then(|| rng.between(0, 3)),
            out_of_order: rng.once_in(2).then(|| rng.between(0, 8)),
            padding: rng.once_in(4).then(|| rng.below(3) * 32),
            // The steps decide about group infos, and they are drawn later.
            ..PolicySettings::default()
        },
    }
}

/// Draws a policy of its own for some of the members. The draws are apart from those of the steps.
fn policies(rng: &mut Choices, members: &[MemberName]) -> Vec<MemberPolicy> {
    if !rng.once_in(3) {
        return Vec::new();
    }
    let age = [60, HOUR, DAY].map(|seconds| Limit::At(Duration::from_secs(seconds)));
    let policy = PolicySettings {
        past_epochs: rng.once_in(2).then(|| rng.between(0, 3)),
        past_epoch_age: if rng.once_in(2) { rng.one(&age) } else { None },
        out_of_order: rng.once_in(2).then(|| rng.between(0, 8)),
        padding: rng.once_in(4).then(|| rng.below(3) * 32),
        rotate_after: rng.once_in(3).then_some(Limit::At(Duration::from_secs(HOUR))),
        send_ratchet_tree: rng.once_in(4).then_some(false),
        ..PolicySettings::default()
    };
    let who = rng.some(members, members.len());
    let is_used = policy != PolicySettings::default() && !who.is_empty();
    if is_used { vec![MemberPolicy { who, policy }] } else { Vec::new() }
}

impl Generator<'_> {
    fn begin(&mut self) {
        let all: Vec<_> = self.model.all().collect();
        let creator = self.rng.one(&all).unwrap_or_default();
        let others: Vec<_> = all.into_iter().filter(|member| *member != creator).collect();
        let with = if self.rng.once_in(8) { Vec::new() } else { self.rng.some(&others, others.len()) };
        if self.weights.of(StepKind::Offline) > 0 && self.rng.once_in(8) {
            let who = self.rng.some(&others, others.len());
            self.act(Action::Offline { who: self.names(&who) });
        }
        if self.weights.of(StepKind::Crash) > 0 && self.rng.once_in(12) {
            self.crash(creator);
        }
        self.act(Action::Create { by: self.name(creator), with: self.names(&with) });
    }

    /// Adds a step, or two steps that belong together. False if no possible step was found.
    fn go_on(&mut self) -> bool {
        for _ in 0..ATTEMPTS {
            if let Some(kind) = self.pick()
                && self.step(kind).is_some()
            {
                return true;
            }
        }
        false
    }

    /// Adds a step of this kind, if one is possible now.
    fn step(&mut self, kind: StepKind) -> Option<()> {
        match kind {
            StepKind::Offline => {
                let who = self.rng.some(&self.model.online.iter().copied().collect::<Vec<_>>(), 2);
                // At least one member that can act stays online.
                self.model.present().iter().any(|member| !who.contains(member)).then_some(())?;
                self.act_if_permitted(Action::Offline { who: self.names(&who) })?;
            }
            StepKind::Online => {
                let offline = self.model.disconnected();
                let who = self.rng.some(&offline, offline.len());
                (!who.is_empty()).then_some(())?;
                self.act(Action::Online { who: self.names(&who) });
            }
            StepKind::Hold | StepKind::Drop | StepKind::Duplicate => {
                // Without a weight for the network, only messages are held.
                match self.weights.of(StepKind::Network) > 0 && self.rng.once_in(3) {
                    true => self.handshake_rule(kind)?,
                    false => self.delivery_rule(kind)?,
                }
            }
            StepKind::Network => self.network()?,
            StepKind::Clock => self.clock()?,
            StepKind::Release if self.model.held_handshake().is_some() => self.release_handshake(),
            StepKind::Release => {
                let id = self.rng.one(&self.model.held)?;
                let delivery = self.delivery(id.clone());
                if delivery.to.is_none() {
                    self.model.held.retain(|held| *held != id);
                }
                self.act(Action::Release(delivery));
            }
            StepKind::Race => race::race(self, None)?,
            StepKind::Crash => self.crash_in_action()?,
            StepKind::Compromise => {
                let members: Vec<_> = self.model.group.iter().copied().collect();
                let anybody: Vec<_> = self.model.all().collect();
                let of = if self.rng.once_in(6) { anybody } else { members };
                let who = self.rng.one(&of)?;
                self.compromises += 1;
                let id = CompromiseId::new(format!("theft{}", self.compromises));
                let scope = if self.rng.once_in(8) { TheftScope::Disk } else { TheftScope::Device };
                self.act(Action::Compromise { who: self.name(who), id, scope });
            }
            StepKind::Impersonate => self.impersonate()?,
            StepKind::Service => self.service_fault()?,
            StepKind::Lock | StepKind::Unlock | StepKind::Verify | StepKind::Authenticate | StepKind::Upkeep => {
                self.device_step(kind)?;
            }
            StepKind::Group => self.group_step()?,
            StepKind::User => self.user_step()?,
            StepKind::KeyPackages => self.key_packages()?,
            StepKind::Wait => {
                let seconds = self.rng.one(&[60, HOUR, DAY, 7 * DAY, 20 * DAY, AGES])?;
                self.act_if_permitted(Action::Wait(Duration::from_secs(seconds)))?;
            }
            kind => {
                let by = self.actor(kind)?;
                let action = self.submission(kind, by)?;
                self.act(action);
            }
        }
        Some(())
    }

    /// Adds a delivery rule, and the message that it concerns.
    fn delivery_rule(&mut self, kind: StepKind) -> Option<()> {
        let sender = self.rng.one(&self.model.present())?;
        let send = self.submission(StepKind::Send, sender)?;
        let Action::Send { id, .. } = &send else { return None };
        let delivery = self.delivery(id.clone());
        if kind == StepKind::Hold {
            self.model.held.push(delivery.id.clone());
        }
        self.act(match kind {
            StepKind::Hold => Action::Hold(delivery),
            StepKind::Drop => Action::Drop(delivery),
            _ => Action::Duplicate(delivery),
        });
        self.act(send);
        Some(())
    }

    /// Releases the held handshake, if there is one.
    fn release_handshake(&mut self) {
        if let Some(id) = self.model.held_handshake() {
            self.act(Action::Release(Delivery { id, to: None }));
        }
    }

    /// Adds a crash, and the action or race in which it happens.
    fn crash_in_action(&mut self) -> Option<()> {
        let victim = self.rng.one(&self.model.online.iter().copied().collect::<Vec<_>>())?;
        // The crash happens during the victim's next action, so the action is drawn first.
        if self.rng.once_in(4) {
            let contenders = race::contenders(self, Some(victim))?;
            // A member that another contender removes first may not reach the point.
            (!contenders.removes(&self.name(victim))).then_some(())?;
            self.crash(victim);
            race::add(self, contenders);
        } else {
            let action = self.any_submission(victim)?;
            self.crash(victim);
            self.act(action);
        }
        Some(())
    }

    /// Makes a thief act in the name of a member. The member mostly rejoins at once.
    fn impersonate(&mut self) -> Option<()> {
        let (compromise, who) = self.rng.one(&self.model.thefts)?;
        let act = self.rng.one(&ACTS)?;
        let impersonate = Action::Impersonate { compromise, act, id: None };
        self.model.is_calm().then_some(())?;
        let others_act = self.model.present().iter().any(|member| *member != who);
        (others_act && self.model.permits(&impersonate)).then_some(())?;
        self.act(impersonate);
        if self.model.online.contains(&who) && !self.rng.once_in(3) {
            self.act(Action::Rejoin { who: vec![self.name(who)] });
        }
        Some(())
    }

    /// Brings all members together, so that errors of earlier steps become visible.
    fn end(&mut self) {
        if !self.model.is_undisturbed() {
            self.act(Action::Network(NetworkChange { heal: true, ..NetworkChange::default() }));
        }
        self.release_handshake();
        let locked = self.model.locked();
        if !locked.is_empty() {
            self.act(Action::Unlock { who: self.names(&locked), wrong_key: false });
        }
        let offline = self.model.offline();
        if !offline.is_empty() {
            self.act(Action::Online { who: self.names(&offline) });
        }
        let robbed: Vec<_> = self.model.robbed.iter().copied().collect();
        if !robbed.is_empty() {
            self.act(Action::Rejoin { who: self.names(&robbed) });
        }
        if self.model.something_waits()
            && let Some(by) =
                self.model.present().into_iter().find(|member| !self.model.waits(ProposedChange::Remove(*member)))
        {
            self.act(Action::Update { by: self.name(by), signature_key: false });
        }
        if let Some(by) = self.actor(StepKind::Send)
            && let Some(send) = self.submission(StepKind::Send, by)
        {
            self.act(send);
        }
        self.lies();
    }
}
