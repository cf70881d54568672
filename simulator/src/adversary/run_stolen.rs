//! Runs a stolen state as an adversary.

use std::sync::Arc;

use regrow_engine::{CryptoProvider, Policy};

use super::{
    disk::{self, BreakInError},
    replay::{Adversary, Replay},
    stolen_state::StolenState,
    without_device::WithoutDevice,
};

/// Makes an adversary that runs the stolen state, if it can be run.
///
/// # Errors
///
/// If it is impossible to try the stolen state. Such an error says nothing about its value.
pub fn run_stolen(
    stolen: &StolenState,
    crypto: Arc<dyn CryptoProvider>,
    policy: Policy,
) -> Result<Box<dyn Adversary>, BreakInError> {
    let opened;
    let snapshot = match stolen {
        StolenState::Device(snapshot) => snapshot,
        StolenState::Disk(files) => match disk::break_in(files, &crypto, &policy)? {
            Some(snapshot) => {
                opened = snapshot;
                &opened
            }
            None => return Ok(Box::new(WithoutDevice::new())),
        },
        StolenState::Backup(_) => return Ok(Box::new(WithoutDevice::new())),
    };
    Ok(Box::new(Replay::new(snapshot, crypto, policy)?))
}
