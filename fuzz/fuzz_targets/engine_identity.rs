#![no_main]

use regrow_engine::DeviceId;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(device) = DeviceId::from_identity(bytes) {
        assert_eq!(device.to_identity(), bytes, "a device has two identities");
    }
});
