//! Reads the names in the path of a request.

use std::fmt;

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
};

use super::refusal::RequestError;
use crate::{
    api::Code,
    names::{DeviceId, Epoch, GroupId, UserId},
};

/// `{group}`: a group's identifier, in base64url without padding.
pub(crate) struct GroupPath(pub(crate) GroupId);

impl<S: Send + Sync> FromRequestParts<S> for GroupPath {
    type Rejection = RequestError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, RequestError> {
        let group = parameter(parts, state, "group").await?;
        // An invalid identifier names no group.
        GroupId::from_base64url(group).map(Self).ok_or_else(|| Code::NotFound.into())
    }
}

/// `{epoch}`: an epoch's number.
pub(crate) struct EpochPath(pub(crate) Epoch);

impl<S: Send + Sync> FromRequestParts<S> for EpochPath {
    type Rejection = RequestError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, RequestError> {
        // A text that is not a number names no epoch.
        let epoch = parameter(parts, state, "epoch").await?.parse();
        epoch.map(|epoch| Self(Epoch(epoch))).map_err(|_| Code::NotFound.into())
    }
}

/// `{user}`: a user's name.
pub(crate) struct UserPath(pub(crate) UserId);

impl<S: Send + Sync> FromRequestParts<S> for UserPath {
    type Rejection = RequestError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, RequestError> {
        Ok(Self(UserId::from_normal(parameter(parts, state, "user").await?)?))
    }
}

/// `{user}/{device}`: a device's name.
pub(crate) struct DevicePath(pub(crate) DeviceId);

impl<S: Send + Sync> FromRequestParts<S> for DevicePath {
    type Rejection = RequestError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, RequestError> {
        let user = parameter(parts, state, "user").await?;
        let device = parameter(parts, state, "device").await?;
        Ok(Self(DeviceId::of(UserId::from_normal(user)?, &device)?))
    }
}

/// Returns a parameter of the path. It undoes the percent-encoding once.
async fn parameter<S: Send + Sync>(parts: &mut Parts, state: &S, name: &str) -> Result<String, RequestError> {
    let unreadable = |error: &dyn fmt::Display| RequestError::because(Code::BadRequest, error);
    let parameters = RawPathParams::from_request_parts(parts, state).await.map_err(|error| unreadable(&error))?;
    let value = parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned());
    value.ok_or_else(|| unreadable(&"the path is not complete"))
}
