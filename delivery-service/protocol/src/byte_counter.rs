//! A writer that counts.

use std::io::{self, Write};

/// Counts the bytes that an encoder writes.
///
/// An encoder of secrets runs twice: the first pass counts the bytes, so that the buffer of the
/// second pass has its final size. A buffer that grows would leave copies of secrets in freed
/// memory.
///
/// ```
/// use std::io::Write as _;
///
/// use regrow_protocol::ByteCounter;
///
/// let mut counter = ByteCounter::default();
/// counter.write_all(b"secret")?;
/// assert_eq!(counter.bytes(), 6);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct ByteCounter(usize);

impl ByteCounter {
    /// Returns the number of bytes that were written.
    #[must_use]
    pub fn bytes(self) -> usize {
        self.0
    }
}

impl Write for ByteCounter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
