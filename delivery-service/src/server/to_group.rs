//! A submission to a group on its way in: the server checks the right to submit before it reads a
//! large body.

use axum::extract::{FromRequest, FromRequestParts as _, Request};
use serde::de::DeserializeOwned;

use super::{caller::Caller, exchange::Unread, paths::GroupPath, refusal::Refusal, state::State};
use crate::{api::Code, names::GroupId};

/// The group that the path names, and the body, understood.
///
/// A small body is read at once, and the ordering rules look at everything together. A large one takes time and memory: the
/// server reads it only for a device that could have it accepted, and answers any other as if the group were not there.
pub(crate) struct ToGroup<T> {
    pub(crate) group: GroupId,
    pub(crate) request: T,
}

impl<T: DeserializeOwned + Send + 'static> FromRequest<State> for ToGroup<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &State) -> Result<Self, Refusal> {
        let (mut parts, body) = request.into_parts();
        let GroupPath(group) = GroupPath::from_request_parts(&mut parts, state).await?;
        let caller = Caller::from_request_parts(&mut parts, state).await?;
        let unread = Unread::of(Request::from_parts(parts, body), state)?;
        if unread.is_large() {
            let group = group.clone();
            let is_right =
                state.worker().call(move |service, _| Ok(service.may_submit(&group, &caller.admit(service)?)?));
            if !is_right.await? {
                return Err(Code::NotFound.into());
            }
        }
        Ok(Self { group, request: unread.read(state).await? })
    }
}
