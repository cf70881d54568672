//! The parts of a scenario that decide how its world is built.

use std::collections::BTreeSet;

use regrow_engine::{Ciphersuite, Policy};

use super::{clock::CLOCK_SKEW, step_failure::StepFailure};
use crate::scenario::{self, Action, GroupSettings, MemberName, Placed, Scenario, ServiceFault, Step, TheftScope};

/// The default of `publish_group_info`. A group info is a quarter of the work of a commit in a
/// large group, and most scenarios have no external commit. The default must not depend on the
/// steps: a later step would change the costs of earlier commits.
const PUBLISH_GROUP_INFO: bool = false;

/// The engine's policy for all members: the settings of the scenario over the engine's defaults.
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
    let default = Policy::default();
    let number = |setting: Option<u32>, default: usize| setting.map_or(default, |value| value as usize);
    Policy {
        handshake: settings.handshake.unwrap_or(default.handshake),
        past_epochs: number(settings.past_epochs, default.past_epochs),
        // A scenario gives the number of past epochs, and the oracle counts them.
        past_epoch_age: None,
        out_of_order: settings.out_of_order.unwrap_or(default.out_of_order),
        padding: number(settings.padding, default.padding),
        clock_skew: CLOCK_SKEW,
        publish_group_info: settings.publish_group_info.unwrap_or(PUBLISH_GROUP_INFO),
        ..default
    }
}

/// The members whose storage is stolen at some time. Their devices keep a file from the beginning,
/// so that the stolen file has a history.
pub(super) fn stolen_on_disk(scenario: &Scenario) -> BTreeSet<MemberName> {
    let stolen = scenario.written_steps().filter_map(|step| match step.item {
        Step::Do(Action::Compromise { who, scope: TheftScope::Disk, .. }) => Some(who),
        _ => None,
    });
    stolen.collect()
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
        Step::Do(Action::Compare { .. }) => true,
        step => step.expect().is_some_and(|expect| !expect.evidence.is_empty()),
    })
}
