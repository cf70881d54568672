//! The attempts of a device: it submits, and starts again if its epoch is over.

use super::Player;
use crate::{
    model::{
        commit_plan::{Intent, forget_fulfilled, plan},
        group_model::{Change, CommitParts, CommitPrice, DeviceNumber, WaitingProposal},
    },
    scenario::{Action, FailCode, Placed},
    world::{StepFailure, turn_in_race, unless_void},
};

/// A submission of a device, made for one epoch.
#[derive(Clone, Debug)]
pub(super) enum Submission {
    Commit { epoch: u64, parts: CommitParts, price: Option<CommitPrice> },
    External { epoch: u64, price: Option<CommitPrice> },
    Proposal { epoch: u64, proposal: WaitingProposal },
    Message { epoch: u64, text: u64 },
}

impl Player<'_> {
    /// Has all contenders prepare in the same epoch, and then submit in an order from the seed.
    pub(super) fn race(&mut self, contenders: &[Placed<Action>]) -> Result<(), StepFailure> {
        let mut submissions = Vec::with_capacity(contenders.len());
        for contender in contenders {
            let (device, mut submission) = self.prepare(&contender.item)?;
            self.make_early(device, &mut submission);
            submissions.push((device, submission));
        }
        submissions.sort_by_cached_key(|(device, _)| self.turn(*device));
        let mut losers = Vec::new();
        for (device, submission) in submissions {
            if let Some(stale) = self.attempt(device, submission) {
                losers.push((device, stale));
            }
        }
        losers.sort_by_key(|(_, submission)| !matches!(submission, Submission::Message { .. }));
        for (device, submission) in losers {
            if let Some(again) = unless_void(self.make_again(device, submission), None)? {
                unless_void(self.carry_through(device, again), ())?;
            }
            // If the intent was carried out, it is no longer open, and this changes nothing.
            self.contention.void(device as usize);
        }
        Ok(())
    }

    /// The device makes its submission before it reads those of the others.
    fn make_early(&mut self, device: DeviceNumber, submission: &mut Submission) {
        let Some(group) = &mut self.group else { return };
        let is_private = match submission {
            Submission::Commit { .. } | Submission::Proposal { .. } => self.settings.sizes.opaque,
            Submission::External { .. } => false,
            Submission::Message { .. } => true,
        };
        if is_private {
            group.encrypt_early(device);
        }
        match submission {
            Submission::Commit { parts, price, .. } => *price = group.price_commit(device, parts),
            Submission::External { price, .. } => *price = group.price_join(device),
            Submission::Proposal { .. } | Submission::Message { .. } => {}
        }
    }

    fn turn(&self, device: DeviceNumber) -> [u8; 32] {
        turn_in_race(self.seed, &self.label, self.name(device))
    }

    pub(super) fn carry_through(&mut self, device: DeviceNumber, submission: Submission) -> Result<(), StepFailure> {
        let mut next = Some(submission);
        while let Some(submission) = next.take() {
            if let Some(stale) = self.attempt(device, submission) {
                next = self.make_again(device, stale)?;
            }
        }
        Ok(())
    }

    /// Submits once. Returns the submission if its epoch is over.
    fn attempt(&mut self, device: DeviceNumber, submission: Submission) -> Option<Submission> {
        let group = self.group.as_mut()?;
        let now = group.epoch();
        match &submission {
            Submission::Commit { epoch, parts, .. } if *epoch == now => {
                group.commit(device, parts);
                self.begin_epoch(device);
            }
            Submission::External { epoch, .. } if *epoch == now => {
                group.join(device);
                self.begin_epoch(device);
            }
            Submission::Proposal { epoch, proposal } if *epoch == now => {
                group.propose(*proposal);
                self.contention.proposed(self.elapsed.as_secs());
            }
            Submission::Message { epoch, text } if *epoch == now => group.send(device, *text),
            Submission::Commit { price, .. } | Submission::External { price, .. } => {
                if let Some(CommitPrice { bytes, counts }) = *price {
                    self.contention.lost(device as usize, self.elapsed.as_secs(), bytes, counts);
                }
                return Some(submission);
            }
            Submission::Proposal { .. } | Submission::Message { .. } => return Some(submission),
        }
        None
    }

    /// Deletes the intents that the new epoch has fulfilled.
    fn begin_epoch(&mut self, committer: DeviceNumber) {
        self.contention.ordered(committer as usize, self.elapsed.as_secs());
        let Some(group) = &self.group else { return };
        for (device, intents) in &mut self.intents {
            if !group.is_member(*device) {
                intents.clear();
            } else if *device == committer {
                intents.retain(|intent| *intent == Intent::Leave);
            } else {
                intents.retain(|intent| *intent != Intent::CommitProposals);
                forget_fulfilled(intents, &**group);
            }
        }
        self.intents.retain(|_, intents| !intents.is_empty());
    }

    fn make_again(&mut self, device: DeviceNumber, stale: Submission) -> Result<Option<Submission>, StepFailure> {
        match stale {
            Submission::Commit { .. } => {
                let next = self.next_submission(device);
                if next.is_none() {
                    self.contention.void(device as usize);
                }
                Ok(next)
            }
            Submission::External { .. } if self.is_member(device) => {
                self.contention.void(device as usize);
                Ok(None)
            }
            Submission::External { .. } => Ok(Some(Submission::External { epoch: self.epoch(), price: None })),
            Submission::Proposal { proposal, .. } => {
                self.refuse_if_no_member(device)?;
                match proposal.change {
                    Change::Remove(who) if !self.is_member(who) => {
                        Err(StepFailure::new(FailCode::UnknownMember, "it is no member"))
                    }
                    Change::Add(who) if self.is_member(who) => {
                        Err(StepFailure::new(FailCode::AlreadyAMember, "it is in the group"))
                    }
                    _ => Ok(Some(Submission::Proposal { epoch: self.epoch(), proposal })),
                }
            }
            Submission::Message { text, .. } => {
                self.refuse_if_no_member(device)?;
                self.prepare_message(text).map(Some)
            }
        }
    }

    /// The next submission for the open intents of a device.
    fn next_submission(&self, device: DeviceNumber) -> Option<Submission> {
        let epoch = self.epoch();
        if !self.is_member(device) {
            return None;
        }
        if let Some(parts) = self.planned(device) {
            return Some(Submission::Commit { epoch, parts, price: None });
        }
        let group = self.group.as_ref()?;
        let leaves = self.intents.get(&device).is_some_and(|intents| intents.contains(&Intent::Leave));
        let proposed = group.waiting().iter().any(|known| known.by == device && known.change == Change::Remove(device));
        (leaves && !proposed).then(|| self.leaving(device))
    }

    pub(super) fn planned(&self, device: DeviceNumber) -> Option<CommitParts> {
        plan(device, self.intents.get(&device).map_or(&[], Vec::as_slice), &**self.group.as_ref()?)
    }

    /// Has devices take up their remaining intents.
    pub(super) fn settle(&mut self) -> Result<(), StepFailure> {
        let mut tried = None;
        loop {
            let epoch = self.epoch();
            let waiting: Vec<_> = self.intents.keys().copied().filter(|device| self.is_online(*device)).collect();
            let next = waiting.into_iter().find_map(|device| Some((device, self.next_submission(device)?)));
            let Some((device, submission)) = next.filter(|(device, _)| tried != Some((*device, epoch))) else { break };
            tried = Some((device, epoch));
            self.carry_through(device, submission)?;
        }
        let restocked: Vec<_> = self.key_packages.keys().copied().filter(|device| self.is_online(*device)).collect();
        for device in restocked {
            self.key_packages.remove(&device);
        }
        Ok(())
    }
}
