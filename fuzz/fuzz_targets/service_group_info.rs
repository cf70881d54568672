#![no_main]

use regrow_delivery_service::{GroupId, HandshakeMode};
use regrow_fuzz::service::{AT, with_services};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for mode in [HandshakeMode::Assisted, HandshakeMode::Opaque] {
        with_services(|service, device| {
            Some(service.create_group(&GroupId::from("another"), device, mode, bytes, AT).expect("the store works"))
        });
    }
});
