//! Invitations: whoever has one may register one device.

use serde::{Deserialize, Serialize};

use super::{
    TokenHash, device,
    expiry::{self, Due},
};
use crate::{
    error::StoreError,
    names::{Timestamp, UserId},
    store::{
        Table, Transaction,
        key::{self, Key},
    },
};

#[derive(Serialize, Deserialize)]
pub(crate) struct Invitation {
    user: Option<UserId>,
    pub(crate) expires: Timestamp,
}

fn key_of(token: &TokenHash) -> Key {
    Key::from_bytes(token.0.to_vec())
}

/// Makes an invitation: for a device of `user`, or for the first device of a user who is new.
pub(crate) fn invite(
    tx: &mut dyn Transaction,
    token: &TokenHash,
    user: Option<&UserId>,
    expires: Timestamp,
) -> Result<(), StoreError> {
    key::put(tx, Table::Invitations, &key_of(token), &Invitation { user: user.cloned(), expires })?;
    expiry::remember(tx, expires, token, &Due::Invitation)
}

/// Whether there is such an invitation, it has not expired, and it is for this user. One that names nobody is for a user
/// who has no device yet: else whoever has it could pass for any user that there is.
pub(crate) fn admits(
    tx: &mut dyn Transaction,
    token: &TokenHash,
    user: &UserId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    match key::get::<Invitation>(tx, Table::Invitations, &key_of(token))? {
        Some(Invitation { expires, .. }) if expires <= now => Ok(false),
        Some(Invitation { user: Some(invited), .. }) => Ok(invited == *user),
        Some(Invitation { user: None, .. }) => Ok(!device::is_known_user(tx, user)?),
        None => Ok(false),
    }
}

/// Deletes an invitation, because it was used or has expired.
pub(crate) fn use_up(tx: &mut dyn Transaction, token: &TokenHash) -> Result<(), StoreError> {
    tx.delete(Table::Invitations, key_of(token).as_bytes()).map(drop)
}
