//! The state of the received events in the store.

/// The state of the received events in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    None,
    /// The last call has returned the stored events. The next call that receives counts as their
    /// acknowledgement.
    Returned,
    /// An earlier client over the same store has returned the events, or died before it could
    /// return them.
    Inherited,
}
