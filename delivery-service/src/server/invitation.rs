//! Makes invitations. An invitation is a token, and the store keeps only its hash.
//!
//! `regrow-ds invite` makes invitations in its own process. The server looks in the store when a
//! device shows an invitation.

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

/// The reason why no invitation was made.
#[derive(Debug, thiserror::Error)]
pub enum InviteError {
    /// The system provides no random bytes for a token.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes an invitation for one device and returns its token. The device belongs to `user`, or to a
/// user without any device. The service does not keep the token.
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
