//! Counts the bytes that the service in this process writes to its store.

use std::sync::atomic::{AtomicU64, Ordering};

use regrow_delivery_service::store::Table;

/// The bytes of written keys and values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::world) struct WrittenBytes {
    /// The tables of welcomes.
    pub(in crate::world) welcomes: u64,
    /// The other tables.
    pub(in crate::world) others: u64,
}

/// Adds up the bytes of completed transactions. Threads that read from the service may write too,
/// but never during a submission.
#[derive(Default)]
pub(in crate::world) struct WriteCounter {
    welcomes: AtomicU64,
    others: AtomicU64,
}

impl WrittenBytes {
    /// Counts one written record.
    pub(in crate::world) fn count(&mut self, table: Table, key: &[u8], value: &[u8]) {
        let bytes = (key.len() + value.len()) as u64;
        match table {
            Table::Welcomes | Table::WelcomeSecrets | Table::WelcomeTrees => self.welcomes += bytes,
            _ => self.others += bytes,
        }
    }
}

impl WriteCounter {
    /// Starts again at zero.
    pub(in crate::world) fn restart(&self) {
        self.welcomes.store(0, Ordering::Relaxed);
        self.others.store(0, Ordering::Relaxed);
    }

    pub(in crate::world) fn add(&self, written: WrittenBytes) {
        self.welcomes.fetch_add(written.welcomes, Ordering::Relaxed);
        self.others.fetch_add(written.others, Ordering::Relaxed);
    }

    /// The bytes since the last restart.
    pub(in crate::world) fn written(&self) -> WrittenBytes {
        WrittenBytes { welcomes: self.welcomes.load(Ordering::Relaxed), others: self.others.load(Ordering::Relaxed) }
    }
}
