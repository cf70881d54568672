//! The encoding of records as MessagePack, which is self-describing. OpenMLS's types need a
//! self-describing format for decoding, because some of them are untagged.

use std::io::Write;

use regrow_protocol::ByteCounter;
use rmp_serde::{Serializer, config::BytesMode};
use serde::{Serialize, de::DeserializeOwned};

use super::Value;

/// Encodes a value as a record.
///
/// The function encodes the value twice: the first pass only counts the bytes. A buffer that grows
/// would leave copies of secrets in freed memory. Counting is cheap in comparison.
pub(crate) fn encode(value: &(impl Serialize + ?Sized)) -> Result<Value, rmp_serde::encode::Error> {
    let mut counter = ByteCounter::default();
    write(&mut counter, value)?;
    let mut record = Value::new(Vec::with_capacity(counter.bytes()));
    write(&mut *record, value)?;
    Ok(record)
}

/// Decodes the value of a record.
pub(crate) fn decode<T: DeserializeOwned>(record: &[u8]) -> Result<T, rmp_serde::decode::Error> {
    rmp_serde::from_slice(record)
}

/// Writes byte vectors as MessagePack byte strings.
///
/// Keys, hashes and signatures are vectors of bytes. By default serde encodes each byte as a
/// number of its own, which takes 1.5 times the space and three times the time. Types that request
/// byte strings themselves are not affected. An array of bytes has to request it (`serde_bytes`).
fn write(to: impl Write, value: &(impl Serialize + ?Sized)) -> Result<(), rmp_serde::encode::Error> {
    value.serialize(&mut Serializer::new(to).with_bytes(BytesMode::ForceIterables))
}

#[cfg(test)]
mod tests {
    use serde_bytes::ByteArray;

    use super::*;

    #[test]
    fn bytes_are_bytes_and_the_buffer_is_as_large_as_the_record() {
        let value = (vec![200_u8; 40], String::from("text"), Some(vec![1_u32, 70_000]), [7_u8; 3]);

        let record = encode(&value).unwrap();

        assert!(record.windows(40).any(|bytes| bytes == [200; 40]));
        assert_eq!(record.capacity(), record.len());
        assert_eq!(decode::<(Vec<u8>, String, Option<Vec<u32>>, [u8; 3])>(&record).unwrap(), value);
    }

    #[test]
    fn an_array_of_bytes_is_read_in_its_old_form_too() {
        let hash = [200_u8; 32];
        let (old, new) = (encode(&hash).unwrap(), encode(&ByteArray::new(hash)).unwrap());

        assert_eq!((old.len(), new.len()), (3 + 2 * 32, 2 + 32));
        assert_eq!(decode::<ByteArray<32>>(&old).unwrap(), ByteArray::new(hash));
        assert_eq!(decode::<ByteArray<32>>(&new).unwrap(), ByteArray::new(hash));
    }
}
