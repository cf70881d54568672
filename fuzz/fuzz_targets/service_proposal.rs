#![no_main]

use regrow_fuzz::service::{ALICE, AT, accepted, group_name, with_group, with_services};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    with_services(with_group, |service, _| {
        accepted(&service.submit_proposal(&group_name(), &ALICE, bytes, AT).expect("the store works"))
    });
});
