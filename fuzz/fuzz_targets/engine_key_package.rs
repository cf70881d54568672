#![no_main]

use regrow_engine::KeyPackageBytes;
use regrow_fuzz::{NOW, group, with_members};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let key_package = KeyPackageBytes::new(bytes);
    with_members(|client| client.group(&group())?.propose_add(&key_package, NOW));
    with_members(|client| client.group(&group())?.add(std::slice::from_ref(&key_package), NOW));
});
