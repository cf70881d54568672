//! A device's side of the delivery service: with the engine, over HTTP.
//!
//! [`Messenger`] is what an application uses: it keeps an engine's [`Client`](regrow_engine::Client) in step with a
//! service, and watches what the service signs. [`Connection`] is the service's interface as typed calls, for those who
//! want to do something else with it. There is no task in the background and no state that is not in the device's store.

#![forbid(unsafe_code)]

mod audit;
mod connection;
mod envelope;
mod error;
mod messenger;
mod retry;
mod tls;
mod transport_key;

pub use regrow_protocol::device_list::{DeviceCard, DeviceKey, InvalidCard, InvalidEntry};
pub use regrow_protocol::{
    ChainHash, Cursor, DeviceId, Epoch, Equivocation, GroupId, InvalidGroupId, InvalidName, Receipt, Sequence,
    ServicePublicKey, Timestamp, UserId, api,
};
use regrow_protocol::{Delivery, DeliveryKind, RejectCode, device_list, names, receipt};

pub use self::{
    audit::RECEIPTS_KEPT,
    connection::{Connection, Server},
    error::{ConnectionError, Error},
    messenger::{
        Clock, Event, GroupView, Intent, MAX_CLOCK_SKEW, MayAdd, Messenger, Monotonic, Options, Rejoin, Scope, Text,
        commit_request,
    },
    retry::{Pause, Retry},
    transport_key::TransportKey,
};
