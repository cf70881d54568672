//! Types that devices and the delivery service share. Both sides compile this crate. The crate does
//! no I/O. Its only cryptography is the signatures and hashes of receipts and device lists.
//!
//! | module | contents |
//! | --- | --- |
//! | [`names`] | identifiers: groups, users, devices, epochs, log positions, times |
//! | [`receipt`] | the hash chain over each group's log, and signed receipts |
//! | [`audit`] | the receipts of a group, and their consistency |
//! | [`outcome`] | outcomes of submissions, and the reasons for a rejection |
//! | [`delivery`] | the entries of a device's stream |
//! | [`api`] | bodies of requests and responses, and problem codes |
//! | [`device_list`] | the signed list of a user's devices |
//! | [`mls`] | readers of fields in encoded MLS messages |
//! | [`profile`] | the credentials, proposals and extensions that devices and the service accept |

#![forbid(unsafe_code)]

pub mod api;
pub mod audit;
mod byte_counter;
pub mod delivery;
mod delivery_kind;
pub mod device_list;
mod handshake_mode;
mod identity;
pub mod mls;
mod name_rules;
pub mod names;
pub mod outcome;
pub mod profile;
pub mod receipt;
mod reject_code;

pub use self::{
    byte_counter::ByteCounter,
    delivery::Delivery,
    delivery_kind::DeliveryKind,
    handshake_mode::HandshakeMode,
    names::{
        Cursor, DeviceId, Epoch, GroupId, InvalidGroupId, InvalidName, MAX_NAME_BYTES, Sequence, Timestamp, UserId,
    },
    outcome::{Outcome, RejectReason, Reply, RosterChange, Unsupported},
    receipt::{
        ChainHash, ChainedEntry, Equivocation, ForgedReceipt, Receipt, ServiceKey, ServicePublicKey, StoredReceipt,
    },
    reject_code::RejectCode,
};
