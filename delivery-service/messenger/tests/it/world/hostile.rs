//! A device without a messenger: a member or a stranger that breaks the rules.

use std::time::Duration;

use regrow_delivery_service::{Cursor, Sequence, api};
use regrow_engine::{Client, DeviceId, KeyPackageBytes, ReceivedEvent, Timestamp};
use regrow_messenger::{Connection, commit_request};

use super::chat;

/// An engine and a connection, without the checks that keep a messenger honest.
pub struct Hostile {
    pub client: Client,
    pub connection: Connection,
    pub(super) now: Timestamp,
}

impl Hostile {
    /// Joins and follows the group as far as possible.
    pub async fn read(&mut self) -> Vec<api::Delivery> {
        let start = Cursor::START;
        let page = self.connection.deliveries(start, 1000, Duration::ZERO).await.unwrap();
        for delivery in &page.deliveries {
            match delivery.kind {
                api::DeliveryKind::Welcome => drop(self.client.join(&delivery.bytes.0, self.now)),
                _ => drop(self.client.receive(&delivery.bytes.0, self.now)),
            }
        }
        page.deliveries
    }

    /// Follows the group, and returns the plaintexts of the new messages.
    pub async fn read_plaintexts(&mut self) -> Vec<Vec<u8>> {
        let start = Cursor::START;
        let page = self.connection.deliveries(start, 1000, Duration::ZERO).await.unwrap();
        let received = page.deliveries.iter().map(|delivery| self.client.receive(&delivery.bytes.0, self.now));
        let texts = received.filter_map(|received| match received.ok()?.event {
            ReceivedEvent::Message(message) => Some(message.text.to_vec()),
            _ => None,
        });
        texts.collect()
    }

    /// Withdraws the device's key packages, and uploads its own.
    pub async fn upload(&mut self) {
        let key_packages = self.client.key_packages(3, self.now).unwrap();
        let key_packages = key_packages.into_iter().map(|it| it.into_bytes().into()).collect();
        let upload = api::UploadRequest { key_packages, last_resort: None };
        self.connection.replace_key_packages(&upload).await.unwrap();
    }

    /// Adds a device without reading a list.
    pub async fn add(&mut self, device: &DeviceId) {
        let claim = api::ClaimRequest { user: device.user().clone(), device: Some(device.device().into()) };
        let claimed = self.connection.claim_key_packages(&claim).await.unwrap().key_packages;
        let key_packages: Vec<_> = claimed.into_iter().map(|it| KeyPackageBytes::new(it.key_package.0)).collect();
        let pending = self.client.group(&chat()).unwrap().add(&key_packages, self.now).unwrap();
        self.connection.submit_commit(&chat(), &commit_request(&pending)).await.unwrap();
    }

    /// Submits a commit that no member can carry out.
    pub async fn submit_bad_commit(&mut self) -> api::Accepted {
        let pending = self.client.group(&chat()).unwrap().update().unwrap();
        let mut commit = pending.commit().to_vec();
        *commit.last_mut().unwrap() ^= 1;
        let request = api::CommitRequest {
            commit: commit.into(),
            welcome: None,
            group_info: pending.group_info().map(Into::into),
            added: Vec::new(),
            removed: Vec::new(),
        };
        self.connection.submit_commit(&chat(), &request).await.unwrap()
    }

    /// Sends these bytes without an envelope around them.
    pub async fn send(&mut self, bytes: &[u8]) -> api::Accepted {
        let message = self.client.group(&chat()).unwrap().send(bytes).unwrap();
        self.connection.submit_message(&chat(), &message).await.unwrap()
    }

    /// Commits, and claims that the commit removes these users.
    pub async fn lie_about(&mut self, users: &[&str]) {
        self.read().await;
        let pending = self.client.group(&chat()).unwrap().update().unwrap();
        let name = |user: &&str| DeviceId::new(user, "phone").unwrap();
        let request = api::CommitRequest {
            commit: pending.commit().into(),
            welcome: None,
            group_info: pending.group_info().map(Into::into),
            added: Vec::new(),
            removed: users.iter().map(name).collect(),
        };
        self.connection.submit_commit(&chat(), &request).await.unwrap();
    }

    pub async fn report(&mut self, sequence: u64) -> api::ReportAnswer {
        self.connection.report(&chat(), Sequence(sequence)).await.unwrap()
    }
}
