//! Applies each fact to the model. It checks everything before it changes anything.

use std::sync::Arc;

use super::{
    device::{DeviceState, OracleMembership},
    history::{Commit, CommitId, DeviceNumber, EpochId, Fact, KeyPackageId, MessageNumber, ProposalId, ProposalKind},
    made::{MadeCommit, MadeProposal, SentMessage},
    model::{Impossible, Oracle},
    path::apply,
    secret::KeyPair,
    secret_tree::RatchetKind,
    tree::{Leaf, Tree},
    tree_math::LeafIndex,
};

/// The reason why a fact cannot have happened, in words.
type Contradiction = String;

/// Returns the contradiction unless the condition holds.
fn ensure(holds: bool, why: impl FnOnce() -> Contradiction) -> Result<(), Contradiction> {
    if holds { Ok(()) } else { Err(why()) }
}

impl Oracle {
    /// Records a fact. A refused fact changes nothing.
    ///
    /// # Errors
    /// [`Impossible`] if the fact cannot have happened after the facts before it.
    pub fn apply(&mut self, fact: Fact) -> Result<(), Impossible> {
        self.apply_fact(&fact).map_err(|why| Impossible { fact: fact.into(), why })
    }

    fn apply_fact(&mut self, fact: &Fact) -> Result<(), Contradiction> {
        match fact {
            Fact::KeyPackageMade { of, key_package, last_resort } => {
                self.make_key_package(*of, *key_package, *last_resort)
            }
            Fact::KeyPackageErased { of, key_package } => {
                let erased = self.device(*of).key_packages.remove(key_package);
                ensure(erased.is_some(), || format!("{key_package} is not on {of}"))
            }
            Fact::Created { by } => self.create(*by),
            Fact::Proposed { by, proposal, what } => self.propose(*by, *proposal, *what),
            Fact::Received { who, proposal } => self.receive(*who, *proposal),
            Fact::Prepared { by, commit, what } => self.prepare(*by, *commit, what),
            Fact::Discarded { by, commit } => self.discard(*by, *commit),
            Fact::Ordered { commit } => self.order(*commit),
            Fact::Entered { who, commit } => self.enter(*who, *commit),
            Fact::Joined { who, commit } => self.join(*who, *commit),
            Fact::PastErased { who, kept } => {
                let past = &mut self.member(*who)?.past;
                past.drain(..past.len().saturating_sub(*kept));
                Ok(())
            }
            Fact::Forgot { who } => {
                let device = self.device(*who);
                (device.group, device.joining) = (None, None);
                Ok(())
            }
            Fact::Encrypted { by, message } => self.encrypt(*by, *message),
            Fact::Sent { message } => self.send(*message),
            Fact::Read { who, message } => self.read(*who, *message),
            Fact::Stolen { of, thief } => self.copy(*of, *thief),
        }
    }

    fn make_key_package(
        &mut self,
        of: DeviceNumber,
        key_package: KeyPackageId,
        stays: bool,
    ) -> Result<(), Contradiction> {
        ensure(!self.key_packages.contains_key(&key_package), || format!("there is a {key_package} already"))?;
        self.key_packages.insert(key_package, of);
        self.device(of).key_packages.insert(key_package, stays);
        Ok(())
    }

    fn create(&mut self, by: DeviceNumber) -> Result<(), Contradiction> {
        ensure(self.first_tree.is_none(), || "there is a group already".into())?;
        let key = KeyPair::CreatorLeaf;
        let tree = Arc::new(Tree::new(Leaf { device: by, key }));
        self.first_tree = Some(Arc::clone(&tree));
        self.device(by).group = Some(OracleMembership::new(EpochId::First, LeafIndex(0), tree, [key].into()));
        Ok(())
    }

    fn propose(&mut self, by: DeviceNumber, proposal: ProposalId, what: ProposalKind) -> Result<(), Contradiction> {
        ensure(!self.proposals.contains_key(&proposal), || format!("there is a {proposal} already"))?;
        let opaque = self.policy.opaque;
        let group = self.member(by)?;
        let generation = opaque.then(|| group.secrets.encrypt(group.leaf, RatchetKind::Handshake));
        let is_update = what == ProposalKind::Update;
        if is_update {
            group.updates.insert(proposal);
        }
        let proposed = MadeProposal { by, in_epoch: group.epoch, is_update, leaf: group.leaf, generation };
        self.proposals.insert(proposal, proposed);
        Ok(())
    }

    fn receive(&mut self, who: DeviceNumber, proposal: ProposalId) -> Result<(), Contradiction> {
        let out_of_order = self.policy_of(who).out_of_order;
        let it = *self.proposals.get(&proposal).ok_or_else(|| format!("there is no {proposal}"))?;
        ensure(it.by != who, || format!("{proposal} is its own"))?;
        let group = self.member(who)?;
        ensure(group.epoch == it.in_epoch, || format!("{who} is in {}", group.epoch))?;
        if let Some(generation) = it.generation {
            let has_key = group.secrets.yields(it.leaf, RatchetKind::Handshake, generation);
            ensure(has_key, || format!("{who} has used the key of {proposal}"))?;
            group.secrets.decrypt(it.leaf, RatchetKind::Handshake, generation, out_of_order);
        }
        Ok(())
    }

    fn prepare(&mut self, by: DeviceNumber, commit: CommitId, what: &Commit) -> Result<(), Contradiction> {
        ensure(!self.commits.contains_key(&commit), || format!("there is a {commit} already"))?;
        let member = self.member_of(by);
        let (in_epoch, before) = match what.external {
            true => {
                ensure(what.adds.is_empty() && what.updates.is_empty(), || {
                    "an external commit adds and updates nobody else".into()
                })?;
                ensure(what.removes.iter().all(|device| *device == member), || {
                    "an external commit removes nobody but its maker's lost leaf".into()
                })?;
                self.ordered_epoch(what.epoch)?
            }
            false => {
                let group = self.member(by)?;
                let in_epoch = (group.epoch, Arc::clone(&group.tree));
                let number = self.number_of(in_epoch.0);
                ensure(number == Some(what.epoch), || format!("{by} is in {}, not in {}", in_epoch.0, what.epoch))?;
                ensure(!what.removes.contains(&member), || format!("{by} removes itself"))?;
                in_epoch
            }
        };
        self.check_proposals(member, in_epoch, what)?;
        let applied = apply(&before, member, commit, what)?;
        let opaque = self.policy.opaque && !what.external;
        let mut generation = None;
        if what.external {
            self.device(by).joining = Some(commit);
        } else {
            let group = self.member(by)?;
            group.pending = Some(commit);
            generation = opaque.then(|| group.secrets.encrypt(group.leaf, RatchetKind::Handshake));
        }
        let made = MadeCommit {
            by,
            what: what.clone(),
            in_epoch,
            tree: Arc::new(applied.tree),
            path: applied.path,
            joiners: applied.joiners,
            generation,
        };
        self.commits.insert(commit, made);
        Ok(())
    }

    /// Checks that the key packages and proposals that a commit names exist.
    fn check_proposals(&self, by: DeviceNumber, in_epoch: EpochId, what: &Commit) -> Result<(), Contradiction> {
        for (device, key_package) in &what.adds {
            ensure(self.key_packages.get(key_package) == Some(device), || format!("{key_package} is not {device}'s"))?;
        }
        for (device, proposal) in &what.updates {
            ensure(*device != by, || format!("{by} commits to its own update"))?;
            let known = self.proposals.get(proposal);
            let known = known.is_some_and(|it| it.is_update && it.by == *device && it.in_epoch == in_epoch);
            ensure(known, || format!("{proposal} is no update of {device} in {in_epoch}"))?;
        }
        Ok(())
    }

    fn discard(&mut self, by: DeviceNumber, commit: CommitId) -> Result<(), Contradiction> {
        let device = self.device(by);
        if device.joining == Some(commit) {
            device.joining = None;
            return Ok(());
        }
        match device.group.as_mut().filter(|group| group.pending == Some(commit)) {
            Some(group) => {
                group.pending = None;
                Ok(())
            }
            None => Err(format!("{commit} is not under way on {by}")),
        }
    }

    fn order(&mut self, commit: CommitId) -> Result<(), Contradiction> {
        let in_epoch = self.made(commit)?.in_epoch;
        let current = self.current_epoch();
        ensure(in_epoch == current, || format!("{commit} is made in {in_epoch}, and the group is in {current}"))?;
        self.ordered.push(commit);
        Ok(())
    }

    fn enter(&mut self, who: DeviceNumber, commit: CommitId) -> Result<(), Contradiction> {
        ensure(self.is_ordered(commit), || format!("{commit} has not been ordered"))?;
        let (policy, member) = (self.policy_of(who), self.member_of(who));
        let made = self.commits.get(&commit).ok_or_else(|| format!("there is no {commit}"))?;
        let taken_over = made.what.external && self.member_of(made.by) == member;
        let device = self.devices.entry(who).or_default();
        if made.what.external && made.by == who {
            ensure(device.joining == Some(commit), || format!("{commit} is not under way on {who}"))?;
            let keys = made.tree.keys_of(made.path.committer);
            let tree = Arc::clone(&made.tree);
            device.joining = None;
            device.group = Some(OracleMembership::new(EpochId::After(commit), made.path.committer, tree, keys));
            return Ok(());
        }
        let group = device.group.as_mut().ok_or_else(|| format!("{who} has no group"))?;
        ensure(group.epoch == made.in_epoch, || format!("{who} is in {}", group.epoch))?;
        if made.what.removes.contains(&member) || taken_over {
            device.group = None;
            return Ok(());
        }
        if made.by == who {
            ensure(group.pending == Some(commit), || format!("{commit} is not under way on {who}"))?;
            return group.enter(commit, made, true, &policy);
        }
        let mut next = group.clone();
        if let Some(generation) = made.generation {
            let committer = made.path.committer;
            ensure(next.secrets.yields(committer, RatchetKind::Handshake, generation), || {
                format!("{who} has used the key of {commit}")
            })?;
            next.secrets.decrypt(committer, RatchetKind::Handshake, generation, policy.out_of_order);
        }
        next.enter(commit, made, false, &policy)?;
        *group = next;
        Ok(())
    }

    fn join(&mut self, who: DeviceNumber, commit: CommitId) -> Result<(), Contradiction> {
        ensure(self.is_ordered(commit), || format!("{commit} has not been ordered"))?;
        let made = self.commits.get(&commit).ok_or_else(|| format!("there is no {commit}"))?;
        let member = self.member_of(who);
        let joiner = made.joiners.iter().find(|joiner| joiner.device == member);
        let joiner = joiner.ok_or_else(|| format!("{commit} does not add {who}"))?;
        let device = self.devices.entry(who).or_default();
        ensure(device.group.is_none(), || format!("{who} is a member"))?;
        let stays = device.key_packages.get(&joiner.key_package);
        let stays = *stays.ok_or_else(|| format!("{} is not on {who}", joiner.key_package))?;
        if !stays {
            device.key_packages.remove(&joiner.key_package);
        }
        // The welcome has the path secret of the lowest node above both the joiner and the
        // committer. Below that node the joiner is unmerged (RFC 9420, 12.4.3.1).
        let first = made.path.first_known_to(joiner.leaf);
        let path = made.path.keys_from(commit, first);
        let keys = path.chain([KeyPair::KeyPackageLeaf(joiner.key_package)]).collect();
        let tree = Arc::clone(&made.tree);
        device.group = Some(OracleMembership::new(EpochId::After(commit), joiner.leaf, tree, keys));
        Ok(())
    }

    fn encrypt(&mut self, by: DeviceNumber, message: MessageNumber) -> Result<(), Contradiction> {
        ensure(!self.messages.contains_key(&message), || format!("there is a {message} already"))?;
        let group = self.member(by)?;
        let (epoch, leaf) = (group.epoch, group.leaf);
        let generation = group.secrets.encrypt(leaf, RatchetKind::Application);
        self.messages.insert(message, SentMessage { by, epoch, leaf, generation, sent: false });
        Ok(())
    }

    fn send(&mut self, message: MessageNumber) -> Result<(), Contradiction> {
        let it = self.messages.get_mut(&message).ok_or_else(|| format!("there is no {message}"))?;
        it.sent = true;
        Ok(())
    }

    fn read(&mut self, who: DeviceNumber, message: MessageNumber) -> Result<(), Contradiction> {
        let out_of_order = self.policy_of(who).out_of_order;
        let it = *self.messages.get(&message).ok_or_else(|| format!("there is no {message}"))?;
        ensure(it.sent, || format!("{message} has not been sent"))?;
        ensure(it.by != who, || format!("{message} is its own"))?;
        let secrets = self.member(who)?.secrets_of(it.epoch);
        let secrets = secrets.ok_or_else(|| format!("{who} has nothing of {}", it.epoch))?;
        let has_key = secrets.yields(it.leaf, RatchetKind::Application, it.generation);
        ensure(has_key, || format!("{who} does not have the key of {message} any more"))?;
        secrets.decrypt(it.leaf, RatchetKind::Application, it.generation, out_of_order);
        Ok(())
    }

    fn copy(&mut self, of: DeviceNumber, thief: DeviceNumber) -> Result<(), Contradiction> {
        ensure(!self.devices.contains_key(&thief), || format!("there is a {thief} already"))?;
        let state = self.device(of).clone();
        self.copies.insert(thief, self.member_of(of));
        self.devices.insert(thief, state);
        Ok(())
    }

    fn device(&mut self, device: DeviceNumber) -> &mut DeviceState {
        self.devices.entry(device).or_default()
    }

    fn member(&mut self, device: DeviceNumber) -> Result<&mut OracleMembership, Contradiction> {
        self.device(device).group.as_mut().ok_or_else(|| format!("{device} has no group"))
    }

    fn made(&self, commit: CommitId) -> Result<&MadeCommit, Contradiction> {
        self.commits.get(&commit).ok_or_else(|| format!("there is no {commit}"))
    }

    /// The number of a present or past epoch of the group.
    fn number_of(&self, epoch: EpochId) -> Option<u64> {
        match epoch {
            EpochId::First => Some(0),
            EpochId::After(commit) => {
                self.ordered.iter().rposition(|ordered| *ordered == commit).map(|at| at as u64 + 1)
            }
        }
    }

    /// The epoch with that number, and its tree.
    fn ordered_epoch(&self, number: u64) -> Result<(EpochId, Arc<Tree>), Contradiction> {
        let unknown = || format!("there is no epoch {number}");
        let before = number.checked_sub(1);
        let Some(before) = before else {
            return Ok((EpochId::First, self.first_tree.clone().ok_or_else(unknown)?));
        };
        let commit = self.ordered.get(before as usize).ok_or_else(unknown)?;
        Ok((EpochId::After(*commit), Arc::clone(&self.made(*commit)?.tree)))
    }
}
