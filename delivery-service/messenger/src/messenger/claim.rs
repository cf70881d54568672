//! A user or a device is added by key packages of the devices that are missing, and of no others: a claimed key package is
//! used up.
//!
//! The signed list of the user's devices says which devices there are, and which signature key each has. Each device counts
//! by itself: one that has no key package, or a bad one, keeps none of the user's others out.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use regrow_engine::{DeviceId, Error as Engine, GroupId, KeyPackageBytes, Outgoing, UserId};

use super::{
    Event, Intent,
    answers::decided,
    devices::Reading,
    kept::{self, Changes, KnownList},
    lane::{self, Scope},
    machine::Machine,
    request::Step,
};
use crate::{
    api::{ClaimAnswer, DeviceListPage},
    error::{ConnectionError, Error},
};

/// A user or a device that is to be added.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Addition {
    User(UserId),
    Device(DeviceId),
}

impl Addition {
    pub(super) fn user(&self) -> &UserId {
        match self {
            Self::User(user) => user,
            Self::Device(device) => device.user(),
        }
    }

    /// The intent that it is the subject of.
    pub(super) fn intent(&self) -> Intent {
        match self {
            Self::User(user) => Intent::AddUser(user.clone()),
            Self::Device(device) => Intent::AddDevice(device.clone()),
        }
    }
}

/// The claims for one addition, in one group.
pub(super) struct Claim {
    stage: Stage,
    claimed: Vec<(DeviceId, KeyPackageBytes)>,
    /// Whether a device was found that cannot be added.
    is_incomplete: bool,
    /// The service's word for a device whose key packages can be claimed later.
    later: Option<ConnectionError>,
}

enum Stage {
    /// The list of the user's devices is read.
    List,
    /// The devices that are still to be claimed, one after the other.
    Each(VecDeque<DeviceId>),
}

impl Machine {
    /// The next step of an addition: to read the list of the user's devices, a claim, or the commit.
    pub(super) fn next_claim(&mut self, id: &GroupId, added: &Addition) -> Result<Option<Step>, Error> {
        let claim = self.group(id).claims.entry(added.clone()).or_insert_with(|| Claim {
            stage: Stage::List,
            claimed: Vec::new(),
            is_incomplete: false,
            later: None,
        });
        match &claim.stage {
            Stage::List => {
                let after = self.last_entry_read(added.user())?;
                Ok(Some(Step::DeviceList(added.clone(), after)))
            }
            Stage::Each(devices) => match devices.front() {
                Some(device) => Ok(Some(Step::Claim(added.clone(), device.clone()))),
                None => self.add_claimed(id, added),
            },
        }
    }

    /// A part of the list of the user's devices was read.
    pub(super) fn listed(
        &mut self,
        id: &GroupId,
        added: &Addition,
        answer: Result<DeviceListPage, ConnectionError>,
    ) -> Result<(), Error> {
        let page = match decided(answer)? {
            Ok(page) => page,
            Err(problem) => return self.nobody(id, added, problem.to_string()),
        };
        let known = match self.take_in_list(added.user(), Ok(page))? {
            Reading::Partly => return Ok(()),
            Reading::Whole(known) => known,
            Reading::Unusable(reason) => return self.nobody(id, added, reason),
        };
        if let Some(reason) = Self::is_unaccepted(&known) {
            return self.nobody(id, added, reason);
        }
        let members: BTreeSet<DeviceId> = self.client.group(id)?.roster()?.into_iter().map(|it| it.device).collect();
        let missing = match added {
            Addition::User(_) => {
                let banned = &self.group(id).record.banned;
                let listed = known.list.devices().map(|(device, _)| device);
                listed.filter(|device| !members.contains(device) && !banned.contains(device)).collect()
            }
            Addition::Device(device) if known.list.get(device).is_none() => {
                let cause = Error::Unlisted { device: device.clone() };
                return self.nobody(id, added, cause.to_string());
            }
            Addition::Device(device) => {
                Some(device.clone()).into_iter().filter(|device| !members.contains(device)).collect()
            }
        };
        if let Some(claim) = self.group(id).claims.get_mut(added) {
            claim.stage = Stage::Each(missing);
        }
        Ok(())
    }

    /// A key package of one device was claimed.
    pub(super) fn claimed(
        &mut self,
        id: &GroupId,
        added: &Addition,
        device: &DeviceId,
        answer: Result<ClaimAnswer, ConnectionError>,
    ) -> Result<(), Error> {
        let Some(mut claim) = self.group(id).claims.remove(added) else { return Ok(()) };
        match answer {
            // One device's limit is no reason to leave out the others.
            Err(error) if lane::is_too_many_claims(&error) => claim.later = Some(error),
            answer => match decided(answer) {
                Ok(Ok(answer)) => self.take_claimed(id, &mut claim, device, answer)?,
                Ok(Err(problem)) => self.not_added(id, &mut claim, device.clone(), problem.into()),
                Err(error) => {
                    self.group(id).claims.insert(added.clone(), claim);
                    return Err(error);
                }
            },
        }
        if let Stage::Each(devices) = &mut claim.stage {
            devices.pop_front();
        }
        self.group(id).claims.insert(added.clone(), claim);
        Ok(())
    }

    /// Takes the claimed key package, if it is the device's: its signature key is the one on the user's list.
    fn take_claimed(
        &mut self,
        id: &GroupId,
        claim: &mut Claim,
        device: &DeviceId,
        answer: ClaimAnswer,
    ) -> Result<(), Error> {
        let claimed = answer.key_packages.into_iter().find(|claimed| claimed.device == *device);
        let Some(claimed) = claimed else {
            self.not_added(id, claim, device.clone(), Engine::NoKeyPackage.into());
            return Ok(());
        };
        let key_package = KeyPackageBytes::new(claimed.key_package.0);
        let known = kept::device_list(&self.client, device.user())?;
        match self.client.examine_key_package(&key_package, self.now()) {
            Ok(shown) if is_vouched_for(known.as_ref(), device, &shown) => {
                claim.claimed.push((device.clone(), key_package));
            }
            Ok(_) => self.not_added(id, claim, device.clone(), Error::Unlisted { device: device.clone() }),
            Err(error) if is_of_a_key_package(&error) => self.not_added(id, claim, device.clone(), error.into()),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn not_added(&mut self, id: &GroupId, claim: &mut Claim, device: DeviceId, cause: Error) {
        claim.is_incomplete = true;
        self.ready.push_back(Event::NotAdded { group: id.clone(), device, cause: Arc::new(cause) });
    }

    /// No device can be added: the intent is refused.
    fn nobody(&mut self, id: &GroupId, added: &Addition, reason: String) -> Result<(), Error> {
        let intent = added.intent();
        self.group(id).claims.remove(added);
        self.ready.push_back(Event::Refused { group: id.clone(), intent: Some(intent.clone()), reason });
        self.granted(id, &intent, Changes::default())
    }

    /// All that can be claimed now was claimed: the devices are added, in one commit.
    fn add_claimed(&mut self, id: &GroupId, added: &Addition) -> Result<Option<Step>, Error> {
        let Some(mut claim) = self.group(id).claims.remove(added) else { return Ok(None) };
        let (intent, now) = (added.intent(), self.now());
        if let Some(error) = claim.later.take() {
            // The intent stays for the devices that are missing then.
            let lane = Scope::Intent { group: id.clone(), intent: intent.clone() };
            self.ready.extend(self.lanes.fails(lane, error.into(), &self.retry, self.monotonic()));
            if claim.claimed.is_empty() {
                return Ok(None);
            }
        } else if claim.claimed.is_empty() {
            return match claim.is_incomplete {
                true => {
                    self.nobody(id, added, format!("no device of {} can be added now", added.user())).map(|()| None)
                }
                false => self.granted(id, &intent, Changes::default()).map(|()| None),
            };
        }
        let key_packages: Vec<_> = claim.claimed.iter().map(|(_, key_package)| key_package.clone()).collect();
        match self.client.group(id)?.add_user(added.user(), &key_packages, now) {
            Err(error) if is_of_a_key_package(&error) => self.add_the_good(id, added, claim),
            made => self.made(id, &intent, made),
        }
    }

    /// One key package is no good in this group. Each is tried by itself; those that are good are added together.
    fn add_the_good(&mut self, id: &GroupId, added: &Addition, mut claim: Claim) -> Result<Option<Step>, Error> {
        let (intent, now) = (added.intent(), self.now());
        let mut is_good = false;
        for (device, key_package) in std::mem::take(&mut claim.claimed) {
            match self.client.group(id)?.add_user(added.user(), &[key_package], now) {
                // The engine remembers the intent, so that the commit at the end adds all.
                Ok(pending) => {
                    self.client.discard(pending)?;
                    is_good = true;
                }
                Err(Engine::NothingToCommit) => {}
                Err(error) if is_of_a_key_package(&error) => self.not_added(id, &mut claim, device, error.into()),
                Err(error) => return self.made(id, &intent, Err(error)),
            }
        }
        if !is_good {
            return self.nobody(id, added, format!("no device of {} can be added now", added.user())).map(|()| None);
        }
        match self.client.group(id)?.resume() {
            Ok(Some(Outgoing::Commit(pending))) => self.made(id, &intent, Ok(pending)),
            Ok(_) => self.made(id, &intent, Err(Engine::NothingToCommit)),
            Err(error) => self.made(id, &intent, Err(error)),
        }
    }
}

/// Whether the list of the user's devices has the device with the signature key that its key package shows.
fn is_vouched_for(known: Option<&KnownList>, device: &DeviceId, shown: &regrow_engine::IdentityClaim) -> bool {
    let listed = known.and_then(|known| known.list.get(device));
    shown.device == *device && listed.is_some_and(|listed| listed.signature_key == shown.signature_key.as_bytes())
}

/// Whether the error says something about a key package, and nothing about the group or this device.
fn is_of_a_key_package(error: &Engine) -> bool {
    matches!(
        error,
        Engine::Malformed { .. }
            | Engine::Invalid { .. }
            | Engine::Refused(_)
            | Engine::OtherUser { .. }
            | Engine::OtherDevice { .. }
            | Engine::Name(_)
            | Engine::Internal { .. }
    )
}
