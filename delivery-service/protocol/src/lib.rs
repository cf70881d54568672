//! The words that devices and the delivery service share. Both sides compile this crate; it does no I/O and has no
//! cryptography but the signatures and hashes of receipts and device lists.
//!
//! | module | contents |
//! | --- | --- |
//! | [`names`] | identifiers: groups, users, devices, epochs, positions, moments |
//! | [`receipt`] | the hash chain over each group's log, and signed receipts |
//! | [`outcome`] | answers to submissions, and the reasons of a refusal |
//! | [`delivery`] | the entries of a device's stream |
//! | [`api`] | bodies of requests and answers, and problem codes |
//! | [`device_list`] | the signed list of a user's devices |
//! | [`mls`] | readers of fields in encoded MLS messages |
//! | [`profile`] | the credentials, proposals and extensions that devices and the service accept |

#![forbid(unsafe_code)]

pub mod api;
pub mod delivery;
pub mod device_list;
mod identity;
pub mod mls;
mod name_rules;
pub mod names;
pub mod outcome;
pub mod profile;
pub mod receipt;
mod reject_code;

pub use self::{
    delivery::{Delivery, DeliveryKind},
    names::{
        Cursor, DeviceId, Epoch, GroupId, InvalidGroupId, InvalidName, MAX_NAME_BYTES, Sequence, Timestamp, UserId,
    },
    outcome::{Outcome, RejectReason, Reply, RosterChange, Unsupported},
    receipt::{
        ChainHash, ChainedEntry, Equivocation, ForgedReceipt, Receipt, ServiceKey, ServicePublicKey, StoredReceipt,
    },
    reject_code::RejectCode,
};
