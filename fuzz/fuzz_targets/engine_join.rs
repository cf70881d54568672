#![no_main]

use regrow_fuzz::{NOW, with_members};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| with_members(|client| client.join(bytes, NOW)));
