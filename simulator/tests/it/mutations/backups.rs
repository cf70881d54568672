//! Stores that lose the list of groups of a restored device. The search draws no restores, so each
//! fault meets one scenario without expectations.

use std::sync::Arc;

use regrow_engine::{Batch, Lock, Store, StoreError, Value};
use regrow_simulator::{
    scenario::{FailCode, read},
    world::fault_injection::{FaultInjection, NoFaults},
};

use super::{RecordKind, run_within, stores::is};

/// The first byte of the keys under which a device stores a group that it joins by external commit
/// (engine/src/storage/key.rs).
const JOINING: u8 = 2;

/// The time at which every device's store loses its groups to rejoin.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LosesGroups {
    /// They are never stored.
    AtOnce,
    /// They are gone when the device has made its first external commit.
    WhenItJoins,
}

impl FaultInjection for LosesGroups {
    fn store(&self, _: &str, store: Arc<dyn Store>) -> Arc<dyn Store> {
        Arc::new(Lossy { store, when: *self })
    }
}

struct Lossy {
    store: Arc<dyn Store>,
    when: LosesGroups,
}

impl Store for Lossy {
    fn as_lock(&self) -> Option<&dyn Lock> {
        self.store.as_lock()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Value>, StoreError> {
        self.store.get(key)
    }

    fn keys(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StoreError> {
        self.store.keys(prefix)
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        let (mut lossy, mut joins) = (Batch::default(), false);
        for (key, value) in batch.into_changes() {
            joins |= key.first() == Some(&JOINING);
            match value {
                Some(_) if self.when == LosesGroups::AtOnce && is(&key, RecordKind::Rejoin) => {}
                Some(value) => lossy.put(key, value),
                None => lossy.delete(key),
            }
        }
        if joins && self.when == LosesGroups::WhenItJoins {
            let kept = self.store.keys(&[0, RecordKind::Rejoin as u8])?;
            kept.into_iter().for_each(|key| lossy.delete(key));
        }
        self.store.apply(lossy)
    }
}

/// The first failure of a restore with the fault: the code, and the expectation.
fn found(fault: &dyn FaultInjection) -> Option<(Option<FailCode>, String)> {
    let scenario = read(
        r#"{ "regrow": 1, "name": "n", "group": { "publish_group_info": true },
             "members": ["alice/phone", "alice/new", "bob"],
             "steps": [
                 { "create": { "by": "bob", "with": "alice/phone" } },
                 { "backup": { "who": "alice/phone", "id": "monday" } },
                 { "restore": { "who": "alice/new", "from": "monday" } },
                 { "send": { "by": "bob", "id": "m1" } } ] }"#,
    );
    let failure = run_within(fault)(&scenario.unwrap()).failures.into_iter().next()?;
    Some((failure.code, failure.expected))
}

#[test]
fn restored_device_without_its_groups() {
    let expected = "the step succeeds".to_owned();
    assert_eq!(found(&LosesGroups::AtOnce), Some((Some(FailCode::InvalidMessage), expected)));
    assert_eq!(found(&NoFaults), None);
}

#[test]
fn lost_device_that_stays_in_the_group() {
    let expected = "alice/new removes alice/phone, the device of its backup".to_owned();
    assert_eq!(found(&LosesGroups::WhenItJoins), Some((None, expected)));
}
