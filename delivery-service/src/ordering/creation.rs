//! Creates groups. A [`Creation`] is verified without the store, on any thread; [`create`] then
//! creates the group in a transaction. `DeliveryService` and [`Checker`](crate::Checker) call the
//! module.

use regrow_crypto::DefaultCrypto;
use regrow_protocol::mls;

use super::{
    Abort, OrderingContext, Submitted, ending,
    group::{self, Group},
    log, membership,
    roster::{self, Arrival},
    tally::Tally,
};
use crate::{
    HandshakeMode,
    handshake::{
        NewPublicGroup, PublicGroups,
        wire::{self, Hash},
    },
    limits::Limits,
    names::{Epoch, Sequence},
    outcome::{Outcome, RejectReason},
    receipt::ChainHash,
    service::effect::Effect,
    store::Transaction,
};

/// The group info of a new group, decoded and verified. It needs no store.
pub(crate) struct Creation {
    mode: HandshakeMode,
    created_from: Hash,
    head: ChainHash,
    /// In assisted mode, the public group that the service will track.
    verified: Result<Option<NewPublicGroup>, RejectReason>,
}

impl Creation {
    /// Verifies the group info of epoch 0. [`create`] reports a fault.
    pub(crate) fn verify(
        crypto: &DefaultCrypto,
        limits: &Limits,
        submitted: Submitted<'_>,
        mode: HandshakeMode,
    ) -> Self {
        let Submitted { group: id, sender: creator, bytes } = submitted;
        let verified = || {
            let group_info = wire::group_info(bytes, limits)?;
            if !wire::is_of(&group_info, id, Epoch(0)) || !wire::has_tree(&group_info) {
                return Err(RejectReason::GroupInfoMismatch);
            }
            match mode {
                HandshakeMode::Opaque => Ok(None),
                // A group info with more than one leaf is refused before the leaves are verified.
                HandshakeMode::Assisted if mls::has_at_most(bytes, 1) == Some(false) => {
                    Err(RejectReason::NotSignedBySender)
                }
                HandshakeMode::Assisted => NewPublicGroup::verify(crypto, creator, group_info).map(Some),
            }
        };
        let (created_from, head) = (wire::hash(bytes), ChainHash::of_creation(id, bytes));
        Self { mode, created_from, head, verified: verified() }
    }
}

/// Creates a group from the group info of its epoch 0, in which the creator is the only member.
pub(crate) fn create(
    tx: &mut dyn Transaction,
    public_groups: &PublicGroups,
    context: OrderingContext<'_>,
    submitted: Submitted<'_>,
    creation: Creation,
) -> Result<Outcome, Abort> {
    let Submitted { group: id, sender: creator, bytes } = submitted;
    let Creation { mode, created_from, head, verified } = creation;
    let (epoch, sequence) = (Epoch(0), Sequence(0));
    let accepted = Outcome::Accepted(context.key.sign(id, sequence, epoch, head));
    if let Some(group) = group::load(tx, id)? {
        return if group.is_created_by(creator, mode, &created_from) {
            Ok(accepted)
        } else {
            Err(RejectReason::GroupExists.into())
        };
    }
    if ending::is_ended(tx, id)? {
        return Err(RejectReason::GroupEnded.into());
    }
    membership::check_group_count(tx, context.limits, creator)?;
    Tally::check_bytes(tx, context.limits, creator.user(), bytes.len())?;
    if let Some(new) = verified? {
        public_groups.start(tx, id, new)?;
    }
    let mut group = Group::new(mode, head, creator, created_from);
    group::replace_group_info(tx, id, &mut group, creator, Some(bytes))?;
    group::save(tx, id, &group)?;
    let first_entry = log::end(tx)?.next();
    roster::join(tx, context, id, creator, first_entry, Arrival::Created, None)?;
    context.effects.note(Effect::Readers(id.clone(), vec![creator.clone()]));
    Ok(accepted)
}
