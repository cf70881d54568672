//! Code that the targets for the delivery service share: a service in each handshake mode, which is
//! in the same state for every input.

use std::{cell::RefCell, sync::LazyLock};

use regrow_delivery_service::{
    DeliveryService, DeviceId, GroupId, HandshakeMode, Limits, Outcome, ServiceKey, SqliteStore, Timestamp,
};

use crate::{NOW, creator, device, group};

/// The time of all calls.
pub const AT: Timestamp = Timestamp(NOW.0);

/// A service in memory.
pub type Service = DeliveryService<SqliteStore>;

/// Returns the group's identifier at the service.
pub fn group_name() -> GroupId {
    group()
}

/// Returns the identifier of a user's device at the service.
pub fn name(user: &str) -> DeviceId {
    device(user, HandshakeMode::Assisted).device().clone()
}

/// The only member of the group.
pub static ALICE: LazyLock<DeviceId> = LazyLock::new(|| name("alice"));

/// A device that is not a member.
pub static CAROL: LazyLock<DeviceId> = LazyLock::new(|| name("carol"));

static GROUP_INFO: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut alice = creator(HandshakeMode::Assisted);
    alice.group(&group()).and_then(|mut group| group.group_info()).expect("a group info")
});

/// Creates a service without groups.
pub fn empty(_: HandshakeMode) -> Service {
    DeliveryService::open(
        SqliteStore::in_memory().expect("a store"),
        Limits::default(),
        ServiceKey::from_seed(&[7; 32]),
    )
    .expect("a service")
}

/// Creates a service with the group of Alice.
pub fn with_group(mode: HandshakeMode) -> Service {
    let service = empty(mode);
    let outcome = service.create_group(&group_name(), &ALICE, mode, &GROUP_INFO, AT).expect("the store works");
    assert!(matches!(outcome, Outcome::Accepted(_)), "the group was not created: {outcome:?}");
    service
}

thread_local! {
    static SERVICES: RefCell<Vec<(HandshakeMode, Service)>> = const { RefCell::new(Vec::new()) };
}

/// Calls a service of each handshake mode with the input. A submission that is not accepted must
/// change nothing. The changes of an accepted submission are undone before the next input.
///
/// # Panics
/// If a submission that was not accepted has changed the roster.
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
                assert_eq!(roster(), before, "a refused submission has changed the roster");
            }
        }
    });
}

/// Returns true if the submission was accepted.
pub fn accepted(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Accepted(_))
}
