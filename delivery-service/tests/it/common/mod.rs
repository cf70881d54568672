//! A service for tests, and plain MLS clients that use it. Every test file uses a part of this.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic)]

mod mls;
#[cfg(unix)]
pub mod postgres;

use std::collections::BTreeSet;

use regrow_delivery_service::{
    CommitSubmission, Cursor, Delivery, DeliveryKind, DeliveryService, DeviceId, DeviceKey, Epoch, GroupId,
    HandshakeMode, Limits, Outcome, RejectReason, Reply, Sequence, ServiceKey, SqliteStore, Store, Timestamp,
    server::database::ServerStore,
};

pub use self::mls::*;

pub const NOW: Timestamp = Timestamp(4_102_444_800);

pub fn later(seconds: u64) -> Timestamp {
    Timestamp(NOW.0 + seconds)
}

pub fn room() -> GroupId {
    GroupId::new("room").unwrap()
}

pub fn group(name: &str) -> GroupId {
    GroupId::new(name).unwrap()
}

/// The name of the user's phone.
pub fn device(user: &str) -> DeviceId {
    DeviceId::new(user, "phone").unwrap()
}

/// Registers a device. A repeated registration changes nothing.
pub fn register<S: Store>(service: &DeliveryService<S>, device: &DeviceId) {
    service.register_device(device, DeviceKey([1; 32]), None, NOW).unwrap();
}

/// The signing key of the service in a test.
pub fn service_key() -> ServiceKey {
    ServiceKey::from_seed(&[7; 32])
}

/// The sequence and the epoch of an accepted submission.
pub fn accepted(outcome: &Outcome) -> Option<(Sequence, Epoch)> {
    match outcome {
        Outcome::Accepted(receipt) => Some((receipt.sequence, receipt.epoch)),
        _ => None,
    }
}

/// A service over the store of [`service`].
pub type TestService = DeliveryService<ServerStore>;

pub fn service() -> TestService {
    service_with(Limits::default())
}

pub fn service_with(limits: Limits) -> TestService {
    DeliveryService::open(store(), limits, service_key()).unwrap()
}

/// A new SQLite store in memory, or a new PostgreSQL store if the test that has started this
/// process says so.
pub fn store() -> ServerStore {
    #[cfg(unix)]
    if std::env::var_os(postgres::DATABASE).is_some() {
        return postgres::Cluster::shared().unwrap().schema().open().into();
    }
    SqliteStore::in_memory().unwrap().into()
}

/// A service over this store.
pub fn service_over(store: impl Into<ServerStore>) -> TestService {
    DeliveryService::open(store.into(), Limits::default(), service_key()).unwrap()
}

/// Creates a group of these devices in epoch 1. The first device creates the group and adds the
/// others, which join with the welcome.
pub fn group_of<S: Store>(service: &DeliveryService<S>, mode: HandshakeMode, names: &[&str]) -> Vec<Member> {
    let (creator, others) = names.split_first().unwrap();
    let mut creator = Client::new(creator).create(service, mode);
    let others: Vec<_> = others.iter().map(|name| Client::new(name)).collect();
    let key_packages: Vec<_> = others.iter().map(|other| other.claimed_by(service, &creator.id())).collect();
    let submission = creator.commit(&key_packages, &[]);
    accept(service, &submission);
    creator.confirm();
    let mut members = vec![creator];
    members.extend(others.into_iter().map(|client| {
        let stream = service.read(&client.id, Cursor::START, 10).unwrap();
        assert_eq!(stream[0].kind, DeliveryKind::Welcome);
        assert_eq!(service.accept_invitation(&room(), &client.id, NOW).unwrap(), Reply::Done);
        client.join(&stream[0].bytes, mode)
    }));
    members
}

/// Submits a commit that must be accepted.
pub fn accept<S: Store>(service: &DeliveryService<S>, submission: &CommitSubmission) -> (Sequence, Epoch) {
    match service.submit_commit(submission, NOW).unwrap() {
        Outcome::Accepted(receipt) => (receipt.sequence, receipt.epoch),
        other => panic!("not accepted: {other:?}"),
    }
}

/// Sends a message that must be accepted, and returns its bytes.
pub fn say<S: Store>(service: &DeliveryService<S>, member: &mut Member, text: &str) -> Vec<u8> {
    let bytes = member.send(text);
    let outcome = service.submit_message(&room(), &member.id(), &bytes, NOW).unwrap();
    assert!(matches!(outcome, Outcome::Accepted(_)), "{outcome:?}");
    bytes
}

pub fn rejected(reason: RejectReason) -> Outcome {
    Outcome::Rejected(reason)
}

pub fn stream<S: Store>(service: &DeliveryService<S>, device: &DeviceId) -> Vec<Delivery> {
    service.read(device, Cursor::START, usize::MAX).unwrap()
}

pub fn kinds(stream: &[Delivery]) -> Vec<DeliveryKind> {
    stream.iter().map(|delivery| delivery.kind).collect()
}

pub fn devices(names: &[&str]) -> BTreeSet<DeviceId> {
    names.iter().map(|name| device(name)).collect()
}

/// The state of the group that callers can see: roster, group info and streams. Tests compare it
/// before and after an operation.
pub fn visible<S: Store>(service: &DeliveryService<S>, names: &[&str]) -> impl PartialEq + std::fmt::Debug + use<S> {
    let streams: Vec<_> = names.iter().map(|name| stream(service, &device(name))).collect();
    (service.roster(&room()).unwrap(), service.group_info(&room()).unwrap(), streams)
}
