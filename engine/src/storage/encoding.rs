//! How records are encoded: as MessagePack, which describes itself. OpenMLS's types need that to be read back (some are
//! untagged).

use std::io::{self, Write};

use rmp_serde::{Serializer, config::BytesMode};
use serde::{Serialize, de::DeserializeOwned};

use super::Value;

/// The record of a value.
///
/// It is encoded twice, and the first time only counted: a buffer that grows leaves copies of the secrets that were
/// in it behind. Counting is cheap beside that, and so is knowing the size.
pub(crate) fn encode(value: &(impl Serialize + ?Sized)) -> Result<Value, rmp_serde::encode::Error> {
    let mut count = Count(0);
    write(&mut count, value)?;
    let mut record = Value::new(Vec::with_capacity(count.0));
    write(&mut *record, value)?;
    Ok(record)
}

/// The value that a record is of.
pub(crate) fn decode<T: DeserializeOwned>(record: &[u8]) -> Result<T, rmp_serde::decode::Error> {
    rmp_serde::from_slice(record)
}

/// Keys, hashes and signatures are vectors of bytes, and by default every byte would be encoded as a number of its own:
/// half as large again, and three times as slow. What a type says about itself stays as it is.
fn write(to: impl Write, value: &(impl Serialize + ?Sized)) -> Result<(), rmp_serde::encode::Error> {
    value.serialize(&mut Serializer::new(to).with_bytes(BytesMode::ForceIterables))
}

struct Count(usize);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_bytes_and_the_buffer_is_as_large_as_the_record() {
        let value = (vec![200_u8; 40], String::from("text"), Some(vec![1_u32, 70_000]), [7_u8; 3]);

        let record = encode(&value).unwrap();

        assert!(record.windows(40).any(|bytes| bytes == [200; 40]));
        assert_eq!(record.capacity(), record.len());
        assert_eq!(decode::<(Vec<u8>, String, Option<Vec<u32>>, [u8; 3])>(&record).unwrap(), value);
    }
}
