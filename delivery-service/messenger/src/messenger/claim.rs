//! A user is added by key packages of the devices that are missing, and of no others: a claimed key package is used up.
//!
//! Each device counts by itself. One that has no key package, or a bad one, keeps none of the user's others out.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use regrow_engine::{DeviceId, Error as Engine, GroupId, KeyPackageBytes, Outgoing, UserId};

use super::{
    Event, Wish,
    answers::decided,
    kept::Changes,
    lane::{self, Scope},
    machine::Machine,
    request::Step,
};
use crate::{
    api::{ClaimAnswer, Devices},
    error::{ConnectionError, Error},
};

/// The claims for one user, in one group.
pub(super) struct Claim {
    stage: Stage,
    claimed: Vec<(DeviceId, KeyPackageBytes)>,
    /// Whether a device was found that cannot be added.
    is_incomplete: bool,
    /// The service's word for a device whose key packages can be claimed later.
    later: Option<ConnectionError>,
}

enum Stage {
    /// No device of the user is a member: all are claimed at once.
    All,
    /// The service is asked which devices the user has.
    List,
    /// The devices that are still to be claimed, one after the other.
    Each(VecDeque<DeviceId>),
}

impl Claim {
    fn new(stage: Stage) -> Self {
        Self { stage, claimed: Vec::new(), is_incomplete: false, later: None }
    }
}

impl Machine {
    /// The next step to add a user: a claim, or the commit.
    pub(super) fn next_claim(&mut self, id: &GroupId, user: &UserId) -> Result<Option<Step>, Error> {
        if !self.group(id).claims.contains_key(user) {
            let is_there = self.client.group(id)?.roster()?.iter().any(|member| member.device.user() == user);
            let stage = if is_there { Stage::List } else { Stage::All };
            self.group(id).claims.insert(user.clone(), Claim::new(stage));
        }
        let stage = self.group(id).claims.get(user).map(|claim| &claim.stage);
        match stage {
            Some(Stage::All) => Ok(Some(Step::Claim(user.clone(), None))),
            Some(Stage::List) => Ok(Some(Step::Devices(user.clone()))),
            Some(Stage::Each(devices)) if !devices.is_empty() => {
                Ok(Some(Step::Claim(user.clone(), devices.front().cloned())))
            }
            _ => self.add_claimed(id, user),
        }
    }

    /// The service was asked which devices the user has.
    pub(super) fn listed(
        &mut self,
        id: &GroupId,
        user: &UserId,
        answer: Result<Devices, ConnectionError>,
    ) -> Result<(), Error> {
        let devices = match decided(answer)? {
            Ok(answer) if !answer.devices.is_empty() => answer.devices,
            Ok(_) => return self.nobody(id, user, format!("the service knows no device of {user}")),
            Err(problem) => return self.nobody(id, user, problem.to_string()),
        };
        let members: BTreeSet<DeviceId> = self.client.group(id)?.roster()?.into_iter().map(|it| it.device).collect();
        let missing = devices.into_iter().filter(|device| device.user() == user && !members.contains(device)).collect();
        if let Some(claim) = self.group(id).claims.get_mut(user) {
            claim.stage = Stage::Each(missing);
        }
        Ok(())
    }

    /// Key packages were claimed: of one device, or of all.
    pub(super) fn claimed(
        &mut self,
        id: &GroupId,
        user: &UserId,
        device: Option<DeviceId>,
        answer: Result<ClaimAnswer, ConnectionError>,
    ) -> Result<(), Error> {
        let Some(mut claim) = self.group(id).claims.remove(user) else { return Ok(()) };
        let is_too_many = answer.as_ref().err().is_some_and(lane::is_too_many_claims);
        match (device, answer) {
            // One device's limit is no reason to leave out the others.
            (None, Err(_)) if is_too_many => claim.stage = Stage::List,
            (Some(_), Err(error)) if is_too_many => {
                claim.later = Some(error);
                claim.claim_next();
            }
            (device, answer) => match (device, decided(answer)) {
                (_, Ok(Ok(answer))) => {
                    self.take_claimed(id, &mut claim, answer);
                    claim.claim_next();
                }
                (None, Ok(Err(problem))) => return self.nobody(id, user, problem.to_string()),
                (Some(device), Ok(Err(problem))) => {
                    self.not_added(id, &mut claim, device, problem.into());
                    claim.claim_next();
                }
                (_, Err(error)) => {
                    self.group(id).claims.insert(user.clone(), claim);
                    return Err(error);
                }
            },
        }
        self.group(id).claims.insert(user.clone(), claim);
        Ok(())
    }

    fn take_claimed(&mut self, id: &GroupId, claim: &mut Claim, answer: ClaimAnswer) {
        for device in answer.without {
            self.not_added(id, claim, device, Engine::NoKeyPackage.into());
        }
        let claimed = answer.key_packages.into_iter();
        claim.claimed.extend(claimed.map(|it| (it.device, KeyPackageBytes::new(it.key_package.0))));
    }

    fn not_added(&mut self, id: &GroupId, claim: &mut Claim, device: DeviceId, cause: Error) {
        claim.is_incomplete = true;
        self.ready.push_back(Event::NotAdded { group: id.clone(), device, cause: Arc::new(cause) });
    }

    /// No device of the user can be added: the wish is refused.
    fn nobody(&mut self, id: &GroupId, user: &UserId, reason: String) -> Result<(), Error> {
        let wish = Wish::AddUser(user.clone());
        self.group(id).claims.remove(user);
        self.ready.push_back(Event::Refused { group: id.clone(), wish: Some(wish.clone()), reason });
        self.granted(id, &wish, Changes::default())
    }

    /// All that can be claimed now was claimed: the devices are added, in one commit.
    fn add_claimed(&mut self, id: &GroupId, user: &UserId) -> Result<Option<Step>, Error> {
        let Some(mut claim) = self.group(id).claims.remove(user) else { return Ok(None) };
        let (wish, now) = (Wish::AddUser(user.clone()), self.now());
        if let Some(error) = claim.later.take() {
            // The wish stays for the devices that are missing then.
            let lane = Scope::Wish { group: id.clone(), wish: wish.clone() };
            self.ready.extend(self.lanes.fails(lane, error.into(), &self.retry, self.monotonic()));
            if claim.claimed.is_empty() {
                return Ok(None);
            }
        } else if claim.claimed.is_empty() {
            return match claim.is_incomplete {
                true => self.nobody(id, user, format!("no device of {user} can be added now")).map(|()| None),
                false => self.granted(id, &wish, Changes::default()).map(|()| None),
            };
        }
        let key_packages: Vec<_> = claim.claimed.iter().map(|(_, key_package)| key_package.clone()).collect();
        match self.client.group(id)?.add_user(user, &key_packages, now) {
            Err(error) if is_of_a_key_package(&error) => self.add_the_good(id, user, claim),
            made => self.made(id, &wish, made),
        }
    }

    /// One key package is no good. Each is tried by itself; those that are good are added together.
    fn add_the_good(&mut self, id: &GroupId, user: &UserId, mut claim: Claim) -> Result<Option<Step>, Error> {
        let (wish, now) = (Wish::AddUser(user.clone()), self.now());
        let mut is_good = false;
        for (device, key_package) in std::mem::take(&mut claim.claimed) {
            match self.client.group(id)?.add_user(user, &[key_package], now) {
                // The engine remembers the intent, so that the commit at the end adds all.
                Ok(pending) => {
                    self.client.discard(pending)?;
                    is_good = true;
                }
                Err(Engine::NothingToCommit) => {}
                Err(error) if is_of_a_key_package(&error) => self.not_added(id, &mut claim, device, error.into()),
                Err(error) => return self.made(id, &wish, Err(error)),
            }
        }
        if !is_good {
            return self.nobody(id, user, format!("no device of {user} can be added now")).map(|()| None);
        }
        match self.client.group(id)?.resume() {
            Ok(Some(Outgoing::Commit(pending))) => self.made(id, &wish, Ok(pending)),
            Ok(_) => self.made(id, &wish, Err(Engine::NothingToCommit)),
            Err(error) => self.made(id, &wish, Err(error)),
        }
    }
}

impl Claim {
    /// The device that was asked for last is done.
    fn claim_next(&mut self) {
        match &mut self.stage {
            Stage::Each(devices) => drop(devices.pop_front()),
            Stage::All | Stage::List => self.stage = Stage::Each(VecDeque::new()),
        }
    }
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
