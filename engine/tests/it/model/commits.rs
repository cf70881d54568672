//! Calls that make and settle commits, compared with the model.

use std::collections::BTreeMap;

use regrow_engine::{Client, Error, Outgoing, PendingCommit, ReceivedEvent};

use crate::common::{NOW, device, group};

use super::{
    action::CommitHandling,
    comparison::{ModelComparison, NAMES},
    prediction::{Failure, Standing, WaitingCommit, WantedChange},
    service::{Body, Commit, DeviceNo, Effect, OrderedEntry, Proposal, ProposedChange},
    translation::{event, failure, sorted},
};

impl ModelComparison {
    pub(super) fn add(&mut self, who: DeviceNo, other: DeviceNo, then: CommitHandling) {
        let bytes = self.client(other).key_packages(1, NOW).unwrap();
        let package = self.mint(other);
        let member = self.is_member(who, other);
        let expected = if member { Err(Failure::AlreadyMember) } else { Ok(()) };
        self.intend(who, WantedChange::Add { who: other, package }, expected, then, |client| {
            client.group(&group())?.add(&bytes, NOW)
        });
    }

    pub(super) fn remove(&mut self, who: DeviceNo, other: DeviceNo, then: CommitHandling) {
        let expected = match other {
            _ if other == who => Err(Failure::OwnRemoval),
            _ if !self.is_member(who, other) => Err(Failure::UnknownMember),
            _ => Ok(()),
        };
        self.intend(who, WantedChange::Remove(other), expected, then, |client| {
            client.group(&group())?.remove(&[device(NAMES[other])])
        });
    }

    /// Makes a call that stores an intent and creates a commit for it.
    pub(super) fn intend(
        &mut self,
        who: DeviceNo,
        intent: WantedChange,
        expected: Result<(), Failure>,
        then: CommitHandling,
        call: impl FnOnce(&mut Client) -> Result<PendingCommit, Error>,
    ) {
        let result = call(self.client(who));
        let expected = match self.absent(who) {
            Some(absent) => Err(absent),
            None if self.devices[who].view().unwrap().pending.is_some() => Err(Failure::CommitPending),
            None => expected,
        };
        let before = self.devices[who].view().cloned();
        if expected.is_ok() {
            self.devices[who].view_mut().unwrap().intents.push(intent);
        }
        let expected = expected.and_then(|()| self.predict_commit(who).ok_or(Failure::NothingToCommit));
        match (result, expected) {
            (Ok(handle), Ok(commit)) => self.hold(who, handle, commit, then),
            (Err(error), Err(expected)) => {
                assert_eq!(failure(&error), expected);
                if let Some(before) = before {
                    self.devices[who].standing = Standing::Member(Box::new(before));
                }
            }
            (result, expected) => panic!("{result:?}, but expected {expected:?}"),
        }
    }

    pub(super) fn predict_commit(&mut self, who: DeviceNo) -> Option<Commit> {
        let new_key = self.number();
        let package_keys = &self.package_keys;
        self.devices[who].commit(&self.service, new_key, |package| package_keys[&package])
    }

    pub(super) fn hold(&mut self, who: DeviceNo, handle: PendingCommit, commit: Commit, then: CommitHandling) {
        let (added, removed, updated) = sorted(handle.changes());
        assert_eq!(added, commit.effect.added.keys().copied().collect());
        assert_eq!(removed, commit.effect.removed);
        assert_eq!(updated, commit.effect.updated);
        assert_eq!(handle.epoch().0, commit.epoch);
        assert_eq!(handle.welcome().is_some(), !commit.effect.added.is_empty() && !commit.external);
        let external = commit.external;
        let waiting = Some(WaitingCommit { handle, commit, ordered: false });
        match external {
            true => self.devices[who].joining = waiting,
            false => self.devices[who].view_mut().unwrap().pending = waiting,
        }
        if then != CommitHandling::Hold {
            self.submit_one(who, external);
        }
        if then == CommitHandling::Settle {
            self.answer_one(who, external);
        }
    }

    pub(super) fn waiting(&mut self, who: DeviceNo, external: bool) -> Option<&mut WaitingCommit> {
        let device = &mut self.devices[who];
        if external { device.joining.as_mut() } else { device.view_mut().and_then(|view| view.pending.as_mut()) }
    }

    pub(super) fn submit(&mut self, who: DeviceNo) {
        self.submit_one(who, true);
        self.submit_one(who, false);
    }

    pub(super) fn submit_one(&mut self, who: DeviceNo, external: bool) {
        let Some(WaitingCommit { handle, commit, .. }) = self.waiting(who, external).cloned() else { return };
        let body = Body::Commit { commit, welcome: handle.welcome().map(<[u8]>::to_vec) };
        let before = self.service.epoch();
        let (by, bytes) = (who, handle.commit().to_vec());
        let ordered = self.service.submit(OrderedEntry { by, epoch: handle.epoch().0, bytes, body });
        if self.service.epoch() > before {
            self.service.group_info = handle.group_info().unwrap().to_vec();
        }
        self.waiting(who, external).unwrap().ordered = ordered;
    }

    pub(super) fn answer(&mut self, who: DeviceNo) {
        self.answer_one(who, true);
        self.answer_one(who, false);
    }

    /// Tells the device the outcome of its submission.
    pub(super) fn answer_one(&mut self, who: DeviceNo, external: bool) {
        let Some(WaitingCommit { handle, ordered, .. }) = self.waiting(who, external).cloned() else { return };
        if ordered {
            self.ended[who] = Some(handle.clone());
            let service = &self.service;
            let device = &mut self.devices[who];
            let expected = if external { device.confirm_external(service) } else { device.confirm(service) };
            let change = self.client(who).confirm(handle, NOW).unwrap();
            assert_eq!(event(ReceivedEvent::Commit(change)), expected);
        } else if handle.epoch().0 < self.service.epoch() {
            self.client(who).discard(handle.clone()).unwrap();
            self.ended[who] = Some(handle);
            self.forget_waiting(who, external);
        }
    }

    pub(super) fn forget_waiting(&mut self, who: DeviceNo, external: bool) {
        match external {
            true => self.devices[who].joining = None,
            false => self.devices[who].view_mut().unwrap().pending = None,
        }
    }

    /// Discards a commit that was not submitted or was refused. (A device that discarded an ordered
    /// commit would lose the group.)
    pub(super) fn discard(&mut self, who: DeviceNo) {
        for external in [true, false] {
            let Some(WaitingCommit { handle, ordered: false, .. }) = self.waiting(who, external).cloned() else {
                continue;
            };
            self.client(who).discard(handle.clone()).unwrap();
            self.ended[who] = Some(handle);
            self.forget_waiting(who, external);
        }
    }

    pub(super) fn abandon(&mut self, who: DeviceNo) {
        if self.waiting(who, false).is_some_and(|waiting| waiting.ordered) {
            return;
        }
        let result = self.client(who).group(&group()).and_then(|mut chat| chat.abandon());
        assert_eq!(result.map_err(|e| failure(&e)).err(), self.absent(who));
        if let Some(view) = self.devices[who].view_mut() {
            view.intents.clear();
            view.pending = None;
        }
    }

    pub(super) fn resume(&mut self, who: DeviceNo, then: CommitHandling) {
        let result = self.client(who).group(&group()).and_then(|mut chat| chat.resume());
        if let Some(absent) = self.absent(who) {
            assert_eq!(failure(&result.unwrap_err()), absent);
            return;
        }
        if let Some(waiting) = self.waiting(who, false) {
            assert_eq!(result.unwrap(), Some(Outgoing::Commit(waiting.handle.clone())));
            return;
        }
        let what = ProposedChange::Remove(who);
        let commit = self.predict_commit(who);
        let view = self.devices[who].view().unwrap();
        let proposed = view.proposals.iter().any(|(proposal, _)| *proposal == Proposal { by: who, what });
        let leaves = view.intents.contains(&WantedChange::Leave) && !proposed;
        match (result.unwrap(), commit) {
            (Some(Outgoing::Commit(handle)), Some(commit)) => self.hold(who, handle, commit, then),
            (Some(Outgoing::Proposal(message)), None) if leaves => {
                self.proposed(who, what, &message, then != CommitHandling::Hold);
            }
            (None, None) if !leaves => {}
            (result, commit) => panic!("{result:?}, but expected {commit:?}; it leaves: {leaves}"),
        }
    }

    pub(super) fn join(&mut self, who: DeviceNo, then: CommitHandling) {
        let epoch = self.service.epoch();
        let leaf = self.service.roster(epoch).get(&who).copied();
        let group_info = self.service.group_info.clone();
        let handle = match self.client(who).join_external(&group_info) {
            Ok(handle) => handle,
            Err(Error::Refused(_)) => {
                assert!(leaf.is_some_and(|key| !self.devices[who].holds(key)), "the device has its leaf's key");
                return;
            }
            Err(error) => panic!("{error}"),
        };
        if let Some(before) = self.devices[who].joining.take() {
            self.ended[who] = Some(before.handle);
        }
        let key = leaf.unwrap_or(self.devices[who].key);
        let effect = Effect {
            added: BTreeMap::from([(who, (key, None))]),
            removed: leaf.map(|_| who).into_iter().collect(),
            ..Effect::default()
        };
        let commit = Commit { by: who, epoch, generation: None, effect, uses: Vec::new(), external: true };
        self.hold(who, handle, commit, then);
    }
}
