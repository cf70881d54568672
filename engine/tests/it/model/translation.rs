//! Translates the engine's values to the model's.

use std::collections::BTreeSet;

use regrow_engine::{Change, DeviceId, Error, Ignored, Lost, ReceivedEvent};

use super::{
    comparison::NAMES,
    prediction::{Failure, Outcome},
    service::DeviceNo,
};

pub fn number(device: &DeviceId) -> DeviceNo {
    NAMES.iter().position(|name| *name == device.user()).unwrap()
}

pub fn sorted(changes: &[Change]) -> (BTreeSet<DeviceNo>, BTreeSet<DeviceNo>, BTreeSet<DeviceNo>) {
    let mut sets = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for change in changes {
        let first = match change {
            Change::Added(device) => sets.0.insert(number(device)),
            Change::Removed(device) => sets.1.insert(number(device)),
            Change::Updated(device) => sets.2.insert(number(device)),
            Change::Data(_) => panic!("nobody sets the group's data"),
        };
        assert!(first, "a change is listed twice: {change}");
    }
    sets
}

pub fn event(event: ReceivedEvent) -> Outcome {
    match event {
        ReceivedEvent::Message(message) => {
            Outcome::Message { by: number(&message.sender), epoch: message.epoch.0, text: message.text.to_vec() }
        }
        ReceivedEvent::Proposal { by, .. } => Outcome::Proposal { by: number(&by) },
        ReceivedEvent::Commit(change) => {
            let (added, removed, updated) = sorted(&change.changes);
            let (by, epoch, resume) = (number(&change.by), change.epoch.0, change.resume);
            Outcome::Commit { by, epoch, added, removed, updated, resume }
        }
        ReceivedEvent::Removed { by, epoch } => Outcome::Removed { by: number(&by), epoch: epoch.0 },
        ReceivedEvent::Own => Outcome::Own,
        ReceivedEvent::Ignored(Ignored::PastEpoch) => Outcome::PastEpoch,
        ReceivedEvent::Ignored(Ignored::AlreadyRead) => Outcome::AlreadyRead,
        ReceivedEvent::Ignored(Ignored::TooOld) => Outcome::TooOld,
        ReceivedEvent::Lost(Lost::Commit { .. } | Lost::Fork { .. }) => Outcome::Lost,
        other @ (ReceivedEvent::Lost(_) | ReceivedEvent::Ignored(Ignored::Clock)) => panic!("{other:?}"),
    }
}

pub fn failure(error: &Error) -> Failure {
    match error {
        Error::AlreadyMember { .. } => Failure::AlreadyMember,
        Error::CommitPending { .. } => Failure::CommitPending,
        Error::FutureEpoch { .. } => Failure::FutureEpoch,
        Error::GroupExists { .. } => Failure::GroupExists,
        Error::Invalid { .. } => Failure::Invalid,
        Error::NotInvited => Failure::NotInvited,
        Error::NothingToCommit => Failure::NothingToCommit,
        Error::NotPending => Failure::NotPending,
        Error::OwnRemoval => Failure::OwnRemoval,
        Error::ProposalsWait => Failure::ProposalsWait,
        Error::Removed { .. } => Failure::Removed,
        Error::UnknownGroup { .. } => Failure::UnknownGroup,
        Error::UnknownMember { .. } => Failure::UnknownMember,
        other => panic!("unexpected error of a call: {other}"),
    }
}
