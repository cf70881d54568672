#![no_main]

use regrow_fuzz::service::{AT, group_name, with_services};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    with_services(|service, device| {
        Some(service.submit_proposal(&group_name(), device, bytes, AT).expect("the store works"))
    });
});
