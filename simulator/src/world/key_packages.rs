//! The stock of key packages at the service: claims, publication, and replacement of used ones.

use std::collections::BTreeSet;

use regrow_delivery_service::ClaimOutcome;
use regrow_engine::{KeyPackageBytes, Timestamp};

use super::{
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

/// The number of single-use key packages of each member at the service.
const KEY_PACKAGES: usize = 2;

/// The stock of key packages.
pub(super) struct KeyPackageStock {
    /// The lifetime of a key package, in seconds.
    lifetime: u64,
    /// The devices that may have too few key packages at the service.
    to_check: BTreeSet<usize>,
}

impl KeyPackageStock {
    pub(super) fn new(lifetime: u64) -> Self {
        Self { lifetime, to_check: BTreeSet::new() }
    }

    /// Has the stock of all devices checked at the next [`replenish`](Self::replenish).
    pub(super) fn check_all(&mut self, devices: &Devices) {
        self.to_check = (0..devices.len()).collect();
    }

    /// Takes a key package of each member from the service, in the name of the device `by`.
    pub(super) fn claim(
        &mut self,
        service: &ServiceUnderTest<'_>,
        devices: &Devices,
        by: usize,
        who: &[MemberName],
        now: Timestamp,
    ) -> Result<Vec<KeyPackageBytes>, StepFailure> {
        let mut key_packages = Vec::with_capacity(who.len());
        for name in who {
            let device = devices.find(name)?;
            if service.roster().contains(&device) {
                return Err(StepFailure::new(FailCode::AlreadyAMember, format!("{name} is in the group")));
            }
            let (target, claimer) = (&devices[device].address, &devices[by].address);
            let claimed = match service.endpoint.claim_key_package(target, claimer, now)? {
                ClaimOutcome::Claimed(claimed) => claimed,
                ClaimOutcome::NoneLeft => {
                    let detail = format!("the delivery service has no key package of {name}");
                    return Err(StepFailure::new(FailCode::NoKeyPackage, detail));
                }
                ClaimOutcome::Rejected(reason) => {
                    return Err(StepFailure::rejected(format!("the delivery service refuses it: {reason}")));
                }
            };
            self.to_check.insert(device);
            key_packages.push(KeyPackageBytes::new(claimed.bytes));
        }
        Ok(key_packages)
    }

    /// Publishes key packages of the devices that have too few, because theirs were claimed or have
    /// expired. An offline device waits.
    pub(super) fn replenish(
        &mut self,
        service: &ServiceUnderTest<'_>,
        devices: &mut Devices,
        now: Timestamp,
        recorder: &mut Recorder<'_>,
    ) -> Result<(), StepFailure> {
        for device in std::mem::take(&mut self.to_check) {
            if !devices[device].online {
                self.to_check.insert(device);
                continue;
            }
            let left = service.endpoint.key_packages_left(&devices[device].address, now)?.left;
            let missing = KEY_PACKAGES.saturating_sub(left);
            devices[device].persist(recorder, Operation::Housekeeping, |client, _| client.expire(now).map(drop))?;
            recorder.facts.key_packages_expired(device, now);
            if missing > 0 {
                self.publish(service, devices, device, (missing, false), now, recorder)?;
            }
        }
        Ok(())
    }

    /// Replaces all key packages of a device at the service.
    pub(super) fn renew(
        &self,
        service: &ServiceUnderTest<'_>,
        devices: &mut Devices,
        device: usize,
        now: Timestamp,
        recorder: &mut Recorder<'_>,
    ) -> Result<(), StepFailure> {
        self.publish(service, devices, device, (KEY_PACKAGES, true), now, recorder)
    }

    /// Publishes so many new key packages of a device. The flag tells if they replace all others.
    fn publish(
        &self,
        service: &ServiceUnderTest<'_>,
        devices: &mut Devices,
        device: usize,
        (count, replaces): (usize, bool),
        now: Timestamp,
        recorder: &mut Recorder<'_>,
    ) -> Result<(), StepFailure> {
        let publisher = &mut devices[device];
        let make = |client: &mut regrow_engine::Client, _: &_| client.key_packages(count, now);
        let made = publisher.persist(recorder, Operation::KeyPackages, make)?;
        let expires = Timestamp(now.0.saturating_add(self.lifetime));
        for key_package in &made {
            recorder.facts.key_package_made(device, key_package.as_bytes(), expires);
        }
        let bytes: Vec<_> = made.into_iter().map(KeyPackageBytes::into_bytes).collect();
        let uploaded = match replaces {
            true => service.endpoint.replace_key_packages(&publisher.address, &bytes, None, now)?,
            false => service.endpoint.upload_key_packages(&publisher.address, &bytes, None, now)?,
        };
        if let Some(refused) = uploaded.refused.first() {
            return Err(StepFailure::rejected(&refused.reason));
        }
        let of = publisher.name.clone();
        let sha256 = fingerprint(&bytes.concat());
        recorder.tell(TranscriptEvent::KeyPackages { of, count: bytes.len(), sha256 });
        Ok(())
    }
}
