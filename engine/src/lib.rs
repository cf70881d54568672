//! The group state of one device: MLS (RFC 9420) by way of OpenMLS, with storage that survives crashes.
//!
//! A [`Client`] is one device of one user and holds its [`Group`]s. Bytes come in, bytes and events go out: the engine
//! does no network I/O, has no clock and makes no randomness of its own. Every call happens whole or not at all, in the
//! [`Store`] as in memory.
//!
//! # A race, and a wish that survives it
//!
//! A commit is a value. It changes nothing until the delivery service has ordered it, and if another's was first, what
//! was wanted is done again on the new epoch.
//!
//! ```
//! # use std::sync::Arc;
//! # use regrow_engine::{Client, DeviceId, Error, Event, GroupId, MemoryStore, Outgoing, Policy, Timestamp, default_crypto};
//! # fn device(user: &str) -> Result<Client, Error> {
//! #     let id = DeviceId::new(user, "phone").expect("a short name");
//! #     Client::create(Arc::new(MemoryStore::new()), default_crypto(), id, Policy::default())
//! # }
//! # let now = Timestamp(std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs());
//! let (mut alice, mut bob) = (device("alice")?, device("bob")?);
//! let chat = GroupId::new("chat")?;
//! let key_packages = bob.key_packages(1, now)?;
//! let pending = alice.create_group(chat.clone(), now)?.add(&key_packages, now)?;
//! let welcome = pending.welcome().expect("it adds somebody").to_vec();
//! alice.confirm(pending, now)?;
//! bob.join(&welcome, now)?;
//!
//! // Both want new keys at the same moment. The delivery service takes Alice's commit first.
//! let first = alice.group(&chat)?.update()?;
//! let _second = bob.group(&chat)?.update()?;
//! let ordered = first.commit().to_vec();
//! alice.confirm(first, now)?;
//!
//! // Bob's has lost, and his wish has not.
//! let Event::Commit(change) = bob.receive(&ordered, now)?.event else { unreachable!() };
//! assert!(change.resume);
//! let Some(Outgoing::Commit(again)) = bob.group(&chat)?.resume()? else { unreachable!() };
//! let ordered = again.commit().to_vec();
//! bob.confirm(again, now)?;
//! alice.receive(&ordered, now)?;
//! assert_eq!(alice.group(&chat)?.epoch()?, bob.group(&chat)?.epoch()?);
//! # Ok::<(), Error>(())
//! ```
//!
//! # Where to look
//!
//! How things are done is in the [`guide`], a page for each.
//!
//! | question | type |
//! | --- | --- |
//! | what can a device do? | [`Client`] |
//! | what can be done in a group? | [`Group`] |
//! | what did a message mean? | [`Event`] |
//! | why can a device not go on? | [`Lost`] |
//! | what is a commit before it is one? | [`PendingCommit`] |
//! | what is it time for? | [`Due`] |
//! | how far is what I want in all groups? | [`Wish`] |
//! | what do I choose? | [`Policy`] |
//! | what if the device is lost? | [`Client::backup`], [`Client::restore`] |
//! | where does the layer above keep what is its own? | [`Client::keep`] |
//! | what is left in memory when nobody is there? | [`Client::lock`] |
//! | what do I supply? | [`Store`], [`CryptoProvider`], [`Authenticate`] |
//! | how do people know whom they talk to? | [`SafetyNumber`], [`GroupCode`] |
//! | what can go wrong? | [`Error`] |
//! | what does the device hold? | [`Snapshot`] |

#![forbid(unsafe_code)]

mod authenticate;
mod backup;
mod client;
mod error;
mod event;
mod group;
pub mod guide;
mod identity;
mod join;
mod key_package;
mod layer;
mod names;
mod policy;
mod provider;
mod seal;
mod snapshot;
mod storage;
mod verification;

pub use openmls_traits::types::Ciphersuite;

pub use authenticate::{Authenticate, Claim};
pub use backup::{Backup, BackupError};
pub use client::{Client, Expired, MAX_KEPT_NAME_BYTES};
pub use error::{Error, Refusal};
pub use event::{Change, EpochChange, Event, Ignored, Lost, Message, Proposed, Received};
pub use group::{
    Agreement, Due, Group, LeafFault, LeftOut, MAX_GROUP_DATA_BYTES, MAX_TEXT_BYTES, Member, Outgoing, PendingCommit,
    ProposalMessage, Rotation, Wish,
};
pub use identity::SignaturePublicKey;
pub use join::JoinMessage;
pub use key_package::KeyPackageBytes;
pub use layer::{Layer, Layered};
pub use names::{EpochAuthenticator, MessageId};
pub use policy::{Handshake, Policy};
#[cfg(feature = "post-quantum")]
pub use provider::post_quantum_crypto;
pub use provider::{CryptoProvider, default_crypto};
pub use regrow_protocol::{DeviceId, Epoch, GroupId, InvalidGroupId, InvalidName, MAX_NAME_BYTES, Timestamp, UserId};
pub use snapshot::{Record, Snapshot};
pub use storage::{
    Batch, DiskError, Lock, MemoryStore, SqliteStore, StorageError, Store, StoreError, StoreKey, Tenancy, Value,
};
pub use verification::{Comparison, GroupCode, SafetyNumber};

/// The examples in the README are compiled and run like these here.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
