//! What the targets for the delivery service share: a service with a group in it, that every input finds the same.

use std::cell::RefCell;

use regrow_delivery_service::{
    CommitSubmission, DeliveryService, DeviceId, GroupId, HandshakeMode, Limits, Outcome, RosterChange, SqliteStore,
    Timestamp,
};
use regrow_engine::{Client, Handshake};

use crate::{NOW, creator, group};

/// The time of all calls.
pub const AT: Timestamp = Timestamp(NOW.0);

/// The group's name at the service.
pub fn group_name() -> GroupId {
    GroupId::new(group().as_bytes())
}

/// The member that submits.
pub fn sender(client: &Client) -> DeviceId {
    DeviceId::new(client.device().to_identity())
}

/// A commit of these bytes that declares to change nothing.
pub fn commit(sender: DeviceId, bytes: &[u8]) -> CommitSubmission {
    CommitSubmission {
        group: group_name(),
        sender,
        commit: bytes.to_vec(),
        welcome: None,
        group_info: None,
        roster_change: RosterChange::default(),
    }
}

type Service = DeliveryService<SqliteStore>;

fn service(handshake: Handshake) -> (Service, DeviceId) {
    let mut alice = creator(handshake);
    let info = alice.group(&group()).and_then(|mut group| group.group_info()).expect("a group info");
    let service = DeliveryService::new(SqliteStore::in_memory().expect("a store"), Limits::default());
    let mode = match handshake {
        Handshake::Assisted => HandshakeMode::Assisted,
        Handshake::Opaque => HandshakeMode::Opaque,
    };
    let device = sender(&alice);
    let outcome = service.create_group(&group_name(), &device, mode, &info, AT).expect("the store works");
    assert!(matches!(outcome, Outcome::Accepted { .. }), "the group is made: {outcome:?}");
    (service, device)
}

thread_local! {
    static SERVICES: RefCell<Vec<(Service, DeviceId)>> = const { RefCell::new(Vec::new()) };
}

/// Calls a service of each handshake mode with the input. A submission that is not accepted must have changed nothing.
///
/// # Panics
/// If it has, or if the store failed.
pub fn with_services(submit: impl Fn(&Service, &DeviceId) -> Option<Outcome>) {
    SERVICES.with_borrow_mut(|services| {
        if services.is_empty() {
            services.extend([Handshake::Assisted, Handshake::Opaque].map(service));
        }
        for (service, device) in services {
            let before = service.roster(&group_name()).expect("the store works");
            let outcome = submit(service, device);
            if !matches!(outcome, Some(Outcome::Accepted { .. })) {
                assert_eq!(
                    service.roster(&group_name()).expect("the store works"),
                    before,
                    "a refusal changed something"
                );
            }
        }
    });
}
