//! A store within a transaction, so that many calls become durable together.

use super::{Keep, Store, Transaction};
use crate::error::StoreError;

/// A store whose transactions are parts of one transaction of another store. Each part happens as a
/// whole or not at all, and becomes durable with the other store's transaction.
pub struct Batch<'a> {
    whole: &'a mut dyn Transaction,
    /// The reason why the whole transaction has to fail: the store could not begin or end a part.
    pub(crate) broken: Option<StoreError>,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(whole: &'a mut dyn Transaction) -> Self {
        Self { whole, broken: None }
    }
}

impl Store for Batch<'_> {
    fn transaction<T, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        if self.broken.is_some() {
            return Err(StoreError::BatchFailed.into());
        }
        let mut work = Some(work);
        let mut result = None;
        let ended = self.whole.part(&mut |tx| {
            result = work.take().map(|work| work(tx));
            if matches!(result, Some(Ok(_))) { Keep::Yes } else { Keep::No }
        });
        if let Err(error) = ended {
            self.broken = Some(error);
            return Err(StoreError::BatchFailed.into());
        }
        result.unwrap_or_else(|| Err(StoreError::BatchFailed.into()))
    }
}
