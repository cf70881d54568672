#![no_main]

use regrow_delivery_service::{CommitSubmission, DeviceId, RosterChange};
use regrow_fuzz::service::{ALICE, AT, CAROL, accepted, group_name, with_group, with_services};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // The sender is a member that adds and removes nobody, or a device that joins by external
    // commit.
    let submission = |sender: &DeviceId, added: &[&DeviceId]| CommitSubmission {
        group: group_name(),
        sender: sender.clone(),
        commit: bytes.to_vec(),
        welcome: None,
        group_info: None,
        roster_change: RosterChange { added: added.iter().copied().cloned().collect(), ..RosterChange::default() },
    };
    for submission in [submission(&ALICE, &[]), submission(&CAROL, &[&CAROL])] {
        with_services(with_group, |service, _| {
            accepted(&service.submit_commit(&submission, AT).expect("the store works"))
        });
    }
});
