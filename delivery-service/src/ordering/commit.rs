//! Commits: one per epoch (RFC 9420, 14; RFC 9750, 5.2.1). The service accepts a commit if and only
//! if it was made in the group's current epoch. All changes that follow from the commit happen in
//! the same transaction.

use std::collections::{BTreeMap, BTreeSet};

use openmls::{
    framing::{ContentType, ProtocolMessage},
    group::PublicGroup,
    messages::group_info::VerifiableGroupInfo,
};
use regrow_crypto::DefaultCrypto;

use super::{
    Abort, Attempt, OrderingContext, Submitted, block,
    claim::{self, Claim, Claimer},
    group::{self, Group},
    key_package,
    log_entry::EntryKind,
    membership, present,
    rollback::LastCommit,
    roster::{self, Arrival, FormerMember},
    submission,
    tally::Tally,
    welcome::{self, Owners, Welcome},
};
use crate::{
    HandshakeMode, devices,
    error::StoreError,
    handshake::{
        self, DecodedHandshake, PresentState, PublicGroups, VerifiedCommit, verify_commit, verify_group_info, wire,
    },
    limits::Limits,
    names::{Cursor, DeviceId, Epoch, GroupId},
    outcome::{Outcome, RejectReason, RosterChange},
    service::effect::Effect,
    store::Transaction,
};

/// A commit, and the messages that come with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitSubmission {
    /// The group.
    pub group: GroupId,
    /// The device that submits the commit. The same device must have signed it.
    pub sender: DeviceId,
    /// The commit, as an MLSMessage.
    pub commit: Vec<u8>,
    /// The welcome for the devices that the commit adds, as an MLSMessage; `None` if it adds none.
    /// An external joiner needs no welcome.
    pub welcome: Option<Vec<u8>>,
    /// The group info of the epoch that the commit begins, as an MLSMessage. Without one, no device
    /// can join by external commit until a later commit has one. In opaque mode the group info must
    /// have the ratchet tree. In assisted mode the group info and the welcome may leave the tree
    /// out; then joiners get it from the service.
    pub group_info: Option<Vec<u8>>,
    /// The devices that the commit adds and removes. In assisted mode, and for every external
    /// commit, the service sees the changes of the commit, and this field must be equal to them.
    /// For a member's commit in opaque mode, the service believes this field.
    pub roster_change: RosterChange,
}

impl CommitSubmission {
    /// Returns the number of bytes of the messages.
    pub fn bytes(&self) -> usize {
        let beside = [&self.welcome, &self.group_info].into_iter().flatten();
        self.commit.len() + beside.map(Vec::len).sum::<usize>()
    }
}

/// A commit that is valid, as far as the service can see.
struct CommitVerdict {
    commit: VerifiedCommit,
    /// True if the group info that comes with the commit has the ratchet tree. An error if the
    /// group info has a fault.
    sent_tree: Result<bool, RejectReason>,
}

impl handshake::VerdictKind for CommitVerdict {
    const COUNTS_FOR_EPOCH: bool = false;
}

/// A decoded commit with its welcome and its group info, and the verdict on the commit if there is
/// one.
pub(crate) struct DecodedCommit {
    handshake: Result<DecodedHandshake<CommitVerdict>, RejectReason>,
    welcome: Option<Result<Welcome, RejectReason>>,
    group_info: Option<Result<VerifiableGroupInfo, RejectReason>>,
}

impl DecodedCommit {
    /// Decodes a commit. [`submit`] reports a fault.
    pub(crate) fn of(submission: &CommitSubmission, limits: &Limits) -> Self {
        Self {
            handshake: DecodedHandshake::read(&submission.commit, limits),
            welcome: submission.welcome.as_deref().map(|bytes| {
                wire::check_welcome(bytes, limits)?;
                Welcome::read(bytes)
            }),
            group_info: submission.group_info.as_deref().map(|bytes| wire::group_info(bytes, limits)),
        }
    }

    /// Verifies the commit of a member, if the public group is in memory.
    pub(crate) fn verify_of_member(
        &mut self,
        public_groups: &PublicGroups,
        crypto: &DefaultCrypto,
        submission: &CommitSubmission,
    ) {
        let Self { handshake, group_info, .. } = self;
        if let Ok(handshake) = handshake {
            let verify = verify(crypto, submission, group_info.as_ref(), HandshakeMode::Assisted);
            handshake.verify_of_member(public_groups, &submission.group, &submission.sender, verify);
        }
    }

    /// Verifies the commit in the group's present state.
    pub(crate) fn verify_in(
        &mut self,
        present: PresentState,
        crypto: &DefaultCrypto,
        limits: &Limits,
        submission: &CommitSubmission,
    ) {
        let Self { handshake, group_info, .. } = self;
        let mode = match present {
            PresentState::Public(_) => HandshakeMode::Assisted,
            PresentState::GroupInfo(_) => HandshakeMode::Opaque,
        };
        if let Ok(handshake) = handshake {
            let verify = verify(crypto, submission, group_info.as_ref(), mode);
            handshake.verify_in(present, &submission.commit, crypto, limits, verify);
        }
    }

    /// Returns true if the commit has a good verdict, and makes the roster change that the
    /// submission declares.
    pub(crate) fn has_good_verdict(&self, submission: &CommitSubmission) -> bool {
        let found = self.handshake.as_ref().ok().and_then(DecodedHandshake::good_verdict);
        found.is_some_and(|found| found.sent_tree.is_ok() && found.commit.change == submission.roster_change)
    }
}

/// Verifies a commit, and the group info that comes with it.
fn verify(
    crypto: &DefaultCrypto,
    submission: &CommitSubmission,
    group_info: Option<&Result<VerifiableGroupInfo, RejectReason>>,
    mode: HandshakeMode,
) -> impl FnOnce(&PublicGroup, ProtocolMessage) -> Result<CommitVerdict, RejectReason> {
    move |group, message| {
        let next_epoch = Epoch(message.epoch().as_u64().saturating_add(1));
        let commit = verify_commit(group, crypto, message, &submission.sender)?;
        let sent_tree = check_group_info(crypto, group_info, mode, &submission.group, next_epoch, Some(&commit));
        Ok(CommitVerdict { commit, sent_tree })
    }
}

/// Orders a commit. Every commit that the service can see into needs a good verdict for the group's
/// present state.
///
/// In opaque mode the service tracks no public group. But an external commit is public, and its
/// sender had the group info of the present epoch. So the commit is verified in the group that the
/// group info describes. Without the verdict, any stranger could end an epoch.
pub(crate) fn submit(
    tx: &mut dyn Transaction,
    public_groups: &PublicGroups,
    context: OrderingContext<'_>,
    submission: &CommitSubmission,
    decoded: &mut DecodedCommit,
) -> Result<Attempt<()>, Abort<Attempt<()>>> {
    let CommitSubmission { group: id, sender, commit, welcome: _, group_info, roster_change } = submission;
    let submitted = Submitted { group: id, sender, bytes: commit };
    let DecodedCommit { handshake, welcome, group_info: decoded_info } = decoded;
    let handshake = handshake.as_mut().map_err(|reason| reason.clone())?;
    let (frame, bytes) = (&handshake.frame, submission.bytes());
    let mut group = submission::admit(tx, context, submitted, frame, ContentType::Commit, bytes)?;
    let (hash, is_external) = (handshake.frame.hash, handshake.frame.is_external_commit);
    let (epoch, next_epoch) = (group.epoch, Epoch(group.epoch.0 + 1));

    let (verified, sent_tree) = if group.mode == HandshakeMode::Assisted || is_external {
        let CommitVerdict { commit, sent_tree } = present::verdict(tx, public_groups, id, &group, handshake)?;
        (Some(commit), sent_tree)
    } else {
        (None, check_group_info(context.crypto, decoded_info.as_ref(), group.mode, id, next_epoch, None))
    };
    if verified.as_ref().is_some_and(|verified| verified.change != *roster_change) {
        return Err(RejectReason::RosterMismatch.into());
    }
    check_roster_change(tx, context, id, sender, is_external, roster_change)?;
    let welcome = check_welcome(tx, submission, welcome.take(), is_external, verified.as_ref())?;
    let claims = match &welcome {
        Some((_, owners)) => use_claims(tx, context, submission, owners, verified.as_ref())?,
        None => Vec::new(),
    };
    check_invitations(tx, context, submission, &claims)?;
    let sent_tree = sent_tree?;

    // From here on the commit is not refused any more.
    let before = group.clone();
    let left = verified.as_ref().map(|verified| &verified.left);
    let (noted_removals, undone_removals) = note_removals(tx, context, id, &mut group, roster_change, left)?;
    if group.mode == HandshakeMode::Assisted
        && let Some(verified) = verified
    {
        public_groups.merge(tx, id, epoch, verified)?;
    }
    let mode = group.mode;
    group.epoch = next_epoch;
    group.proposals = 0;
    group::replace_group_info(tx, id, &mut group, sender, group_info.as_deref())?;
    let welcome_bytes = submission.welcome.as_ref().map_or(0, Vec::len);
    let (cursor, receipt) = submission::order(tx, context, submitted, EntryKind::Commit, group, hash, welcome_bytes)?;
    let former = change_roster(tx, context, submission, cursor, &claims)?;
    let moved = roster_change.added.union(&roster_change.removed).cloned().collect();
    context.effects.note(Effect::Readers(id.clone(), moved));
    if let Some((welcome, owners)) = welcome {
        // The service cannot read a welcome. The welcome was made from the same group info.
        let tree = match mode {
            HandshakeMode::Assisted if !sent_tree => public_groups.ratchet_tree(tx, id, next_epoch, next_epoch)?,
            _ => None,
        };
        welcome::save(tx, id, cursor, &welcome, &owners, tree.as_deref())?;
    }
    let added = roster_change.added.clone();
    let (sender, time, sequence) = (sender.clone(), context.now, receipt.sequence);
    LastCommit { before, sender, hash, time, added, former, noted_removals, undone_removals, claims, cursor, sequence }
        .save(tx, id)?;
    Ok(Attempt::Settled(Outcome::Accepted(receipt)))
}

/// Checks that the change fits the present roster, so that the roster stays a set of devices. An
/// external commit may add and remove only its sender.
fn check_roster_change(
    tx: &mut dyn Transaction,
    context: OrderingContext<'_>,
    id: &GroupId,
    sender: &DeviceId,
    is_external: bool,
    RosterChange { added, removed }: &RosterChange,
) -> Result<(), Abort> {
    let impossible = || Abort::from(RejectReason::ImpossibleRosterChange);
    let only_sender = BTreeSet::from([sender.clone()]);
    let moves_itself_rightly = if is_external {
        // RFC 9420, 12.4.3.2: an external commit adds its sender, and removes at most the sender's
        // old leaf.
        *added == only_sender && removed.is_subset(&only_sender)
    } else {
        // RFC 9420, 12.2: a member does not remove itself by its own commit.
        added.is_disjoint(&only_sender) && removed.is_disjoint(&only_sender)
    };
    if !moves_itself_rightly {
        return Err(impossible());
    }
    for device in removed {
        if !roster::is_member(tx, id, device)? {
            return Err(impossible());
        }
    }
    for device in added {
        if !removed.contains(device) && roster::is_member(tx, id, device)? {
            return Err(impossible());
        }
    }
    if added.len() > removed.len() {
        let members = roster::count(tx, id)? + added.len() - removed.len();
        if members > context.limits.max_devices_per_group {
            return Err(RejectReason::GroupFull { limit: context.limits.max_devices_per_group }.into());
        }
    }
    for device in added {
        // An external joiner calls the service itself, so that the service's caller knows the
        // device.
        if !is_external && devices::key_of(tx, device)?.is_none() {
            return Err(RejectReason::UnknownDevice { device: device.clone() }.into());
        }
    }
    if is_external && removed.is_empty() {
        membership::check_group_count(tx, context.limits, sender)?;
    }
    Ok(())
}

/// Checks that the welcome is for exactly the devices that the commit adds. Without a welcome, a
/// member would be on the roster and outside the group. Returns the welcome, if the commit needs
/// one, and the devices that own its key packages.
fn check_welcome(
    tx: &mut dyn Transaction,
    submission: &CommitSubmission,
    welcome: Option<Result<Welcome, RejectReason>>,
    is_external: bool,
    verified: Option<&VerifiedCommit>,
) -> Result<Option<(Welcome, Owners)>, Abort> {
    let added = &submission.roster_change.added;
    let needs_welcome = !is_external && !added.is_empty();
    let welcome = match welcome {
        Some(welcome) if needs_welcome => welcome?,
        None if !needs_welcome => return Ok(None),
        _ => return Err(RejectReason::WelcomeMismatch.into()),
    };
    let mut owners = Owners::new();
    let mut references = BTreeSet::new();
    for reference in welcome.references() {
        let owner = match verified {
            Some(verified) => verified.additions.get(reference).map(|addition| addition.device.clone()),
            None => key_package::owner(tx, reference)?.filter(|owner| added.contains(owner)),
        };
        owners.extend(owner.map(|owner| (reference.to_vec(), owner)));
        references.insert(reference);
    }
    if references.len() != welcome.references().count() || references.len() != added.len() {
        return Err(RejectReason::WelcomeMismatch.into());
    }
    let known: BTreeSet<_> = owners.values().collect();
    match added.iter().find(|device| !known.contains(device)) {
        None => Ok(Some((welcome, owners))),
        Some(_) if verified.is_some() => Err(RejectReason::WelcomeMismatch.into()),
        Some(device) => Err(RejectReason::UnclaimedKeyPackage { device: device.clone() }.into()),
    }
}

/// Uses up a claim for each addition of a commit. Returns the claims.
fn use_claims(
    tx: &mut dyn Transaction,
    context: OrderingContext<'_>,
    submission: &CommitSubmission,
    owners: &Owners,
    verified: Option<&VerifiedCommit>,
) -> Result<Vec<Claim>, Abort> {
    let CommitSubmission { group, sender, .. } = submission;
    let mut claims = Vec::new();
    for (reference, device) in owners {
        let proposer = verified.and_then(|verified| verified.additions.get(reference));
        let claimer = match proposer {
            Some(addition) => Claimer::One(sender, &addition.proposer),
            None => Claimer::Member(sender, group),
        };
        claims.push(claim::consume(tx, context, reference, device, claimer)?);
    }
    Ok(claims)
}

/// Checks that the adding users may add the devices. A device that its own user adds is in one more
/// group. Any other device is invited, which counts for the user whose device has claimed its key
/// package.
fn check_invitations(
    tx: &mut dyn Transaction,
    context: OrderingContext<'_>,
    submission: &CommitSubmission,
    claims: &[Claim],
) -> Result<(), Abort> {
    let mut invited: BTreeMap<_, u64> = BTreeMap::new();
    for claim in claims {
        let (device, inviter) = (&claim.target, claim.claimer.user());
        for user in [inviter, submission.sender.user()] {
            block::check(tx, device, user)?;
        }
        if inviter != device.user() {
            *invited.entry(inviter).or_default() += 1;
        } else if !submission.roster_change.removed.contains(device) {
            membership::check_group_count(tx, context.limits, device)?;
        }
    }
    let limit = context.limits.max_open_invitations_per_user;
    for (inviter, more) in invited {
        if Tally::Invitations(inviter).get(tx)?.saturating_add(more) > limit {
            return Err(RejectReason::TooManyInvitations { limit }.into());
        }
    }
    Ok(())
}

/// Checks the group info that comes with a commit. Returns true if it has the ratchet tree.
fn check_group_info(
    crypto: &DefaultCrypto,
    group_info: Option<&Result<VerifiableGroupInfo, RejectReason>>,
    mode: HandshakeMode,
    id: &GroupId,
    epoch: Epoch,
    verified: Option<&VerifiedCommit>,
) -> Result<bool, RejectReason> {
    let Some(group_info) = group_info else {
        return Ok(false);
    };
    let group_info = group_info.as_ref().map_err(Clone::clone)?;
    let has_tree = wire::has_tree(group_info);
    if !wire::is_of(group_info, id, epoch) || mode == HandshakeMode::Opaque && !has_tree {
        return Err(RejectReason::GroupInfoMismatch);
    }
    if let Some(verified) = verified {
        verify_group_info(crypto, verified, group_info)?;
    }
    Ok(has_tree)
}

/// Notes the devices that the commit removes against their will, and forgets the earlier removals
/// of the devices that it adds. Returns the devices of the noted and of the forgotten removals.
fn note_removals(
    tx: &mut dyn Transaction,
    context: OrderingContext<'_>,
    id: &GroupId,
    group: &mut Group,
    RosterChange { added, removed }: &RosterChange,
    left: Option<&BTreeSet<DeviceId>>,
) -> Result<(BTreeSet<DeviceId>, BTreeSet<DeviceId>), StoreError> {
    let (mut noted_removals, mut undone_removals) = (BTreeSet::new(), BTreeSet::new());
    for device in removed.difference(added).filter(|device| !left.is_some_and(|left| left.contains(device))) {
        if roster::remember_removal(tx, context.limits, id, group, device)? {
            noted_removals.insert(device.clone());
        }
    }
    for device in added {
        if roster::forget_removal(tx, id, group, device)? {
            undone_removals.insert(device.clone());
        }
    }
    Ok((noted_removals, undone_removals))
}

/// Makes the roster change. Returns the removed members, with their records from before.
fn change_roster(
    tx: &mut dyn Transaction,
    context: OrderingContext<'_>,
    submission: &CommitSubmission,
    cursor: Cursor,
    claims: &[Claim],
) -> Result<Vec<FormerMember>, StoreError> {
    let CommitSubmission { group: id, roster_change: RosterChange { added, removed }, .. } = submission;
    // A device that joins gets `since` and `added_by` of its user's first device, which the same
    // commit may remove.
    let mut first_of_user = BTreeMap::new();
    for user in added.iter().map(DeviceId::user) {
        first_of_user.insert(user, roster::first_of_user(tx, id, user)?);
    }
    let mut former = Vec::with_capacity(removed.len());
    for device in removed {
        // A device that the same entry adds again reads the entry once, as the beginning of its new
        // membership.
        let until = if added.contains(device) { cursor.previous() } else { cursor };
        former.push(roster::leave(tx, id, device, until)?);
    }
    let inviters: BTreeMap<_, _> = claims.iter().map(|claim| (&claim.target, claim.claimer.user())).collect();
    for device in added {
        let arrival = inviters.get(device).map_or(Arrival::External, |user| Arrival::Added(user));
        let first = first_of_user.get(device.user()).cloned().flatten();
        roster::join(tx, context, id, device, cursor, arrival, first)?;
    }
    Ok(former)
}
