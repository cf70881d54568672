#![no_main]

use regrow_engine::Backup;
use regrow_fuzz::PASSPHRASE;

/// The position of the passphrase's cost in a backup. The next constant is the smallest valid cost,
/// because the target tests the rest of the format.
const COST: usize = 14;
const CHEAP: [u8; 12] = [0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 1];

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    if let Some(cost) = bytes.get_mut(COST..COST + CHEAP.len()) {
        cost.copy_from_slice(&CHEAP);
    }
    assert!(Backup::open(&bytes, PASSPHRASE).is_err(), "a backup with this cost was opened, although no backup has it");
});
