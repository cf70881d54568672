//! What is sent: real groups, made with the engine before the clock runs.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use regrow_delivery_service::{
    api::{CreateGroupRequest, DeviceName, Handshake, UploadRequest},
    client::commit_request,
};
use regrow_engine::{
    Client, DeviceId, GroupId, KeyPackageBytes, MemoryStore, PendingCommit, Policy, Timestamp, default_crypto,
};

use super::caller::encoded;

/// A group, and the commits that will be submitted to it, one after the other: bodies in CBOR.
pub(super) struct Chain {
    /// The group's identifier as it stands in a path.
    pub(super) path: String,
    pub(super) creation: Vec<u8>,
    /// What adds the other members.
    pub(super) addition: Option<Vec<u8>>,
    pub(super) commits: Vec<Vec<u8>>,
}

pub(super) fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

pub(super) fn name(user: &str) -> DeviceName {
    DeviceName { user: user.to_owned(), device: "bench".to_owned() }
}

/// What a device of ours does in an assisted group, or in an opaque one.
pub(super) fn policy(handshake: regrow_engine::Handshake) -> Policy {
    Policy { handshake, send_ratchet_tree: false, ..Policy::default() }
}

pub(super) fn device(name: &DeviceName, policy: Policy) -> anyhow::Result<Client> {
    let id = DeviceId::new(&name.user, &name.device)?;
    Ok(Client::create(Arc::new(MemoryStore::new()), default_crypto(), id, policy)?)
}

/// One key package of each of so many other devices.
pub(super) fn others(names: &[DeviceName]) -> anyhow::Result<Vec<KeyPackageBytes>> {
    names.iter().map(|name| Ok(device(name, Policy::default())?.key_packages(1, now())?.remove(0))).collect()
}

/// Key packages of a device, as they are uploaded.
pub(super) fn upload(name: &DeviceName, count: usize) -> anyhow::Result<UploadRequest> {
    let key_packages = device(name, Policy::default())?.key_packages(count, now())?;
    let key_packages = key_packages.into_iter().map(|bytes| bytes.into_bytes().into()).collect();
    Ok(UploadRequest { key_packages, last_resort: None })
}

pub(super) fn group_path(group: &GroupId) -> String {
    format!("/v1/groups/{}", data_encoding::BASE64URL_NOPAD.encode(group.as_bytes()))
}

/// Makes a group of `client`'s with these others, and so many commits in it.
pub(super) fn chain(
    client: &mut Client,
    group: &str,
    others: &[KeyPackageBytes],
    commits: usize,
) -> anyhow::Result<Chain> {
    let id = GroupId::from(group);
    let creation = encoded(&created(client, &id)?)?;
    let addition = if others.is_empty() {
        None
    } else {
        let pending = client.group(&id)?.add(others, now())?;
        Some(confirmed(client, pending)?)
    };
    let commits = (0..commits)
        .map(|_| {
            let pending = client.group(&id)?.update()?;
            confirmed(client, pending)
        })
        .collect::<anyhow::Result<_>>()?;
    let path = group_path(&id);
    // The group lives on at the server. Here it would only take room.
    client.forget(&id).context("cannot forget a group")?;
    Ok(Chain { path, creation, addition, commits })
}

/// Makes a group: the request for it.
pub(super) fn created(client: &mut Client, id: &GroupId) -> anyhow::Result<CreateGroupRequest> {
    let group_info = client.create_group(id.clone(), now())?.group_info()?;
    let handshake = match client.policy().handshake {
        regrow_engine::Handshake::Assisted => Handshake::Assisted,
        regrow_engine::Handshake::Opaque => Handshake::Opaque,
    };
    Ok(CreateGroupRequest { group: id.as_bytes().into(), handshake, group_info: group_info.into() })
}

/// The request that submits a commit, which is taken to be accepted.
pub(super) fn confirmed(client: &mut Client, pending: PendingCommit) -> anyhow::Result<Vec<u8>> {
    let request = commit_request(&pending);
    client.confirm(pending, now())?;
    encoded(&request)
}
