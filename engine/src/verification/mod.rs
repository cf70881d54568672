//! Values that people compare out of band: the keys of two users, and the state of a group.

mod group_code;
mod safety_number;
mod verified;

use std::fmt;

pub use group_code::GroupCode;
pub use safety_number::{Comparison, SafetyNumber};

pub(crate) use safety_number::Keys;
pub(crate) use verified::VerifiedUser;

/// Returns thirty decimal digits of a hash. Each five bytes are read as a number in network byte
/// order. That number modulo 100 000 gives five digits.
fn digits(hash: &[u8; 32]) -> String {
    let number = |bytes: &[u8]| bytes.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    hash.chunks_exact(5).map(|five| format!("{:05}", number(five) % 100_000)).collect()
}

/// Writes digits in blocks of five.
fn write_blocks(f: &mut fmt::Formatter<'_>, digits: &str) -> fmt::Result {
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && index % 5 == 0 {
            f.write_str(" ")?;
        }
        write!(f, "{digit}")?;
    }
    Ok(())
}
