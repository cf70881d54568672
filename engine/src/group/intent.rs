//! Intents: changes that the device wants, stored until they have happened. A lost race costs a
//! new attempt, but never loses an intent.

use std::collections::BTreeSet;

use openmls::prelude::KeyPackage;
use serde::{Deserialize, Serialize};

use crate::{DeviceId, UserId, error::Error, identity::device_of_key_package};

/// A change that this device wants in a group.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Intent {
    /// Add the devices of these key packages. (They were verified when the intent was created.)
    Add(Vec<KeyPackage>),
    /// Remove these devices.
    Remove(Vec<DeviceId>),
    /// Remove all devices that this user has in the group at the time of the commit.
    RemoveUser(UserId),
    /// Set the group data to these bytes.
    Data(Vec<u8>),
    /// Give this device's leaf new keys.
    Update {
        /// True if the signature key is also replaced.
        signature_key: bool,
    },
    /// Commit the proposals of the epoch. Any commit fulfills this intent.
    CommitProposals,
    /// Leave the group. The intent is fulfilled when this device has been removed.
    Leave,
}

/// Adds an intent after the existing intents. Parts of earlier intents that contradict it are
/// deleted, so the last intent counts.
pub(crate) fn remember(intents: &mut Vec<Intent>, intent: Intent) -> Result<(), Error> {
    match &intent {
        Intent::Add(key_packages) => {
            let devices: BTreeSet<DeviceId> =
                key_packages.iter().map(device_of_key_package).collect::<Result<_, _>>()?;
            forget_adding(intents, |device| devices.contains(device))?;
        }
        Intent::RemoveUser(user) => {
            intents.retain(|intent| !matches!(intent, Intent::RemoveUser(known) if known == user));
            forget_adding(intents, |device| device.user() == user)?;
        }
        Intent::Data(_) => intents.retain(|intent| !matches!(intent, Intent::Data(_))),
        Intent::Remove(_) | Intent::Update { .. } | Intent::CommitProposals | Intent::Leave => {}
    }
    intents.push(intent);
    Ok(())
}

/// Deletes the intents to add these devices.
pub(crate) fn forget_adding(intents: &mut [Intent], forgotten: impl Fn(&DeviceId) -> bool) -> Result<(), Error> {
    for intent in intents {
        let Intent::Add(key_packages) = intent else { continue };
        for key_package in std::mem::take(key_packages) {
            if !forgotten(&device_of_key_package(&key_package)?) {
                key_packages.push(key_package);
            }
        }
    }
    Ok(())
}
