//! The device's side of the delivery service, over HTTP.
//!
//! An application uses [`Messenger`]. It joins an engine's [`Client`](regrow_engine::Client) to a
//! service, and audits the service's receipts. [`Connection`] is the service's interface as typed
//! calls, for other programs. The crate has no task in the background, and all lasting state is in
//! the device's store.
//!
//! | module | content |
//! | --- | --- |
//! | `messenger` | [`Messenger`], its events and options, and its state machine |
//! | `connection` | [`Connection`]: the calls of the service, and their sessions |
//! | `envelope` | the envelope of a text inside the encryption, with the sender's latest receipt |
//! | `transport_key` | the key by which a device opens sessions and signs its user's device list |
//! | `retry` | repeated attempts with back-off |
//! | `tls` | the authorities that may certify the service |
//! | `error` | the errors between a device and its service |

#![forbid(unsafe_code)]

mod connection;
mod envelope;
mod error;
mod messenger;
mod retry;
mod tls;
mod transport_key;

pub use self::{
    connection::{Connection, ServiceAddress},
    error::{ConnectionError, Error},
    messenger::{
        Clock, Event, FailureScope, GroupView, Intent, MAX_CLOCK_SKEW, MayAdd, Messenger, Monotonic, Options, Rejoin,
        Text, commit_request,
    },
    retry::{Pause, Retry},
    transport_key::TransportKey,
};
pub use regrow_protocol::audit::RECEIPTS_KEPT;
pub use regrow_protocol::device_list::{DeviceCard, DeviceKey, InvalidCard, InvalidEntry};
pub use regrow_protocol::{
    ChainHash, Cursor, DeviceId, Epoch, Equivocation, GroupId, InvalidGroupId, InvalidName, Receipt, Sequence,
    ServicePublicKey, Timestamp, UserId, api,
};
use regrow_protocol::{Delivery, DeliveryKind, RejectCode, audit, device_list, names, receipt};
