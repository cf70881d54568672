//! The deadlines of sessions and invitations.

use serde::{Deserialize, Serialize};

use super::TokenHash;
use crate::{
    error::StoreError,
    names::Timestamp,
    store::{
        Table, Transaction,
        identity::Identity,
        key::{self, Key},
    },
};

/// The kind of record that ends at a deadline.
#[derive(Serialize, Deserialize)]
pub(crate) enum AdmissionDeadline {
    /// A session of this device.
    Session(Identity),
    /// An invitation.
    Invitation,
}

pub(crate) fn remember(
    tx: &mut dyn Transaction,
    deadline: Timestamp,
    token: &TokenHash,
    kind: &AdmissionDeadline,
) -> Result<(), StoreError> {
    key::put(tx, Table::AdmissionDeadlines, &Key::number(deadline.0).then_last(&token.0), kind)
}
