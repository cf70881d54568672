//! The names in a request's path.

use std::fmt;

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
};
use data_encoding::BASE64URL_NOPAD;

use super::refusal::Refusal;
use crate::{
    api::{Code, DeviceName},
    names::{DeviceId, Epoch, GroupId, MAX_NAME_BYTES, UserId},
};

/// A device's name as it comes in. Text that cannot be shown is refused: two names that look the same must be the same.
pub(crate) fn checked(name: &DeviceName) -> Result<DeviceId, Refusal> {
    check_text(&name.user)?;
    check_text(&name.device)?;
    Ok(name.to_id()?)
}

/// A user's name as it comes in.
pub(crate) fn checked_user(user: &str) -> Result<UserId, Refusal> {
    check_text(user)?;
    if user.is_empty() || user.len() > MAX_NAME_BYTES {
        return Err(Refusal::because(Code::BadRequest, "a user has a name of 1 to 255 bytes"));
    }
    Ok(UserId::from(user))
}

fn check_text(text: &str) -> Result<(), Refusal> {
    if text.chars().any(|character| character.is_control() || is_invisible(character)) {
        return Err(Refusal::because(Code::BadRequest, "a name holds characters that cannot be seen"));
    }
    if text.trim() != text {
        return Err(Refusal::because(Code::BadRequest, "a name begins or ends with a space"));
    }
    Ok(())
}

/// Characters that change how others are shown, or are not shown themselves.
fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// `{group}`: a group's identifier, in base64url without padding.
pub(crate) struct GroupPath(pub(crate) GroupId);

impl<S: Send + Sync> FromRequestParts<S> for GroupPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let group = parameter(parts, state, "group").await?;
        match BASE64URL_NOPAD.decode(group.as_bytes()) {
            Ok(group) if group.len() <= MAX_NAME_BYTES => Ok(Self(GroupId::new(group))),
            // What is not a group's identifier is no group's.
            _ => Err(Code::NotFound.into()),
        }
    }
}

/// `{epoch}`: an epoch's number.
pub(crate) struct EpochPath(pub(crate) Epoch);

impl<S: Send + Sync> FromRequestParts<S> for EpochPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        // What is not a number is no epoch's.
        let epoch = parameter(parts, state, "epoch").await?.parse();
        epoch.map(|epoch| Self(Epoch(epoch))).map_err(|_| Code::NotFound.into())
    }
}

/// `{user}`.
pub(crate) struct UserPath(pub(crate) UserId);

impl<S: Send + Sync> FromRequestParts<S> for UserPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        checked_user(&parameter(parts, state, "user").await?).map(Self)
    }
}

/// `{user}/{device}`.
pub(crate) struct DevicePath(pub(crate) DeviceName);

impl<S: Send + Sync> FromRequestParts<S> for DevicePath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let user = parameter(parts, state, "user").await?;
        let device = parameter(parts, state, "device").await?;
        let name = DeviceName { user, device };
        checked(&name)?;
        Ok(Self(name))
    }
}

/// A parameter of the path, its percent-encoding undone once.
async fn parameter<S: Send + Sync>(parts: &mut Parts, state: &S, name: &str) -> Result<String, Refusal> {
    let unreadable = |error: &dyn fmt::Display| Refusal::because(Code::BadRequest, error);
    let parameters = RawPathParams::from_request_parts(parts, state).await.map_err(|error| unreadable(&error))?;
    let value = parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned());
    value.ok_or_else(|| unreadable(&"the path is not complete"))
}
