#![no_main]

use regrow_fuzz::service::{AT, commit, with_services};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    with_services(|service, device| {
        Some(service.submit_commit(&commit(device.clone(), bytes), AT).expect("the store works"))
    });
});
