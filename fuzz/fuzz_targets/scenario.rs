#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // The text may be a valid scenario or not. The reader must only not panic.
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = regrow_simulator::scenario::read(text);
        let _ = regrow_simulator::scenario::read_yaml(text);
    }
});
