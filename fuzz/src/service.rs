//! What the targets for the delivery service share: a service in each handshake mode, that every input finds the same.

use std::{cell::RefCell, sync::LazyLock};

use regrow_delivery_service::{
    DeliveryService, DeviceId, GroupId, HandshakeMode, Limits, Outcome, ServiceKey, SqliteStore, Timestamp,
};
use regrow_engine::Handshake;

use crate::{NOW, creator, device, group};

/// The time of all calls.
pub const AT: Timestamp = Timestamp(NOW.0);

/// A service in memory.
pub type Service = DeliveryService<SqliteStore>;

/// The group's name at the service.
pub fn group_name() -> GroupId {
    group()
}

/// The name of a user's device at the service.
pub fn name(user: &str) -> DeviceId {
    device(user, Handshake::Assisted).device().clone()
}

/// The only member of the group.
pub static ALICE: LazyLock<DeviceId> = LazyLock::new(|| name("alice"));

/// Somebody who is not a member.
pub static CAROL: LazyLock<DeviceId> = LazyLock::new(|| name("carol"));

static GROUP_INFO: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut alice = creator(Handshake::Assisted);
    alice.group(&group()).and_then(|mut group| group.group_info()).expect("a group info")
});

/// A service without groups.
pub fn empty(_: HandshakeMode) -> Service {
    DeliveryService::open(
        SqliteStore::in_memory().expect("a store"),
        Limits::default(),
        ServiceKey::from_seed(&[7; 32]),
    )
    .expect("a service")
}

/// A service with the group that Alice has made.
pub fn with_group(mode: HandshakeMode) -> Service {
    let service = empty(mode);
    let outcome = service.create_group(&group_name(), &ALICE, mode, &GROUP_INFO, AT).expect("the store works");
    assert!(matches!(outcome, Outcome::Accepted(_)), "the group is made: {outcome:?}");
    service
}

thread_local! {
    static SERVICES: RefCell<Vec<(HandshakeMode, Service)>> = const { RefCell::new(Vec::new()) };
}

/// Calls a service of each handshake mode with the input. A submission that is not accepted must have changed nothing;
/// what one did that was accepted is forgotten before the next input.
///
/// # Panics
/// If it has.
pub fn with_services(prepare: fn(HandshakeMode) -> Service, is_accepted: impl Fn(&Service, HandshakeMode) -> bool) {
    SERVICES.with_borrow_mut(|services| {
        if services.is_empty() {
            services.extend([HandshakeMode::Assisted, HandshakeMode::Opaque].map(|mode| (mode, prepare(mode))));
        }
        for (mode, service) in services {
            let roster = || service.roster(&group_name()).expect("the store works");
            let before = roster();
            if is_accepted(service, *mode) {
                *service = prepare(*mode);
            } else {
                assert_eq!(roster(), before, "a refusal changed something");
            }
        }
    });
}

/// Whether it was accepted.
pub fn accepted(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Accepted(_))
}
