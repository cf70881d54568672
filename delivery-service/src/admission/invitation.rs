//! Invitations to register. The holder of an invitation may register one device. Invitations to
//! groups are in `ordering::invitation`.

use std::{fmt, ops::ControlFlow, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{
    TokenHash,
    deadline::{self, AdmissionDeadline},
};
use crate::{
    devices,
    error::StoreError,
    names::{Timestamp, UserId},
    store::{
        Table, Transaction,
        key::{self, Key},
    },
};

/// The name of an invitation for operators: the first bytes of its token's hash, in hexadecimal
/// digits. A device cannot register with the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InvitationId([u8; 8]);

impl InvitationId {
    fn of(token: &TokenHash) -> Self {
        let mut id = [0; 8];
        for (to, from) in id.iter_mut().zip(token.0) {
            *to = from;
        }
        Self(id)
    }
}

impl fmt::Display for InvitationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

/// The text is not the name of an invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name of an invitation has 16 hexadecimal digits; `regrow-ds invitations` prints the names")]
pub struct NotAnInvitation;

impl FromStr for InvitationId {
    type Err = NotAnInvitation;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u64::from_str_radix(text, 16).ok().filter(|_| digits).ok_or(NotAnInvitation)?;
        Ok(Self(number.to_be_bytes()))
    }
}

/// An invitation that no device has used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenInvitation {
    /// Its name.
    pub id: InvitationId,
    /// The user whose device the invitation admits; `None` for the first device of a new user.
    pub user: Option<UserId>,
    /// The time at which the invitation expires.
    pub expires: Timestamp,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct RegistrationInvitation {
    user: Option<UserId>,
    pub(crate) expires: Timestamp,
}

fn key_of(token: &TokenHash) -> Key {
    Key::from_bytes(token.0.to_vec())
}

/// Stores an invitation for a device of `user`, or for the first device of a new user.
pub(crate) fn invite(
    tx: &mut dyn Transaction,
    token: &TokenHash,
    user: Option<&UserId>,
    expires: Timestamp,
) -> Result<(), StoreError> {
    key::put(tx, Table::Invitations, &key_of(token), &RegistrationInvitation { user: user.cloned(), expires })?;
    deadline::remember(tx, expires, token, &AdmissionDeadline::Invitation)
}

/// Returns true if the invitation exists, has not expired, and is for this user. An invitation
/// without a user is for a user that has no device yet. Otherwise its holder could pass for any
/// existing user.
pub(crate) fn admits(
    tx: &mut dyn Transaction,
    token: &TokenHash,
    user: &UserId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    match key::get::<RegistrationInvitation>(tx, Table::Invitations, &key_of(token))? {
        Some(RegistrationInvitation { expires, .. }) if expires <= now => Ok(false),
        Some(RegistrationInvitation { user: Some(invited), .. }) => Ok(invited == *user),
        Some(RegistrationInvitation { user: None, .. }) => Ok(!devices::is_known_user(tx, user)?),
        None => Ok(false),
    }
}

/// Deletes an invitation, because it was used or has expired.
pub(crate) fn use_up(tx: &mut dyn Transaction, token: &TokenHash) -> Result<(), StoreError> {
    tx.delete(Table::Invitations, key_of(token).as_bytes()).map(drop)
}

/// Returns all invitations that are valid at `now`, in the order of their expiry.
pub(crate) fn all(tx: &mut dyn Transaction, now: Timestamp) -> Result<Vec<OpenInvitation>, StoreError> {
    let mut open = Vec::new();
    tx.scan(Table::Invitations, &[]..&key::AFTER_ALL, &mut |key, value| {
        let token = token_in(key)?;
        let RegistrationInvitation { user, expires } = key::decode(Table::Invitations, value)?;
        if expires > now {
            open.push(OpenInvitation { id: InvitationId::of(&token), user, expires });
        }
        Ok(ControlFlow::Continue(()))
    })?;
    open.sort_by_key(|invitation| (invitation.expires, invitation.id));
    Ok(open)
}

/// Deletes the invitations of this name. Returns true if there was one.
pub(crate) fn revoke(tx: &mut dyn Transaction, id: InvitationId) -> Result<bool, StoreError> {
    let range = key_of_id(id).everything_below();
    let mut revoked = Vec::new();
    tx.scan(Table::Invitations, &range.start..&range.end, &mut |key, _| {
        revoked.push(token_in(key)?);
        Ok(ControlFlow::Continue(()))
    })?;
    revoked.iter().try_for_each(|token| use_up(tx, token))?;
    Ok(!revoked.is_empty())
}

/// Deletes all invitations for devices of this user.
pub(crate) fn revoke_all(tx: &mut dyn Transaction, user: &UserId) -> Result<(), StoreError> {
    let mut revoked = Vec::new();
    tx.scan(Table::Invitations, &[]..&key::AFTER_ALL, &mut |key, value| {
        let invitation: RegistrationInvitation = key::decode(Table::Invitations, value)?;
        if invitation.user.as_ref() == Some(user) {
            revoked.push(token_in(key)?);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    revoked.iter().try_for_each(|token| use_up(tx, token))
}

fn key_of_id(InvitationId(id): InvitationId) -> Key {
    Key::from_bytes(id.to_vec())
}

fn token_in(key: &[u8]) -> Result<TokenHash, StoreError> {
    key.try_into().map(TokenHash).map_err(|_| StoreError::Corrupt(Table::Invitations))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invitation_name_is_parsed_as_it_is_displayed() {
        let id = InvitationId::of(&TokenHash([0x0f; 32]));
        assert_eq!(id.to_string(), "0f0f0f0f0f0f0f0f");
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "0f", "+f0f0f0f0f0f0f0f", "0f0f0f0f0f0f0f0g", "0f0f0f0f0f0f0f0f0f"] {
            assert_eq!(text.parse::<InvitationId>(), Err(NotAnInvitation), "{text:?}");
        }
    }
}
