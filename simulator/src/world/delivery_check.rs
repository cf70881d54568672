//! Compares the engine's result of a delivery with the expected result.

use regrow_delivery_service::{Delivery, DeliveryKind};
use regrow_engine::{DeviceId, Error, Ignored, Lost, Policy, ReceivedEvent, Refusal};

use super::{
    deliver::Arrived,
    device::{Device, ReadStatus, member_name},
    network::made_in,
    service_under_test::OrderedMessage,
    thieves::Forgery,
};
use crate::report::Unreadable;

/// The engine's result of a delivery; [`None`] inside for a welcome by which the device joined.
pub(super) type DeliveryResult = Result<Option<ReceivedEvent>, Error>;

/// A delivery that reaches a device.
pub(super) struct ArrivingDelivery<'a> {
    pub(super) delivery: &'a Delivery,
    /// The application message in the delivery, with its index.
    pub(super) message: Option<(usize, &'a OrderedMessage)>,
    /// The forgery, if a thief has submitted the entry.
    pub(super) forgery: Option<&'a Forgery>,
    pub(super) arrived: Arrived,
    /// The device's epoch before the delivery, if it was in the group.
    pub(super) epoch: Option<u64>,
    pub(super) policy: &'a Policy,
}

impl Device {
    /// The expectation that the result of a delivery breaks, if it breaks one.
    pub(super) fn broken_expectation(
        &mut self,
        arrival: &ArrivingDelivery<'_>,
        result: &DeliveryResult,
    ) -> Option<&'static str> {
        let own = arrival.delivery.sender == self.address;
        match arrival.message {
            _ if arrival.forgery.is_some_and(|forgery| forgery.device == self.index) => {
                self.check_own_forgery(arrival, result)
            }
            Some((number, message)) if !own => self.check_message(arrival, number, message, result),
            _ => self.check_entry(arrival, result),
        }
    }

    /// Checks the delivery of a thief's forgery in this device's own name: the device has to notice
    /// it.
    fn check_own_forgery(&mut self, arrival: &ArrivingDelivery<'_>, result: &DeliveryResult) -> Option<&'static str> {
        let is_commit = arrival.delivery.kind == DeliveryKind::Commit;
        let own = self.client.device().clone();
        let state = self.in_group(&arrival.delivery.group);
        match result {
            Ok(Some(ReceivedEvent::Lost(Lost::Restored))) => {
                state.lost = true;
                state.locked_out |= is_commit;
                None
            }
            Ok(Some(ReceivedEvent::Removed { by, .. })) if *by == own => {
                state.lost = true;
                state.locked_out = true;
                None
            }
            // The device knows that it is not in the group. The leaf there may now be the thief's.
            Err(Error::UnknownGroup { .. } | Error::Removed { .. }) if arrival.epoch.is_none() => {
                state.locked_out |= is_commit;
                None
            }
            Err(Error::FutureEpoch { .. }) if state.missed || state.locked_out => None,
            _ => Some("the device notices that another device acts in its name"),
        }
    }

    /// Checks the delivery of another device's application message against the window.
    fn check_message(
        &mut self,
        arrival: &ArrivingDelivery<'_>,
        number: usize,
        sent: &OrderedMessage,
        result: &DeliveryResult,
    ) -> Option<&'static str> {
        let ArrivingDelivery { arrived: Arrived { late, early, .. }, epoch, policy, .. } = *arrival;
        if early {
            return match result {
                Err(Error::FutureEpoch { .. } | Error::UnknownGroup { .. } | Error::Removed { .. }) => None,
                _ => Some("the device refuses it until its epoch begins"),
            };
        }
        let state = self.groups.entry(arrival.delivery.group.clone()).or_default();
        // A message that arrives in order arrives in its own epoch.
        let reads = epoch
            .filter(|epoch| *epoch >= sent.at.epoch)
            .ok_or(Unreadable::NotInEpoch)
            .and_then(|epoch| state.window.read(sent.at, if late { epoch } else { sent.at.epoch }, policy));
        let is_read = matches!(result, Ok(Some(ReceivedEvent::Message(_))));
        if state.cut_off.is_now() && !is_read {
            if self.read_status.get(&number) != Some(&ReadStatus::Read) {
                self.read_status.insert(number, reads.map_or_else(ReadStatus::Unreadable, |()| ReadStatus::CutOff));
                state.cut_off.lose_entry();
            }
            return None;
        }
        if self.read_status.get(&number) != Some(&ReadStatus::Read) {
            self.read_status.insert(number, reads.map_or_else(ReadStatus::Unreadable, |()| ReadStatus::Read));
        }
        let may = reads.is_ok();
        match result {
            Ok(Some(ReceivedEvent::Message(read))) if may && *read.text == sent.text => None,
            Ok(Some(ReceivedEvent::Message(_))) if may => Some("the device reads the sent text"),
            Ok(Some(ReceivedEvent::Message(_))) => Some("it is unreadable, because its keys are erased"),
            Ok(Some(ReceivedEvent::Ignored(Ignored::AlreadyRead | Ignored::TooOld))) if !may => None,
            Err(Error::UnknownGroup { .. } | Error::Removed { .. }) if epoch.is_none() => None,
            Err(Error::FutureEpoch { .. }) if state.missed || state.locked_out => None,
            // The engine cannot tell a message beyond the limit from a forgery, and refuses it.
            Err(Error::Invalid { .. } | Error::Gap) if state.window.is_too_far_ahead(sent.at, policy) => None,
            _ if may => Some("the device reads it"),
            _ => Some("the device ignores it as read before or too old"),
        }
    }

    /// Checks the delivery of a commit, proposal, welcome, or own message.
    fn check_entry(&mut self, arrival: &ArrivingDelivery<'_>, result: &DeliveryResult) -> Option<&'static str> {
        let has_lost_key_packages = self.clock.was_wrong() || self.is_restored;
        let refuses = self.answers.refuses_somebody();
        let state = self.in_group(&arrival.delivery.group);
        // The device has no use for the entry: it has had the entry, or is past its epoch.
        let is_past = arrival.arrived.copy || arrival.arrived.late && made_in(arrival.delivery) < state.reached;
        match result {
            Ok(Some(ReceivedEvent::Lost(_))) | Err(_) if state.cut_off.is_now() => {
                state.cut_off.lose_entry();
                None
            }
            // The member and the thief use the same generations. A device that has read the one's
            // message cannot read the other's.
            Ok(Some(ReceivedEvent::Lost(_))) if arrival.forgery.is_some() => {
                state.locked_out = true;
                None
            }
            Ok(Some(ReceivedEvent::Lost(_))) if state.refused_proposal => {
                state.refuse();
                None
            }
            Ok(Some(ReceivedEvent::Lost(_))) => Some("the device processes it"),
            Ok(event) => {
                state.refused_proposal &= !matches!(event, Some(ReceivedEvent::Commit(_)));
                None
            }
            Err(Error::Refused(Refusal::Unauthenticated { .. })) if refuses => {
                match arrival.delivery.kind {
                    DeliveryKind::Proposal => state.refused_proposal = true,
                    _ => state.refuse(),
                }
                None
            }
            Err(Error::NotInvited | Error::GroupExists { .. } | Error::Removed { .. } | Error::UnknownGroup { .. })
                if is_past =>
            {
                None
            }
            // The device has erased the key package before its time: by its own clock, or when it was
            // restored.
            Err(Error::NotInvited) if has_lost_key_packages => {
                state.locked_out = true;
                None
            }
            // The device has lost its state, and has not rejoined yet.
            Err(Error::UnknownGroup { .. }) if arrival.epoch.is_none() => None,
            Err(Error::Removed { .. }) if state.locked_out => None,
            // The device reports the gap, and has to rejoin.
            Err(Error::FutureEpoch { .. }) if state.missed || state.locked_out => None,
            Err(_) => Some("the device processes it"),
        }
    }
}

/// True if the result of a thief's message or commit shows the device that something is wrong.
pub(super) fn is_noticed(result: &DeliveryResult, own: &DeviceId) -> bool {
    match result {
        Ok(Some(ReceivedEvent::Lost(_))) => true,
        Ok(Some(ReceivedEvent::Removed { by, .. })) => by == own,
        Ok(Some(ReceivedEvent::Commit(change))) => !change.no_longer_verified.is_empty(),
        Err(Error::Refused(_) | Error::Invalid { .. }) => true,
        _ => false,
    }
}

/// The result in words, for the transcript.
///
/// `suffix` is the suffix of the names of devices.
pub(super) fn describe(result: &DeliveryResult, suffix: &str) -> String {
    let event = match result {
        Ok(None) => return "joined".to_owned(),
        Ok(Some(event)) => event,
        Err(error) => return format!("error: {error}"),
    };
    match event {
        ReceivedEvent::Message(_) => "read".into(),
        ReceivedEvent::Proposal { .. } => "proposal queued".into(),
        ReceivedEvent::Commit(change) => format!("epoch {}", change.epoch),
        ReceivedEvent::Removed { by, epoch } => format!("removed by {} in epoch {epoch}", member_name(by, suffix)),
        ReceivedEvent::Own => "its own".into(),
        ReceivedEvent::Lost(Lost::Commit { detail }) => format!("cannot go on: {detail}"),
        ReceivedEvent::Lost(lost @ (Lost::Clock { .. } | Lost::Unsupported(_) | Lost::Fork { .. })) => {
            format!("cannot go on: {lost}")
        }
        ReceivedEvent::Lost(Lost::Restored) => "cannot go on: its state is a copy".into(),
        ReceivedEvent::Ignored(Ignored::PastEpoch) => "ignored: of a past epoch".into(),
        ReceivedEvent::Ignored(Ignored::AlreadyRead) => "ignored: read before".into(),
        ReceivedEvent::Ignored(Ignored::Clock) => "ignored: not valid by the clock".into(),
        ReceivedEvent::Ignored(Ignored::TooOld) => "ignored: its keys are gone".into(),
    }
}
