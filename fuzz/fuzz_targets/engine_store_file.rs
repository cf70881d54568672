#![no_main]

use regrow_fuzz::file::{place, use_all};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| use_all(&place(bytes)));
