//! The parts of a scenario that decide how its world is built.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZero,
    sync::Arc,
    time::Duration,
};

use regrow_engine::{Ciphersuite, Policy};

use super::{clock::CLOCK_SKEW, key_packages::KEY_PACKAGES, step_failure::StepFailure};
use crate::scenario::{
    self, Action, GroupSettings, Limit, MemberName, Placed, PolicySettings, Scenario, ServiceFault, Step, TheftScope,
};

/// The default of `publish_group_info`. A group info is a quarter of the work of a commit in a
/// large group, and most scenarios have no external commit. The default must not depend on the
/// steps: a later step would change the costs of earlier commits.
const PUBLISH_GROUP_INFO: bool = false;

/// The engine's policy for the members without a policy of their own: the settings of the group over
/// the engine's defaults.
///
/// # Errors
///
/// The devices of this build do not have the ciphersuite.
pub(super) fn policy(scenario: &Scenario) -> Result<Policy, StepFailure> {
    let settings = &scenario.group;
    let default = policy_without_suite(settings);
    let ciphersuite = match settings.ciphersuite {
        None => default.ciphersuite,
        Some(scenario::Ciphersuite::X25519Aes128GcmSha256Ed25519) => {
            Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519
        }
        Some(scenario::Ciphersuite::P256Aes128GcmSha256P256) => Ciphersuite::MLS_128_DHKEMP256_AES128GCM_SHA256_P256,
        Some(scenario::Ciphersuite::X25519ChaCha20Poly1305Sha256Ed25519) => {
            Ciphersuite::MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519
        }
        #[cfg(feature = "post-quantum")]
        Some(scenario::Ciphersuite::XWingChaCha20Poly1305Sha256Ed25519) => {
            Ciphersuite::MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519
        }
        #[cfg(not(feature = "post-quantum"))]
        Some(suite @ scenario::Ciphersuite::XWingChaCha20Poly1305Sha256Ed25519) => {
            return Err(StepFailure::rejected(format!("this build has no devices with the ciphersuite {suite}")));
        }
    };
    Ok(Policy { ciphersuite, ..default })
}

/// The policy with the engine's default ciphersuite.
pub(crate) fn policy_without_suite(settings: &GroupSettings) -> Policy {
    let default = Policy {
        // Most scenarios are longer than a day, and give the number of past epochs.
        past_epoch_age: None,
        clock_skew: CLOCK_SKEW,
        key_packages: KEY_PACKAGES,
        publish_group_info: PUBLISH_GROUP_INFO,
        ..Policy::default()
    };
    let handshake = settings.handshake.unwrap_or(default.handshake);
    with_settings(Policy { handshake, ..default }, &settings.policy)
}

/// The policy with these settings.
fn with_settings(policy: Policy, settings: &PolicySettings) -> Policy {
    let number = |setting: Option<u32>, default: usize| setting.map_or(default, |value| value as usize);
    Policy {
        past_epochs: number(settings.past_epochs, policy.past_epochs),
        past_epoch_age: time_limit(settings.past_epoch_age, policy.past_epoch_age),
        out_of_order: settings.out_of_order.unwrap_or(policy.out_of_order),
        max_forward: settings.max_forward.unwrap_or(policy.max_forward),
        padding: number(settings.padding, policy.padding),
        key_package_lifetime: settings.key_package_lifetime.map_or(policy.key_package_lifetime, |time| time.as_secs()),
        key_packages: number(settings.key_packages, policy.key_packages),
        publish_group_info: settings.publish_group_info.unwrap_or(policy.publish_group_info),
        send_ratchet_tree: settings.send_ratchet_tree.unwrap_or(policy.send_ratchet_tree),
        rotate_after_messages: number_limit(settings.rotate_after_messages, policy.rotate_after_messages),
        rotate_after: time_limit(settings.rotate_after, policy.rotate_after),
        rotate_signature_key_every: number_limit(
            settings.rotate_signature_key_every,
            policy.rotate_signature_key_every,
        ),
        remove_inactive_after: time_limit(settings.remove_inactive_after, policy.remove_inactive_after),
        lock_after: time_limit(settings.lock_after, policy.lock_after),
        ..policy
    }
}

fn time_limit(setting: Option<Limit<Duration>>, default: Option<NonZero<u64>>) -> Option<NonZero<u64>> {
    match setting {
        None => default,
        Some(Limit::Never) => None,
        Some(Limit::At(time)) => NonZero::new(time.as_secs()),
    }
}

fn number_limit(setting: Option<Limit<u32>>, default: Option<NonZero<u32>>) -> Option<NonZero<u32>> {
    match setting {
        None => default,
        Some(Limit::Never) => None,
        Some(Limit::At(number)) => NonZero::new(number),
    }
}

/// The policy of each member that has one of its own, over the policy of the group.
pub(super) fn own_policies(scenario: &Scenario, of_group: &Policy) -> BTreeMap<MemberName, Arc<Policy>> {
    let mut own = BTreeMap::new();
    for policy in &scenario.policies {
        let shared = Arc::new(with_settings(of_group.clone(), &policy.policy));
        own.extend(policy.who.iter().map(|name| (name.clone(), shared.clone())));
    }
    own
}

/// The members whose storage is stolen at some time, or whose devices lock. Their devices keep a
/// file from the beginning, so that the stolen file has a history.
pub(super) fn with_file(scenario: &Scenario) -> BTreeSet<MemberName> {
    let mut members: BTreeSet<_> = scenario
        .written_steps()
        .flat_map(|step| match step.item {
            Step::Do(Action::Compromise { who, scope: TheftScope::Disk, .. }) => vec![who],
            Step::Do(Action::Lock { who }) => who,
            _ => Vec::new(),
        })
        .collect();
    let locks = |name: &&MemberName| matches!(scenario.policy_of(name).lock_after, Some(Limit::At(_)));
    members.extend(scenario.members.iter().filter(locks).cloned());
    members
}

/// True if the scenario steals a device. Otherwise the crypto calls of the devices are not kept.
pub(super) fn somebody_steals(scenario: &Scenario) -> bool {
    scenario.written_steps().any(|step| matches!(step.item, Step::Do(Action::Compromise { .. })))
}

/// True if the members check the service: the scenario has a step or an expectation about it.
pub(super) fn checks_service(scenario: &Scenario) -> bool {
    scenario.written_steps().any(|step| match &step.item {
        Step::Do(Action::Service(_) | Action::Compare { .. }) => true,
        step => step.expect().is_some_and(|expect| !expect.evidence.is_empty()),
    })
}

/// True if the service shows two histories.
pub(super) fn equivocates(scenario: &Scenario) -> bool {
    scenario.written_steps().any(|step| matches!(step.item, Step::Do(Action::Service(ServiceFault::Equivocate { .. }))))
}

/// The first step that only a service in this process can carry out.
pub(super) fn first_for_local_service(scenario: &Scenario) -> Option<Placed<Step>> {
    scenario.written_steps().find(|step| match &step.item {
        Step::Do(Action::Service(fault)) => !matches!(fault, ServiceFault::LoseReply(_)),
        Step::Do(Action::Compare { .. } | Action::LostDevice { .. }) => true,
        step => step.expect().is_some_and(|expect| !expect.evidence.is_empty()),
    })
}
