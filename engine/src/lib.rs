//! The group state of one device: MLS (RFC 9420) by way of OpenMLS, with storage that survives crashes.
//!
//! A [`Client`] is one device of one user and holds its [`Group`]s. Bytes come in, bytes and events go out: the engine
//! does no network I/O, has no clock and makes no randomness of its own. See the crate's README for a first example.

#![forbid(unsafe_code)]

mod client;
mod error;
mod event;
mod group;
mod identity;
mod key_package;
mod names;
mod policy;
mod provider;
mod snapshot;
mod storage;

pub use openmls_traits::types::Ciphersuite;

pub use client::Client;
pub use error::{Error, InvalidName, Refusal};
pub use event::{Change, EpochChange, Event, Ignored, Message, Proposed, Received};
pub use group::{Group, Member, Outgoing, PendingCommit, ProposalMessage};
pub use identity::{DeviceId, MAX_NAME_BYTES, SignaturePublicKey};
pub use key_package::KeyPackageBytes;
pub use names::{Epoch, EpochAuthenticator, GroupId, Timestamp};
pub use policy::{Handshake, Policy};
pub use provider::{CryptoProvider, default_crypto};
pub use snapshot::{Record, Snapshot};
pub use storage::{Batch, MemoryStore, StorageError, Store, StoreError, Value};
