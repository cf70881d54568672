//! Counts the generations of one sender's application messages (RFC 9420, 9.1).

/// The generation of a sender's next message in its present epoch.
#[derive(Clone, Copy, Default)]
pub(super) struct GenerationCounter {
    epoch: u64,
    next: u32,
}

impl GenerationCounter {
    /// Takes the generation for a message of this epoch. A new epoch starts at 0.
    pub(super) fn take(&mut self, epoch: u64) -> u32 {
        if self.epoch != epoch {
            *self = Self { epoch, next: 0 };
        }
        self.next += 1;
        self.next - 1
    }
}
