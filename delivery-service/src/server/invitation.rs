//! Invitations as they are given out: tokens, of which the store keeps hashes.
//!
//! `regrow-ds invite` makes them beside the server, which looks in the store when one is shown to it.

use super::{
    environment::{Environment, NoRandomness},
    tokens::Token,
};
use crate::{
    error::StoreError,
    names::{Timestamp, UserId},
    service::DeliveryService,
    store::Store,
};

/// There is no invitation.
#[derive(Debug, thiserror::Error)]
pub enum InviteError {
    /// There is nothing to make a token of.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes an invitation, good for one device: of `user`, or else of a user who has none yet. Returns its token, which is
/// kept nowhere.
///
/// # Errors
/// [`InviteError`].
pub fn invite<S: Store>(
    service: &DeliveryService<S>,
    user: Option<&UserId>,
    expires: Timestamp,
    environment: &Environment,
) -> Result<String, InviteError> {
    let token = Token::new(environment.random()?);
    service.invite(&token.hash(), user, expires)?;
    Ok(token.write())
}
