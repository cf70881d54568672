//! The stock of key packages at the service: claims, publication, and replacement of used ones.

use std::collections::BTreeSet;

use regrow_delivery_service::ClaimOutcome;
use regrow_engine::{GroupId, KeyPackageBytes, Timestamp};

use super::{
    clock::VirtualClock,
    device::Device,
    devices::Devices,
    event::{TranscriptEvent, fingerprint},
    recorder::Recorder,
    service_under_test::ServiceUnderTest,
    step_failure::StepFailure,
};
use crate::{
    cost::Operation,
    scenario::{FailCode, MemberName},
};

/// The number of single-use key packages of each member at the service, if its policy says nothing.
pub(crate) const KEY_PACKAGES: usize = 2;

/// A number of new key packages, in addition to the others or in their place.
#[derive(Clone, Copy)]
enum Publication {
    Add(usize),
    ReplaceAll(usize),
}

/// Tells if the service has taken the key packages.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Published {
    Yes,
    /// The service refuses them by its own clock, which is wrong.
    No,
}

/// The stock of key packages.
#[derive(Default)]
pub(super) struct KeyPackageStock {
    /// The devices that may have too few key packages at the service.
    to_check: BTreeSet<usize>,
    /// The devices that have erased the private keys of all their key packages at the service.
    to_renew: BTreeSet<usize>,
}

impl KeyPackageStock {
    /// Has the stock of all devices checked at the next [`replenish`](Self::replenish).
    pub(super) fn check_all(&mut self, devices: &Devices) {
        self.to_check = (0..devices.len()).collect();
    }

    /// Has the stock of a device checked at the next [`replenish`](Self::replenish).
    pub(super) fn check(&mut self, device: usize) {
        self.to_check.insert(device);
    }

    /// Has all key packages of a device replaced at the next [`replenish`](Self::replenish).
    pub(super) fn renew_later(&mut self, device: usize) {
        self.to_renew.insert(device);
    }

    /// Takes a key package of each member from the service, in the name of the device `by`. The
    /// members are not in the group.
    pub(super) fn claim(
        &mut self,
        service: &ServiceUnderTest<'_>,
        group: &GroupId,
        devices: &Devices,
        by: usize,
        who: &[MemberName],
        now: Timestamp,
    ) -> Result<Vec<KeyPackageBytes>, StepFailure> {
        let mut key_packages = Vec::with_capacity(who.len());
        for name in who {
            let device = devices.find(name)?;
            if service.roster(group).contains(&device) {
                return Err(StepFailure::new(FailCode::AlreadyAMember, format!("{name} is in the group")));
            }
            let claimed = self.claim_one(service, devices, by, device, now)?;
            let none_left = || {
                let detail = format!("the delivery service has no key package of {name}");
                StepFailure::new(FailCode::NoKeyPackage, detail)
            };
            key_packages.push(claimed.ok_or_else(none_left)?);
        }
        Ok(key_packages)
    }

    /// Takes a key package of a device from the service, in the name of the device `by`. [`None`] if
    /// the service has none left.
    pub(super) fn claim_one(
        &mut self,
        service: &ServiceUnderTest<'_>,
        devices: &Devices,
        by: usize,
        device: usize,
        now: Timestamp,
    ) -> Result<Option<KeyPackageBytes>, StepFailure> {
        let (target, claimer) = (&devices[device].address, &devices[by].address);
        match service.endpoint_of(by).claim_key_package(target, claimer, now)? {
            ClaimOutcome::Claimed(claimed) => {
                self.to_check.insert(device);
                Ok(Some(KeyPackageBytes::new(claimed.bytes)))
            }
            ClaimOutcome::NoneLeft => Ok(None),
            ClaimOutcome::Rejected(reason) => {
                Err(StepFailure::rejected(format!("the delivery service refuses it: {reason}")))
            }
        }
    }

    /// Publishes key packages of the devices that have too few, because theirs were claimed or have
    /// expired, and of those that have to replace theirs. An offline device waits.
    pub(super) fn replenish(
        &mut self,
        service: &ServiceUnderTest<'_>,
        devices: &mut Devices,
        clock: &VirtualClock,
        recorder: &mut Recorder<'_>,
    ) -> Result<(), StepFailure> {
        for device in std::mem::take(&mut self.to_renew) {
            let owner = &mut devices[device];
            let publication = Publication::ReplaceAll(owner.policy.key_packages);
            if !owner.is_connected() || self.publish(service, owner, publication, clock, recorder)? == Published::No {
                self.to_renew.insert(device);
            }
        }
        for device in std::mem::take(&mut self.to_check) {
            if !devices[device].is_connected() {
                self.to_check.insert(device);
                continue;
            }
            let owner = &mut devices[device];
            let left = service.endpoint.key_packages_left(&owner.address, clock.now())?.left;
            let now = owner.clock.now(clock);
            let missing = owner.client.key_packages_due(left);
            owner.persist(recorder, Operation::Housekeeping, |client| client.expire(now).map(drop))?;
            recorder.facts.key_packages_expired(device, now);
            owner.past_epochs_expired(now, recorder);
            if missing > 0 && self.publish(service, owner, Publication::Add(missing), clock, recorder)? == Published::No
            {
                self.to_check.insert(device);
            }
        }
        Ok(())
    }

    /// Replaces all key packages of a device at the service.
    pub(super) fn renew(
        &self,
        service: &ServiceUnderTest<'_>,
        owner: &mut Device,
        clock: &VirtualClock,
        recorder: &mut Recorder<'_>,
    ) -> Result<(), StepFailure> {
        let wanted = owner.policy.key_packages;
        self.publish(service, owner, Publication::ReplaceAll(wanted), clock, recorder).map(drop)
    }

    /// Makes and publishes new key packages of a device.
    fn publish(
        &self,
        service: &ServiceUnderTest<'_>,
        owner: &mut Device,
        publication: Publication,
        clock: &VirtualClock,
        recorder: &mut Recorder<'_>,
    ) -> Result<Published, StepFailure> {
        let (Publication::Add(count) | Publication::ReplaceAll(count)) = publication;
        let now = owner.clock.now(clock);
        let make = |client: &mut regrow_engine::Client| client.key_packages(count, now);
        let made = owner.persist(recorder, Operation::KeyPackages, make)?;
        let expires = Timestamp(now.0.saturating_add(owner.policy.key_package_lifetime));
        for key_package in &made {
            recorder.facts.key_package_made(owner.index, key_package.as_bytes(), expires);
        }
        let bytes: Vec<_> = made.into_iter().map(KeyPackageBytes::into_bytes).collect();
        let at_service = clock.now();
        let uploaded = match publication {
            Publication::Add(_) => service.endpoint.upload_key_packages(&owner.address, &bytes, None, at_service)?,
            Publication::ReplaceAll(_) => {
                service.endpoint.replace_key_packages(&owner.address, &bytes, None, at_service)?
            }
        };
        if let Some(refused) = uploaded.refused.first() {
            if owner.clock.was_wrong() {
                // The device makes new ones when its clock may be right again.
                let why = refused.reason.to_string();
                recorder.tell(TranscriptEvent::KeyPackagesRefused { of: owner.name.clone(), why });
                return Ok(Published::Yes);
            }
            if service.endpoint.time(at_service) != at_service {
                // By the service's clock, the key packages are not valid. The device tries again.
                return Ok(Published::No);
            }
            return Err(StepFailure::rejected(&refused.reason));
        }
        let of = owner.name.clone();
        let sha256 = fingerprint(&bytes.concat());
        recorder.tell(TranscriptEvent::KeyPackages { of, count: bytes.len(), sha256 });
        Ok(Published::Yes)
    }
}
