//! What people compare with each other, out of band: keys of a pair of users, and the state of a group.

mod group_code;
mod safety_number;
mod verified;

use std::fmt;

pub use group_code::GroupCode;
pub use safety_number::{Comparison, SafetyNumber};

pub(crate) use safety_number::Keys;
pub(crate) use verified::VerifiedUser;

/// Thirty decimal digits of a hash: each five bytes, read as a number in network byte order, give the five digits of
/// that number modulo 100 000.
fn digits(hash: &[u8; 32]) -> String {
    let number = |bytes: &[u8]| bytes.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    hash.chunks_exact(5).map(|five| format!("{:05}", number(five) % 100_000)).collect()
}

/// Digits as people read them: in blocks of five.
fn write_blocks(f: &mut fmt::Formatter<'_>, digits: &str) -> fmt::Result {
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && index % 5 == 0 {
            f.write_str(" ")?;
        }
        write!(f, "{digit}")?;
    }
    Ok(())
}
