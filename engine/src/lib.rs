//! The group state of one device: MLS (RFC 9420), implemented with OpenMLS and with crash-safe
//! storage.
//!
//! A [`Client`] is one device of one user and contains its [`Group`]s. The application passes
//! bytes in, and gets bytes and events back. The engine does no network I/O, has no clock and
//! creates no randomness of its own. Every call happens as a whole or not at all, in the [`Store`]
//! and in memory.
//!
//! # An intent that survives a lost race
//!
//! A commit is a value. It changes nothing until the delivery service has ordered it. If the
//! service orders another member's commit first, the engine repeats the intent in the new epoch.
//!
//! ```
//! # use std::sync::Arc;
//! # use regrow_engine::{
//! #     Client, DeviceId, Error, ReceivedEvent, GroupId, MemoryStore, Outgoing, Policy,
//! #     Timestamp, default_crypto,
//! # };
//! # fn device(user: &str) -> Result<Client, Error> {
//! #     let id = DeviceId::new(user, "phone").expect("a short name");
//! #     Client::create(Arc::new(MemoryStore::new()), default_crypto(), id, Policy::default())
//! # }
//! # let now = Timestamp(
//! #     std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs(),
//! # );
//! let (mut alice, mut bob) = (device("alice")?, device("bob")?);
//! let chat = GroupId::new("chat")?;
//! let key_packages = bob.key_packages(1, now)?;
//! let pending = alice.create_group(chat.clone(), now)?.add(&key_packages, now)?;
//! let welcome = pending.welcome().expect("it adds somebody").to_vec();
//! alice.confirm(pending, now)?;
//! bob.join(&welcome, now)?;
//!
//! // Both want new keys at the same moment. The delivery service accepts Alice's commit first.
//! let first = alice.group(&chat)?.update()?;
//! let _second = bob.group(&chat)?.update()?;
//! let ordered = first.commit().to_vec();
//! alice.confirm(first, now)?;
//!
//! // Bob's commit is lost, but his intent remains.
//! let ReceivedEvent::Commit(change) = bob.receive(&ordered, now)?.event else { unreachable!() };
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
//! The [`guide`] has one page for each common task.
//!
//! | task | type |
//! | --- | --- |
//! | run one device | [`Client`] |
//! | act in one group | [`Group`] |
//! | handle a received message | [`ReceivedEvent`] |
//! | find out why a device cannot continue in a group | [`Lost`] |
//! | submit a commit, and confirm or discard it | [`PendingCommit`] |
//! | find out which upkeep is due in a group | [`Due`] |
//! | follow an intent that affects all groups | [`IntentStatus`] |
//! | choose the settings of a device | [`Policy`] |
//! | replace a lost device | [`Client::backup`], [`Client::restore`] |
//! | store app data | [`Client::set_app_data`] |
//! | erase secrets from memory while the device is not in use | [`Client::lock`] |
//! | supply the storage and the cryptography | [`Store`], [`CryptoProvider`] |
//! | check identities and permissions | [`Authenticate`] |
//! | let people compare keys | [`SafetyNumber`], [`GroupCode`] |
//! | handle errors | [`Error`] |
//! | inspect the stored state | [`Snapshot`] |

#![forbid(unsafe_code)]

mod authenticate;
mod backup;
mod call;
mod change;
mod client;
mod default_crypto;
mod error;
mod event;
mod group;
pub mod guide;
mod identity;
mod join;
mod key_erasure;
mod key_package;
mod layer;
mod limits;
mod mls_message;
mod names;
mod policy;
mod provider;
mod refusal;
mod seal;
mod signature_keys;
mod snapshot;
mod storage;
mod verification;
mod verified_together;

pub use openmls_traits::types::Ciphersuite;

pub use authenticate::{Authenticate, IdentityClaim};
pub use backup::{Backup, BackupError};
pub use change::{Change, EpochChange, Proposed};
pub use client::{Client, Expired};
pub use default_crypto::default_crypto;
#[cfg(feature = "post-quantum")]
pub use default_crypto::post_quantum_crypto;
pub use error::Error;
pub use event::{ApplicationMessage, Ignored, Lost, Received, ReceivedEvent};
pub use group::{
    Agreement, Due, Group, IntentStatus, LeftOut, Member, Outgoing, PendingCommit, ProposalMessage, Rotation,
};
pub use identity::SignaturePublicKey;
pub use join::JoinMessage;
pub use key_package::KeyPackageBytes;
pub use layer::{Layer, Layered};
pub use limits::{MAX_APP_DATA_NAME_BYTES, MAX_GROUP_DATA_BYTES, MAX_TEXT_BYTES};
pub use names::{EpochAuthenticator, MessageId};
pub use policy::Policy;
pub use provider::CryptoProvider;
pub use refusal::{LeafFault, Refusal};
pub use regrow_protocol::{
    DeviceId, Epoch, GroupId, HandshakeMode, InvalidGroupId, InvalidName, MAX_NAME_BYTES, Timestamp, UserId,
};
pub use snapshot::{Record, Snapshot};
pub use storage::{
    Batch, DiskError, Lock, MemoryStore, SqliteStore, StorageError, Store, StoreError, StoreKey, Tenancy, Value,
};
pub use verification::{Comparison, GroupCode, SafetyNumber};

/// The examples in the README are compiled and run as doc tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
