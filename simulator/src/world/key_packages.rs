//! The stock of key packages at the service: claims, publication, and replacement of used ones.

use std::collections::{BTreeMap, BTreeSet};

use regrow_delivery_service::ClaimOutcome;
use regrow_engine::{GroupId, KeyPackageBytes, Policy, Timestamp};

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
    scenario::{FailCode, KeyPackageChange, KeyPackagePublication, MemberName},
};

/// The number of single-use key packages of each member at the service, if its policy says nothing.
pub(crate) const KEY_PACKAGES: usize = 2;

/// New key packages for the service.
#[derive(Clone, Copy)]
struct Upload {
    /// True if they replace all others.
    replaces: bool,
    /// The number of key packages for one use.
    count: usize,
    last_resort: bool,
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
    /// The stock of each device that has changed it by a step.
    changed: BTreeMap<usize, ChangedStock>,
}

/// The stock of a device that differs from the stock by its policy.
#[derive(Default)]
struct ChangedStock {
    /// The number of one-time key packages that the device keeps at the service. Not set: by its
    /// policy.
    kept: Option<usize>,
    /// True if the device has published a last-resort key package, and not withdrawn it.
    last_resort: bool,
    /// The withdrawn key packages whose private keys are still on the device, because a welcome may
    /// be on its way.
    withdrawn: Vec<KeyPackageBytes>,
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

    /// Has all key packages of a device replaced at the next [`replenish`](Self::replenish), because
    /// the device has erased their private keys.
    pub(super) fn renew_later(&mut self, device: usize) {
        self.to_renew.insert(device);
        if let Some(stock) = self.changed.get_mut(&device) {
            stock.withdrawn.clear();
        }
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
            key_packages.push(claimed.ok_or_else(|| self.none_left(&devices[device]))?);
        }
        Ok(key_packages)
    }

    /// The failure of an addition for which the service has no key package, with the reason.
    fn none_left(&self, owner: &Device) -> StepFailure {
        let kept = self.changed.get(&owner.index).and_then(|changed| changed.kept);
        let name = &owner.name;
        let why = match kept.unwrap_or(owner.policy.key_packages) {
            0 => format!("{name} publishes none; a step `key_packages` with `count` or `renew` publishes some"),
            _ if !owner.is_connected() => {
                format!("all are used or expired, and {name} publishes new ones when it is connected")
            }
            _ => "all are used or expired, or the members of one user have claimed too many".to_owned(),
        };
        let detail = format!("the delivery service has no key package of {name}: {why}");
        StepFailure::new(FailCode::NoKeyPackage, detail)
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
            let stock = self.changed.get(&device);
            let count = stock.and_then(|stock| stock.kept).unwrap_or(owner.policy.key_packages);
            let upload = Upload { replaces: true, count, last_resort: stock.is_some_and(|stock| stock.last_resort) };
            if !owner.is_connected() || publish(service, owner, upload, clock, recorder)? == Published::No {
                self.to_renew.insert(device);
            }
        }
        for device in std::mem::take(&mut self.to_check) {
            if !devices[device].is_connected() {
                self.to_check.insert(device);
                continue;
            }
            let owner = &mut devices[device];
            let at_service = service.endpoint.key_packages_left(&owner.address, clock.now())?;
            let now = owner.clock.now(clock);
            let changed = self.changed.get(&device);
            let left = at_service.left;
            let missing = match changed.and_then(|changed| changed.kept) {
                Some(kept) => kept.saturating_sub(left),
                None => owner.client.key_packages_due(left),
            };
            let last_resort = changed.is_some_and(|changed| changed.last_resort) && !at_service.last_resort;
            owner.persist(recorder, Operation::Housekeeping, |client| client.expire(now).map(drop))?;
            recorder.facts.key_packages_expired(device, now);
            owner.past_epochs_expired(now, recorder);
            let upload = Upload { replaces: false, count: missing, last_resort };
            let is_due = missing > 0 || last_resort;
            if is_due && publish(service, owner, upload, clock, recorder)? == Published::No {
                self.to_check.insert(device);
            }
        }
        self.erase_withdrawn(service, devices, recorder)
    }

    /// Changes the key packages of a device at the service.
    pub(super) fn change(
        &mut self,
        service: &ServiceUnderTest<'_>,
        owner: &mut Device,
        change: KeyPackageChange,
        clock: &VirtualClock,
        recorder: &mut Recorder<'_>,
    ) -> Result<(), StepFailure> {
        let stock = self.changed.entry(owner.index).or_default();
        let KeyPackageChange::Publish(publication) = change else {
            service.endpoint.replace_key_packages(&owner.address, &[], None, clock.now())?;
            stock.withdrawn = recorder.facts.key_packages_on(owner.index);
            (stock.kept, stock.last_resort) = (Some(0), false);
            recorder.tell(TranscriptEvent::KeyPackagesWithdrawn { of: owner.name.clone() });
            return Ok(());
        };
        let KeyPackagePublication { renew, count, last_resort, lifetime } = publication;
        let count = count.map(|count| count as usize);
        let last_resort = last_resort.unwrap_or(renew && stock.last_resort);
        let by_policy = owner.policy.key_packages;
        let (kept, new) = match (renew, count) {
            (true, count) => (count, count.unwrap_or(by_policy)),
            (false, None | Some(0)) => (stock.kept, 0),
            (false, Some(more)) => (Some(stock.kept.unwrap_or(by_policy) + more), more),
        };
        if renew {
            stock.withdrawn = recorder.facts.key_packages_on(owner.index);
        }
        let upload = Upload { replaces: renew, count: new, last_resort };
        let published = match lifetime {
            Some(lifetime) => {
                let policy = Policy { key_package_lifetime: lifetime.as_secs(), ..(*owner.policy).clone() };
                owner.under_policy(policy, |owner| publish(service, owner, upload, clock, recorder))?
            }
            None => publish(service, owner, upload, clock, recorder)?,
        };
        if published == Published::No {
            self.to_check.insert(owner.index);
        }
        (stock.kept, stock.last_resort) = (kept, last_resort || (stock.last_resort && !renew));
        Ok(())
    }

    /// Erases the private keys of withdrawn key packages. A device waits as long as a welcome is on
    /// its way, because a commit before the withdrawal may have used one of them.
    fn erase_withdrawn(
        &mut self,
        service: &ServiceUnderTest<'_>,
        devices: &mut Devices,
        recorder: &mut Recorder<'_>,
    ) -> Result<(), StepFailure> {
        for (device, stock) in self.changed.iter_mut().filter(|(_, stock)| !stock.withdrawn.is_empty()) {
            let owner = &mut devices[*device];
            // The service of a second history still hands out the withdrawn ones.
            if !owner.is_connected() || service.is_in_second_history(*device) || may_get_welcome(service, owner)? {
                continue;
            }
            let withdrawn = std::mem::take(&mut stock.withdrawn);
            owner.persist(recorder, Operation::Housekeeping, |client| client.discard_key_packages(&withdrawn))?;
            recorder.facts.key_packages_erased(*device, &withdrawn);
        }
        Ok(())
    }
}

/// True if a welcome may be on its way to a device.
fn may_get_welcome(service: &ServiceUnderTest<'_>, owner: &Device) -> Result<bool, StepFailure> {
    let unread = service.endpoint.read(&owner.address, owner.cursor, 1)?;
    Ok(!unread.is_empty() || !owner.kept_back.is_empty() || owner.inbox.has_welcome())
}

/// Makes and publishes new key packages of a device.
fn publish(
    service: &ServiceUnderTest<'_>,
    owner: &mut Device,
    upload: Upload,
    clock: &VirtualClock,
    recorder: &mut Recorder<'_>,
) -> Result<Published, StepFailure> {
    let Upload { replaces, count, last_resort } = upload;
    let now = owner.clock.now(clock);
    let mut made = owner.persist(recorder, Operation::KeyPackages, |client| client.key_packages(count, now))?;
    if last_resort {
        made.push(owner.persist(recorder, Operation::KeyPackages, |client| client.last_resort_key_package(now))?);
    }
    let expires = Timestamp(now.0.saturating_add(owner.policy.key_package_lifetime));
    for (index, key_package) in made.iter().enumerate() {
        recorder.facts.key_package_made(owner.index, key_package, expires, index == count);
    }
    let mut bytes: Vec<_> = made.into_iter().map(KeyPackageBytes::into_bytes).collect();
    let sha256 = fingerprint(&bytes.concat());
    let last = if last_resort { bytes.pop() } else { None };
    let at_service = clock.now();
    let uploaded = match replaces {
        false => service.endpoint.upload_key_packages(&owner.address, &bytes, last.as_deref(), at_service)?,
        true => service.endpoint.replace_key_packages(&owner.address, &bytes, last.as_deref(), at_service)?,
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
    recorder.tell(TranscriptEvent::KeyPackages { of: owner.name.clone(), count, last_resort, sha256 });
    Ok(Published::Yes)
}
