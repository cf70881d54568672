//! The device's side of the delivery service, over HTTP.
//!
//! An application uses [`Messenger`]. It joins an engine's [`Client`](regrow_engine::Client) to a
//! service, and audits the service's receipts. [`Connection`] is the service's interface as typed
//! calls, for other programs. The crate has no task in the background, and all lasting state is in
//! the device's store.

#![forbid(unsafe_code)]

mod audit;
mod connection;
mod envelope;
mod error;
mod messenger;
mod retry;
mod tls;
mod transport_key;

pub use self::{
    audit::RECEIPTS_KEPT,
    connection::{Connection, ServiceAddress},
    error::{ConnectionError, Error},
    messenger::{
        Clock, Event, FailureScope, GroupView, Intent, MAX_CLOCK_SKEW, MayAdd, Messenger, Monotonic, Options, Rejoin,
        Text, commit_request,
    },
    retry::{Pause, Retry},
    transport_key::TransportKey,
};
pub use regrow_protocol::device_list::{DeviceCard, DeviceKey, InvalidCard, InvalidEntry};
pub use regrow_protocol::{
    ChainHash, Cursor, DeviceId, Epoch, Equivocation, GroupId, InvalidGroupId, InvalidName, Receipt, Sequence,
    ServicePublicKey, Timestamp, UserId, api,
};
use regrow_protocol::{Delivery, DeliveryKind, RejectCode, device_list, names, receipt};
