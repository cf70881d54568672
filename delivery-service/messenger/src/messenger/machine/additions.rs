//! Additions: the machine claims key packages only of the missing devices, because a claimed key
//! package is used up.
//!
//! The signed list of the user's devices names the devices and the signature key of each. Each
//! device counts by itself: a device without a usable key package does not keep the user's others
//! out.

use std::{collections::BTreeSet, sync::Arc};

use regrow_engine::{DeviceId, Error as EngineError, GroupId, IdentityClaim, KeyPackageBytes, Outgoing};

use super::state::Machine;
use crate::{
    api::{ClaimAnswer, DeviceListPage},
    error::{ConnectionError, Error},
    messenger::{
        addition::{AdditionProgress, AdditionStage, AdditionTarget},
        app_data::{self, Changes},
        event::Event,
        list_lane::ListReading,
        problem::{decided, is_too_many_claims},
        records::KnownList,
        request::GroupRequest,
        scope::FailureScope,
    },
};

impl Machine {
    /// Returns the next request of an addition: to read the list of the user's devices, a claim, or
    /// the commit.
    pub(super) fn next_of_addition(
        &mut self,
        id: &GroupId,
        target: &AdditionTarget,
    ) -> Result<Option<GroupRequest>, Error> {
        let progress = self.group(id).additions.entry(target.clone()).or_insert_with(AdditionProgress::new);
        match &progress.stage {
            AdditionStage::ReadList => {
                let after = self.last_entry_read(target.user())?;
                Ok(Some(GroupRequest::DeviceList(target.clone(), after)))
            }
            AdditionStage::Claim(devices) => match devices.front() {
                Some(device) => Ok(Some(GroupRequest::Claim(target.clone(), device.clone()))),
                None => self.add_claimed(id, target),
            },
        }
    }

    /// Takes in a part of the list of the user's devices.
    pub(super) fn list_read_for_addition(
        &mut self,
        id: &GroupId,
        target: &AdditionTarget,
        response: Result<DeviceListPage, ConnectionError>,
    ) -> Result<(), Error> {
        let page = match decided(response)? {
            Ok(page) => page,
            Err(problem) => return self.refuse_addition(id, target, problem.to_string()),
        };
        let known = match self.take_in_list(target.user(), Ok(page))? {
            ListReading::Partly => return Ok(()),
            ListReading::Whole(known) => known,
            ListReading::Unusable(reason) => return self.refuse_addition(id, target, reason),
        };
        if let Some(reason) = known.unaccepted() {
            return self.refuse_addition(id, target, reason);
        }
        let members: BTreeSet<DeviceId> = self.client.group(id)?.roster()?.into_iter().map(|it| it.device).collect();
        let missing = match target {
            AdditionTarget::User(_) => {
                let banned = &self.group(id).facts().banned;
                let listed = known.list.devices().map(|(device, _)| device);
                listed.filter(|device| !members.contains(device) && !banned.contains(device)).collect()
            }
            AdditionTarget::Device(device) if known.list.get(device).is_none() => {
                let cause = Error::Unlisted { device: device.clone() };
                return self.refuse_addition(id, target, cause.to_string());
            }
            AdditionTarget::Device(device) => {
                Some(device.clone()).into_iter().filter(|device| !members.contains(device)).collect()
            }
        };
        if let Some(progress) = self.group(id).additions.get_mut(target) {
            progress.stage = AdditionStage::Claim(missing);
        }
        Ok(())
    }

    /// Takes in the claim of one device's key package.
    pub(super) fn claimed(
        &mut self,
        id: &GroupId,
        target: &AdditionTarget,
        device: &DeviceId,
        response: Result<ClaimAnswer, ConnectionError>,
    ) -> Result<(), Error> {
        let Some(mut progress) = self.group(id).additions.remove(target) else { return Ok(()) };
        match response {
            // The limit of one device is no reason to leave out the others.
            Err(error) if is_too_many_claims(&error) => progress.later = Some(error),
            response => match decided(response) {
                Ok(Ok(claimed)) => self.take_claimed(id, &mut progress, device, claimed)?,
                Ok(Err(problem)) => self.not_added(id, &mut progress, device.clone(), problem.into()),
                Err(error) => {
                    self.group(id).additions.insert(target.clone(), progress);
                    return Err(error);
                }
            },
        }
        if let AdditionStage::Claim(devices) = &mut progress.stage {
            devices.pop_front();
        }
        self.group(id).additions.insert(target.clone(), progress);
        Ok(())
    }

    /// Takes the claimed key package, if its signature key is the device's key on the user's list.
    fn take_claimed(
        &mut self,
        id: &GroupId,
        progress: &mut AdditionProgress,
        device: &DeviceId,
        answer: ClaimAnswer,
    ) -> Result<(), Error> {
        let claimed = answer.key_packages.into_iter().find(|claimed| claimed.device == *device);
        let Some(claimed) = claimed else {
            self.not_added(id, progress, device.clone(), EngineError::NoKeyPackage.into());
            return Ok(());
        };
        let key_package = KeyPackageBytes::new(claimed.key_package.0);
        let known = app_data::device_list(&self.client, device.user())?;
        match self.client.examine_key_package(&key_package, self.now()) {
            Ok(shown) if is_vouched_for(known.as_ref(), device, &shown) => {
                progress.claimed.push((device.clone(), key_package));
            }
            Ok(_) => self.not_added(id, progress, device.clone(), Error::Unlisted { device: device.clone() }),
            Err(error) if is_of_key_package(&error) => self.not_added(id, progress, device.clone(), error.into()),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn not_added(&mut self, id: &GroupId, progress: &mut AdditionProgress, device: DeviceId, cause: Error) {
        progress.is_incomplete = true;
        self.events.push_back(Event::NotAdded { group: id.clone(), device, cause: Arc::new(cause) });
    }

    /// Refuses the intent, because no device can be added.
    fn refuse_addition(&mut self, id: &GroupId, target: &AdditionTarget, reason: String) -> Result<(), Error> {
        let intent = target.intent();
        self.group(id).additions.remove(target);
        self.events.push_back(Event::Refused { group: id.clone(), intent: Some(intent.clone()), reason });
        self.intent_taken(id, &intent, Changes::default())
    }

    fn refuse_all_devices(&mut self, id: &GroupId, target: &AdditionTarget) -> Result<(), Error> {
        self.refuse_addition(id, target, format!("no device of {} can be added now", target.user()))
    }

    /// Adds the devices in one commit, after the last claim that is possible now.
    fn add_claimed(&mut self, id: &GroupId, target: &AdditionTarget) -> Result<Option<GroupRequest>, Error> {
        let Some(mut progress) = self.group(id).additions.remove(target) else { return Ok(None) };
        let (intent, now) = (target.intent(), self.now());
        if let Some(error) = progress.later.take() {
            // The intent stays for the devices that are missing then.
            let lane = FailureScope::Intent { group: id.clone(), intent: intent.clone() };
            self.events.extend(self.lanes.fails(lane, error.into(), &self.retry, (self.options.monotonic)()));
            if progress.claimed.is_empty() {
                return Ok(None);
            }
        } else if progress.claimed.is_empty() {
            return match progress.is_incomplete {
                true => self.refuse_all_devices(id, target).map(|()| None),
                false => self.intent_taken(id, &intent, Changes::default()).map(|()| None),
            };
        }
        let key_packages: Vec<_> = progress.claimed.iter().map(|(_, key_package)| key_package.clone()).collect();
        match self.client.group(id)?.add_user(target.user(), &key_packages, now) {
            Err(error) if is_of_key_package(&error) => self.add_one_by_one(id, target, progress),
            made => self.commit_made(id, &intent, made),
        }
    }

    /// Tries each key package by itself, because one of them is unusable in this group, and adds
    /// the usable ones together.
    fn add_one_by_one(
        &mut self,
        id: &GroupId,
        target: &AdditionTarget,
        mut progress: AdditionProgress,
    ) -> Result<Option<GroupRequest>, Error> {
        let (intent, now) = (target.intent(), self.now());
        let mut is_usable = false;
        for (device, key_package) in std::mem::take(&mut progress.claimed) {
            match self.client.group(id)?.add_user(target.user(), &[key_package], now) {
                // The engine remembers the intent, so that the commit at the end adds all.
                Ok(pending) => {
                    self.client.discard(pending)?;
                    is_usable = true;
                }
                Err(EngineError::NothingToCommit) => {}
                Err(error) if is_of_key_package(&error) => self.not_added(id, &mut progress, device, error.into()),
                Err(error) => return self.commit_made(id, &intent, Err(error)),
            }
        }
        if !is_usable {
            return self.refuse_all_devices(id, target).map(|()| None);
        }
        match self.client.group(id)?.resume() {
            Ok(Some(Outgoing::Commit(pending))) => self.commit_made(id, &intent, Ok(pending)),
            Ok(_) => self.commit_made(id, &intent, Err(EngineError::NothingToCommit)),
            Err(error) => self.commit_made(id, &intent, Err(error)),
        }
    }
}

/// True if the list of the user's devices has the device with the signature key of its key package.
fn is_vouched_for(known: Option<&KnownList>, device: &DeviceId, shown: &IdentityClaim) -> bool {
    let listed = known.and_then(|known| known.list.get(device));
    shown.device == *device && listed.is_some_and(|listed| listed.signature_key == shown.signature_key.as_bytes())
}

/// True if the error concerns a key package, and neither the group nor this device.
fn is_of_key_package(error: &EngineError) -> bool {
    matches!(
        error,
        EngineError::Malformed { .. }
            | EngineError::Invalid { .. }
            | EngineError::Refused(_)
            | EngineError::OtherUser { .. }
            | EngineError::OtherDevice { .. }
            | EngineError::Name(_)
            | EngineError::Internal { .. }
    )
}
