//! The expected result of every call, by RFC 9420 and the engine's documentation, without
//! cryptography.

use std::collections::{BTreeMap, BTreeSet};

use regrow_engine::PendingCommit;

use super::service::{
    Body, Commit, DeviceNo, Effect, KeyNo, ModelService, OrderedEntry, PackageNo, Proposal, ProposedChange,
};

/// The reason why a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    AlreadyMember,
    CommitPending,
    FutureEpoch,
    GroupExists,
    Invalid,
    NotInvited,
    NothingToCommit,
    NotPending,
    OwnRemoval,
    ProposalsWait,
    Removed,
    UnknownGroup,
    UnknownMember,
}

/// The result of processing a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Message {
        by: DeviceNo,
        epoch: u64,
        text: Vec<u8>,
    },
    Proposal {
        by: DeviceNo,
    },
    Commit {
        by: DeviceNo,
        epoch: u64,
        added: BTreeSet<DeviceNo>,
        removed: BTreeSet<DeviceNo>,
        updated: BTreeSet<DeviceNo>,
        resume: bool,
    },
    Removed {
        by: DeviceNo,
        epoch: u64,
    },
    Joined,
    Own,
    PastEpoch,
    AlreadyRead,
    TooOld,
    /// A commit that the device cannot process.
    Lost,
    Fails(Failure),
}

impl Outcome {
    /// Returns true if the event waits to be acknowledged.
    pub fn is_news(&self) -> bool {
        match self {
            Self::Message { .. } | Self::Proposal { .. } | Self::Commit { .. } | Self::Removed { .. } | Self::Lost => {
                true
            }
            Self::Joined | Self::Own | Self::PastEpoch | Self::AlreadyRead | Self::TooOld | Self::Fails(_) => false,
        }
    }
}

/// A change that a device wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WantedChange {
    Add { who: DeviceNo, package: PackageNo },
    Remove(DeviceNo),
    Update { signature_key: bool },
    CommitProposals,
    Leave,
}

/// A pending commit and its meaning in the model.
#[derive(Clone, Debug)]
pub struct WaitingCommit {
    pub handle: PendingCommit,
    pub commit: Commit,
    /// True if the service has ordered the commit.
    pub ordered: bool,
}

/// The keys of one sender's messages in one epoch.
#[derive(Clone, Default)]
struct Ratchet {
    head: u32,
    used: BTreeSet<u32>,
}

impl Ratchet {
    /// Uses the key of this generation, or returns the reason why there is none.
    fn take(&mut self, generation: u32, tolerance: u32) -> Result<(), Outcome> {
        if generation < self.head && self.head - generation > tolerance {
            return Err(Outcome::TooOld);
        }
        if !self.used.insert(generation) {
            return Err(Outcome::AlreadyRead);
        }
        self.head = self.head.max(generation + 1);
        Ok(())
    }
}

/// The state of a device that is a member.
#[derive(Clone)]
pub struct MemberState {
    /// The first epoch of this membership.
    pub joined: u64,
    pub epoch: u64,
    pub signer: KeyNo,
    pub pending: Option<WaitingCommit>,
    pub intents: Vec<WantedChange>,
    /// The proposals of this epoch. The second value is true if the service is known to have
    /// ordered the proposal.
    pub proposals: Vec<(Proposal, bool)>,
    /// The number of application messages that the device has made in this epoch. The next field
    /// counts its handshakes.
    pub messages: u32,
    pub handshakes: u32,
    ratchets: BTreeMap<(u64, DeviceNo, bool), Ratchet>,
}

pub enum Standing {
    Outside,
    Removed,
    Member(Box<MemberState>),
}

pub struct Device {
    pub who: DeviceNo,
    pub rules: Rules,
    /// The signature key of the device's next key packages.
    pub key: KeyNo,
    /// The device's unused key packages and their signature keys.
    pub packages: BTreeMap<PackageNo, KeyNo>,
    pub standing: Standing,
    /// The pending external commit.
    pub joining: Option<WaitingCommit>,
    /// The number of log entries that the device has been given in order.
    pub cursor: usize,
}

/// The settings of the policy that the model uses.
#[derive(Clone, Copy)]
pub struct Rules {
    pub past_epochs: u64,
    pub tolerance: u32,
    /// True if handshakes are encrypted.
    pub opaque: bool,
}

/// The changes that a commit would make.
#[derive(Default)]
struct CommitPlan {
    add: Vec<(DeviceNo, PackageNo)>,
    remove: BTreeSet<DeviceNo>,
    update: bool,
    signature_key: bool,
    commit_proposals: bool,
}

impl MemberState {
    pub fn new(epoch: u64, signer: KeyNo) -> Self {
        Self {
            joined: epoch,
            epoch,
            signer,
            pending: None,
            intents: Vec::new(),
            proposals: Vec::new(),
            messages: 0,
            handshakes: 0,
            ratchets: BTreeMap::new(),
        }
    }

    fn enter(&mut self, epoch: u64, service: &ModelService) {
        self.epoch = epoch;
        self.pending = None;
        self.proposals.clear();
        (self.messages, self.handshakes) = (0, 0);
        self.intents.retain(|intent| *intent != WantedChange::CommitProposals);
        self.drop_void(service);
    }

    /// Deletes intents that the commits of other members have fulfilled.
    fn drop_void(&mut self, service: &ModelService) {
        let roster = service.roster(self.epoch);
        let mut wanted = BTreeSet::new();
        self.intents.retain(|intent| match intent {
            WantedChange::Add { who, .. } => !roster.contains_key(who) && wanted.insert(*who),
            WantedChange::Remove(who) => roster.contains_key(who),
            _ => true,
        });
    }

    fn plan(&mut self, service: &ModelService) -> CommitPlan {
        self.drop_void(service);
        let mut plan = CommitPlan::default();
        for intent in &self.intents {
            match *intent {
                WantedChange::Add { who, package } => plan.add.push((who, package)),
                WantedChange::Remove(who) => _ = plan.remove.insert(who),
                WantedChange::Update { signature_key } => {
                    plan.update = true;
                    plan.signature_key |= signature_key;
                }
                WantedChange::CommitProposals => plan.commit_proposals = true,
                WantedChange::Leave => {}
            }
        }
        plan
    }
}

impl Device {
    pub fn view(&self) -> Option<&MemberState> {
        if let Standing::Member(view) = &self.standing { Some(view) } else { None }
    }

    pub fn view_mut(&mut self) -> Option<&mut MemberState> {
        if let Standing::Member(view) = &mut self.standing { Some(view) } else { None }
    }

    /// Returns true if the device must still have this signature key.
    pub fn holds(&self, key: KeyNo) -> bool {
        let waiting =
            |waiting: &Option<WaitingCommit>| waiting.as_ref().and_then(|waiting| waiting.commit.effect.new_key);
        self.key == key
            || self.packages.values().any(|held| *held == key)
            || self.view().is_some_and(|view| view.signer == key || waiting(&view.pending) == Some(key))
    }

    /// Predicts the commit that carries out all intents. Returns `None` if there is nothing to
    /// commit. A new signature key gets the number `new_key`. `package_key` returns the keys of key
    /// packages.
    pub fn commit(
        &mut self,
        service: &ModelService,
        new_key: KeyNo,
        package_key: impl Fn(PackageNo) -> KeyNo,
    ) -> Option<Commit> {
        let (who, opaque) = (self.who, self.rules.opaque);
        let view = self.view_mut()?;
        let mut plan = view.plan(service);
        let roster = service.roster(view.epoch);
        let mut effect = Effect::default();
        let mut removals: BTreeMap<DeviceNo, BTreeSet<Proposal>> = BTreeMap::new();
        let mut updates: BTreeMap<DeviceNo, BTreeSet<Proposal>> = BTreeMap::new();
        let mut uses = Vec::new();
        let mut any = false;
        for (proposal, ordered) in &view.proposals {
            match proposal.what {
                _ if !ordered => continue,
                ProposedChange::Remove(removed) if removed == who => continue,
                ProposedChange::Update(_) if proposal.by == who => continue,
                ProposedChange::Add { who: added, package } => {
                    if roster.contains_key(&added) || effect.added.contains_key(&added) {
                        continue;
                    }
                    effect.added.insert(added, (package_key(package), Some(package)));
                    uses.push(BTreeSet::from([*proposal]));
                }
                ProposedChange::Remove(removed) => {
                    plan.commit_proposals |= plan.remove.remove(&removed);
                    effect.removed.insert(removed);
                    removals.entry(removed).or_default().insert(*proposal);
                }
                ProposedChange::Update(_) => _ = updates.entry(proposal.by).or_default().insert(*proposal),
            }
            any = true;
        }
        updates.retain(|by, _| !effect.removed.contains(by) && !plan.remove.contains(by));
        effect.updated = updates.keys().copied().collect();
        uses.extend(removals.into_values().chain(updates.into_values()));
        plan.add.retain(|(added, _)| {
            plan.commit_proposals |= effect.added.contains_key(added);
            !effect.added.contains_key(added)
        });
        if plan.add.is_empty() && plan.remove.is_empty() && !plan.update && !(plan.commit_proposals && any) {
            return None;
        }
        effect.added.extend(plan.add.iter().map(|(added, package)| (*added, (package_key(*package), Some(*package)))));
        effect.removed.extend(plan.remove);
        effect.new_key = plan.signature_key.then_some(new_key);
        let generation = opaque.then_some(view.handshakes);
        view.handshakes += 1;
        Some(Commit { by: who, epoch: view.epoch, generation, effect, uses, external: false })
    }

    /// Confirms the pending commit of the group after the service has ordered it.
    pub fn confirm(&mut self, service: &ModelService) -> Outcome {
        let Some(view) = self.view_mut() else { return Outcome::Fails(Failure::NotPending) };
        let Some(waiting) = view.pending.take() else { return Outcome::Fails(Failure::NotPending) };
        view.intents.retain(|intent| *intent == WantedChange::Leave);
        view.enter(waiting.commit.epoch + 1, service);
        let resume = !view.intents.is_empty();
        if let Some(key) = waiting.commit.effect.new_key {
            view.signer = key;
            self.key = key;
        }
        changed(&waiting.commit, resume)
    }

    /// Confirms the external commit after the service has ordered it.
    pub fn confirm_external(&mut self, service: &ModelService) -> Outcome {
        let Some(waiting) = self.joining.take() else { return Outcome::Fails(Failure::NotPending) };
        let (signer, _) = waiting.commit.effect.added[&self.who];
        let mut view = MemberState::new(waiting.commit.epoch + 1, signer);
        view.intents = self.view().map(|replaced| replaced.intents.clone()).unwrap_or_default();
        view.intents.retain(|intent| {
            !matches!(intent, WantedChange::Update { signature_key: false } | WantedChange::CommitProposals)
        });
        view.drop_void(service);
        let resume = !view.intents.is_empty();
        self.standing = Standing::Member(Box::new(view));
        changed(&waiting.commit, resume)
    }

    /// Predicts the result of delivering this entry: its welcome if it has one for the device,
    /// otherwise the message.
    pub fn deliver(&mut self, service: &ModelService, entry: &OrderedEntry) -> Outcome {
        if let Some((commit, _)) = entry.welcome_of(self.who) {
            return self.join(commit);
        }
        if self.joining.as_ref().is_some_and(|waiting| waiting.handle.commit() == entry.bytes) {
            return self.confirm_external(service);
        }
        let (me, rules) = (self.who, self.rules);
        let view = match &mut self.standing {
            Standing::Outside => return Outcome::Fails(Failure::UnknownGroup),
            Standing::Removed => return Outcome::Fails(Failure::Removed),
            Standing::Member(view) => view,
        };
        if view.pending.as_ref().is_some_and(|waiting| waiting.handle.commit() == entry.bytes) {
            return self.confirm(service);
        }
        if entry.epoch > view.epoch {
            return Outcome::Fails(Failure::FutureEpoch);
        }
        let past = view.epoch - entry.epoch;
        match &entry.body {
            Body::Message { text, generation } => {
                if past > rules.past_epochs || entry.epoch < view.joined {
                    return Outcome::TooOld;
                }
                if entry.by == me {
                    return Outcome::Own;
                }
                let ratchet = view.ratchets.entry((entry.epoch, entry.by, false)).or_default();
                match ratchet.take(*generation, rules.tolerance) {
                    Ok(()) => Outcome::Message { by: entry.by, epoch: entry.epoch, text: text.clone() },
                    Err(other) => other,
                }
            }
            _ if past > 0 => Outcome::PastEpoch,
            Body::Proposal { proposal, generation } => {
                let known = view.proposals.iter_mut().find(|(known, _)| known == proposal);
                if entry.by == me {
                    // All its own proposals of this epoch are in the list.
                    known.unwrap().1 = true;
                    return Outcome::Own;
                }
                if let Some(generation) = generation {
                    let ratchet = view.ratchets.entry((entry.epoch, entry.by, true)).or_default();
                    if let Err(other) = ratchet.take(*generation, rules.tolerance) {
                        return other;
                    }
                }
                if known.is_some() {
                    return Outcome::AlreadyRead;
                }
                view.proposals.push((*proposal, true));
                Outcome::Proposal { by: entry.by }
            }
            Body::Commit { commit, .. } => {
                let known = |proposal: &Proposal| view.proposals.iter().any(|(known, _)| known == proposal);
                if !commit.uses.iter().all(|alternatives| alternatives.iter().any(known)) {
                    return Outcome::Lost;
                }
                let epoch = entry.epoch + 1;
                if commit.effect.removed.contains(&me) {
                    self.standing = Standing::Removed;
                    return Outcome::Removed { by: commit.by, epoch };
                }
                view.enter(epoch, service);
                let resume = !view.intents.is_empty();
                changed(commit, resume)
            }
        }
    }

    /// Returns true if the model cannot predict the result of the entry. The commit may refer to
    /// one of several equal proposals, and the device knows only some of them. Or the entry would
    /// use up keys of handshakes that are not delivered yet.
    pub fn unclear(&self, service: &ModelService, entry: &OrderedEntry) -> bool {
        let Some(view) = self.view().filter(|view| view.epoch == entry.epoch && entry.by != self.who) else {
            return false;
        };
        let known = |proposal: &Proposal| view.proposals.iter().any(|(known, _)| known == proposal);
        let generation = match &entry.body {
            Body::Message { .. } => return false,
            Body::Commit { commit, .. } => {
                let mut some = commit.uses.iter().map(|proposals| proposals.iter().filter(|one| known(one)).count());
                if commit.uses.iter().any(|proposals| some.next().is_some_and(|n| n > 0 && n < proposals.len())) {
                    return true;
                }
                commit.generation
            }
            Body::Proposal { generation, .. } => *generation,
        };
        let Some(generation) = generation else { return false };
        service.log.iter().any(|other| match &other.body {
            Body::Proposal { proposal, generation: Some(earlier) } => {
                (other.by, other.epoch) == (entry.by, entry.epoch)
                    && earlier + self.rules.tolerance <= generation
                    && !known(proposal)
            }
            _ => false,
        })
    }

    fn join(&mut self, commit: &Commit) -> Outcome {
        let Some((key, Some(package))) = commit.effect.added.get(&self.who) else {
            return Outcome::Fails(Failure::NotInvited);
        };
        if !self.packages.contains_key(package) {
            return Outcome::Fails(Failure::NotInvited);
        }
        if self.view().is_some() {
            return Outcome::Fails(Failure::GroupExists);
        }
        self.packages.remove(package);
        self.standing = Standing::Member(Box::new(MemberState::new(commit.epoch + 1, *key)));
        Outcome::Joined
    }
}

/// Returns the event of a commit.
fn changed(commit: &Commit, resume: bool) -> Outcome {
    let Effect { added, removed, updated, .. } = &commit.effect;
    Outcome::Commit {
        by: commit.by,
        epoch: commit.epoch + 1,
        added: added.keys().copied().collect(),
        removed: removed.clone(),
        updated: updated.clone(),
        resume,
    }
}
