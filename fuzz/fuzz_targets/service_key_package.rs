#![no_main]

use regrow_fuzz::service::{AT, with_services};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    with_services(|service, device| {
        // Refused or not: what matters is that it is one or the other.
        let _ = service.upload_key_packages(device, &[bytes.to_vec()], Some(bytes), AT);
        None
    });
});
