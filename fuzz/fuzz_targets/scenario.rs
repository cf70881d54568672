#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // Usable or not: what matters is that it is one or the other.
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = regrow_simulator::scenario::read(text);
    }
});
