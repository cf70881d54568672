//! Carries out the state machine's requests over a connection.

use regrow_engine::{GroupId, PendingCommit};

use super::{
    records::InvitationAnswer,
    request::{GroupRequest, Request, Response},
};
use crate::{api, connection::Connection, error::ConnectionError};

/// Returns the request body that submits the commit.
pub fn commit_request(pending: &PendingCommit) -> api::CommitRequest {
    api::CommitRequest {
        commit: pending.commit().into(),
        welcome: pending.welcome().map(Into::into),
        group_info: pending.group_info().map(Into::into),
        added: pending.added().cloned().collect(),
        removed: pending.removed().cloned().collect(),
    }
}

/// Carries out a request.
pub(super) async fn perform(connection: &mut Connection, request: &Request) -> Result<Response, ConnectionError> {
    match request {
        Request::Acknowledge(up_to) => connection.acknowledge(*up_to).await.map(|_| Response::Done(())),
        Request::KeyPackagesLeft => connection.key_packages_left().await.map(Response::Left),
        Request::Upload { upload, replaces: false } => {
            connection.upload_key_packages(upload).await.map(Response::Uploaded)
        }
        Request::Upload { upload, replaces: true } => {
            connection.replace_key_packages(upload).await.map(Response::Uploaded)
        }
        Request::DeviceList(user, after) => connection.device_list(user, *after).await.map(Response::DeviceList),
        Request::AppendToDeviceList(_, entry) => {
            connection.append_to_device_list(&entry.encode()).await.map(Response::Head)
        }
        Request::RemoveDevice(device) => connection.remove_device(device).await.map(Response::Done),
        Request::Deliveries { after, limit, wait } => {
            connection.deliveries(*after, *limit, *wait).await.map(Response::Page)
        }
        Request::WelcomeTree(group, epoch) => connection.ratchet_tree(group, *epoch).await.map(Response::Tree),
        Request::Group(group, request) => perform_in_group(connection, group, request).await,
    }
}

async fn perform_in_group(
    connection: &mut Connection,
    group: &GroupId,
    request: &GroupRequest,
) -> Result<Response, ConnectionError> {
    match request {
        GroupRequest::Create(body) => connection.create_group(body).await.map(Response::Accepted),
        GroupRequest::AnswerInvitation(InvitationAnswer::Accept) => {
            connection.accept_invitation(group).await.map(Response::Done)
        }
        GroupRequest::AnswerInvitation(InvitationAnswer::Decline) => {
            connection.decline_invitation(group).await.map(Response::Done)
        }
        GroupRequest::End => connection.end_group(group).await.map(Response::Done),
        GroupRequest::Report(commit) => connection.report(group, *commit).await.map(Response::Reported),
        GroupRequest::GroupInfo => connection.group_info(group).await.map(Response::GroupInfo),
        GroupRequest::RatchetTree(epoch) => connection.ratchet_tree(group, *epoch).await.map(Response::Tree),
        GroupRequest::Commit(pending) => {
            connection.submit_commit(group, &commit_request(pending)).await.map(Response::Accepted)
        }
        GroupRequest::DeviceList(target, after) => {
            connection.device_list(target.user(), *after).await.map(Response::DeviceList)
        }
        GroupRequest::Claim(_, device) => {
            let claim = api::ClaimRequest { user: device.user().clone(), device: Some(device.device().to_owned()) };
            connection.claim_key_packages(&claim).await.map(Response::Claimed)
        }
        GroupRequest::Proposal(_, proposal) => {
            connection.submit_proposal(group, &proposal.bytes).await.map(Response::Accepted)
        }
        GroupRequest::Message(_, message) => {
            connection.submit_message(group, &message.bytes).await.map(Response::Accepted)
        }
        GroupRequest::Roster(_) => connection.group(group).await.map(Response::State),
    }
}
