//! Reads submissions to groups: the server checks the right to submit before it reads a large body.

use axum::extract::{FromRequest, FromRequestParts as _, Request};
use serde::de::DeserializeOwned;

use super::{caller::Caller, exchange::IncomingBody, paths::GroupPath, refusal::RequestError, state::State};
use crate::{api::Code, names::GroupId};

/// The group in the path, and the decoded body.
///
/// The server reads a small body at once, and the ordering rules check everything together. A large
/// body takes time and memory. So the server reads a large body only for a device whose submission
/// the group could accept. Any other device gets the same answer as if the group did not exist.
pub(crate) struct ToGroup<T> {
    pub(crate) group: GroupId,
    pub(crate) request: T,
}

impl<T: DeserializeOwned + Send + 'static> FromRequest<State> for ToGroup<T> {
    type Rejection = RequestError;

    async fn from_request(request: Request, state: &State) -> Result<Self, RequestError> {
        let (mut parts, body) = request.into_parts();
        let GroupPath(group) = GroupPath::from_request_parts(&mut parts, state).await?;
        let caller = Caller::from_request_parts(&mut parts, state).await?;
        let incoming = IncomingBody::of(Request::from_parts(parts, body), state)?;
        if incoming.is_large() {
            let group = group.clone();
            let is_right =
                state.worker().call(move |service, _| Ok(service.may_submit(&group, &caller.admit(service)?)?));
            if !is_right.await? {
                return Err(Code::NotFound.into());
            }
        }
        Ok(Self { group, request: incoming.read(state).await? })
    }
}
