//! The reason why a thief cannot read a message, in words.

use super::record::{MessageRecord, ThiefRecord};
use crate::{oracle::Obstacle, scenario::TheftScope};

/// The reason why a stolen part of a device opens no message. [`None`] for a whole device.
#[must_use]
pub fn without_keys(scope: TheftScope) -> Option<&'static str> {
    match scope {
        TheftScope::Device => None,
        TheftScope::Disk => Some("The thief has the files, but not the key that opens them."),
        TheftScope::Backup => Some("The thief has the backup, and no key of a group is in it."),
    }
}

/// The reason why a thief cannot read a message.
#[must_use]
pub fn hidden(thief: &ThiefRecord, message: &MessageRecord, obstacle: Option<Obstacle>) -> String {
    let epoch = message.epoch;
    let device_epoch = thief.groups.get(&message.group).and_then(|group| group.device_epoch);
    if let Some(reason) = without_keys(thief.scope) {
        return reason.to_owned();
    }
    match obstacle {
        Some(Obstacle::ErasedKey) => {
            "The device had used the key of the message, and had erased it before the theft.".to_owned()
        }
        Some(Obstacle::NoEpoch { .. } | Obstacle::FirstEpoch) if device_epoch.is_some_and(|at| epoch <= at) => {
            format!("The device had no secrets of epoch {epoch} when it was stolen.")
        }
        Some(Obstacle::NoEpoch { init_secret, commit_secret, commit }) => {
            let mut missing = Vec::new();
            if !init_secret {
                missing.push(format!("the init secret for epoch {epoch}"));
            }
            if !commit_secret {
                missing.push(format!("the commit secret of epoch {epoch}"));
            }
            let also = if commit { "" } else { " The thief cannot decrypt the commit." };
            format!("The thief does not know {}.{also}", missing.join(" and "))
        }
        Some(Obstacle::FirstEpoch) => "The thief has no secrets of epoch 0.".to_owned(),
        Some(Obstacle::Unknown) | None => "The oracle has no reason.".to_owned(),
    }
}
