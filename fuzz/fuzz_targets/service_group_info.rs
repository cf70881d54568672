#![no_main]

use regrow_fuzz::service::{ALICE, AT, accepted, empty, group_name, with_services};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    with_services(empty, |service, mode| {
        accepted(&service.create_group(&group_name(), &ALICE, mode, bytes, AT).expect("the store works"))
    });
});
