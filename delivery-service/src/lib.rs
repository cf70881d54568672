//! A delivery service for MLS groups (RFC 9420, RFC 9750). It orders the submissions of groups,
//! hands out key packages and routes welcomes. Its users trust it with availability, never with
//! content.
//!
//! The core is the service without a network: [`DeliveryService`] is a value over a [`Store`], and
//! every call of a client is one method. It has no clock, no thread, and no I/O except the store.
//! The feature `server` adds a server that offers the service over HTTP. A simulator calls the core
//! directly.
//!
//! # Promises
//!
//! - **One commit per epoch.** The service accepts a commit if and only if it was made in the
//!   group's current epoch. In the same transaction, the epoch advances, the roster changes, the
//!   welcome reaches the joiners, and the group info is replaced.
//! - **Typed outcomes.** The outcome of a submission is [`Outcome::Accepted`], [`Outcome::Stale`]
//!   or [`Outcome::Rejected`]. For the retention time, the very same bytes from the same device get
//!   the same acceptance again and append nothing.
//! - **At least once, in order, and only to members.** A device reads one stream over all of its
//!   groups. In each group it reads from the entry that added it to the entry that removed it. An
//!   entry stays until every reader has acknowledged it or the retention time has passed.
//! - **Key packages are handed out once**: the last-resort one when no other is left, and an
//!   expired one never.
//! - **All or nothing.** If the store fails in the middle of a call, nothing of the call has
//!   happened.
//!
//! The service treats all incoming bytes and names as hostile: they lead to a typed answer, never
//! to a panic. The caller must authenticate the device: the service believes each [`DeviceId`] that
//! it receives.
//!
//! # Checks
//!
//! In an [assisted](HandshakeMode::Assisted) group, handshakes are PublicMessages. The service
//! verifies their signatures, proposals and trees with OpenMLS, and derives the roster from them.
//! It cannot check path secrets, confirmation tags and membership tags, because only members can.
//! So the service may order a commit of a hostile *member* that the other members reject (RFC 9750,
//! 5.3). They [report](DeliveryService::report_commit) the commit. After reports of enough users,
//! the service takes it back.
//!
//! In an [opaque](HandshakeMode::Opaque) group, the service sees only the epoch and the content
//! type, and believes the roster change that the committer declares. Members compare
//! [`DeliveryService::roster`] with their tree.
//!
//! External commits are public in either mode, and the service always verifies them: a stranger
//! cannot end an epoch. A member that replaces its leaf by an external commit must have the leaf's
//! signature key. A device that others have removed comes back only when a commit has added it
//! again.
//!
//! The service stores routing data: the members of each group since their addition, and the
//! entries. It stores no plaintext and no list of the recipients of a message.
//!
//! # Example
//!
//! Alice creates a group with OpenMLS, registers it, and sends a message to it. All bytes are
//! MLSMessages (RFC 9420, 6).
//!
//! ```
//! use openmls::prelude::*;
//! use openmls_basic_credential::SignatureKeyPair;
//! use openmls_rust_crypto::OpenMlsRustCrypto;
//! use regrow_delivery_service::{
//!     Cursor, DeliveryKind, DeliveryService, DeviceId, Epoch, GroupId, HandshakeMode, Limits,
//!     Outcome, Sequence, ServiceKey, SqliteStore, Timestamp,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let random = [7; 32];
//! let (store, key) = (SqliteStore::in_memory()?, ServiceKey::from_seed(&random));
//! let service = DeliveryService::open(store, Limits::default(), key)?;
//! let (alice, room) = (DeviceId::new("alice", "phone")?, GroupId::new("room")?);
//! let now = Timestamp(4_102_444_800);
//!
//! // The client's side.
//! let provider = OpenMlsRustCrypto::default();
//! let suite = Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519;
//! let signer = SignatureKeyPair::new(suite.signature_algorithm())?;
//! let credential = CredentialWithKey {
//!     credential: BasicCredential::new(alice.to_identity()).into(),
//!     signature_key: signer.public().into(),
//! };
//! let config = MlsGroupCreateConfig::builder().ciphersuite(suite).build();
//! let id = openmls::group::GroupId::from_slice(room.as_bytes());
//! let mut group = MlsGroup::new_with_group_id(&provider, &signer, &config, id, credential)?;
//! let group_info = group.export_group_info(provider.crypto(), &signer, true)?.to_bytes()?;
//! let message = group.create_message(&provider, &signer, b"hello")?.to_bytes()?;
//!
//! // The service's side.
//! service.create_group(&room, &alice, HandshakeMode::Assisted, &group_info, now)?;
//! let outcome = service.submit_message(&room, &alice, &message, now)?;
//! let Outcome::Accepted(receipt) = outcome else { unreachable!() };
//! assert_eq!((receipt.sequence, receipt.epoch), (Sequence(1), Epoch(0)));
//! receipt.verify(&service.public_key())?;
//!
//! let stream = service.read(&alice, Cursor::START, 100)?;
//! assert_eq!((stream[0].kind, &stream[0].bytes), (DeliveryKind::Message, &message));
//! service.acknowledge(&alice, stream[0].cursor)?;
//! # Ok(())
//! # }
//! ```
//!
//! # Modules
//!
//! | module | contents |
//! | --- | --- |
//! | `service` | [`DeliveryService`] and its [`Checker`]: each call is one transaction |
//! | `ordering` | the rules for groups: commits, messages, logs, rosters, key packages, expiry |
//! | `admission` | the rules for devices: registration, device lists, sessions, wake-ups |
//! | `handshake` | decodes and verifies MLS messages; the public groups of assisted mode |
//! | `deadlines` | reads the deadlines that have passed, for `ordering` and `admission` |
//! | `devices` | the records of devices, which `ordering` and `admission` read |
//! | [`store`] | tables of ordered keys and values in transactions, and SQLite |
//! | [`check`] | the store check: finds damaged and contradictory records |
//! | `limits` | [`Limits`] on the service's cost for one client |
//! | `error` | [`StoreError`]: the failures of the store |
//! | `server` | the server that offers the service over HTTP (feature `server`) |
//! | `authorities` | TLS to issuers and wake-up addresses (feature `server`) |
//! | [`api`] | bodies of requests and responses, from the crate `regrow-protocol` |

#![forbid(unsafe_code)]

mod admission;
#[cfg(feature = "server")]
mod authorities;
pub mod check;
mod deadlines;
mod devices;
mod error;
mod handshake;
mod limits;
mod ordering;
#[cfg(feature = "server")]
pub mod server;
mod service;
pub mod store;

pub use regrow_protocol::{
    ChainHash, ChainedEntry, Cursor, Delivery, DeliveryKind, DeviceId, Epoch, Equivocation, ForgedReceipt, GroupId,
    HandshakeMode, MAX_NAME_BYTES, Outcome, Receipt, RejectCode, RejectReason, Reply, RosterChange, Sequence,
    ServiceKey, ServicePublicKey, StoredReceipt, Timestamp, Unsupported, UserId, api,
};
// Modules of the crate `regrow-protocol`, under the same names.
use regrow_protocol::{device_list, names, outcome, receipt};

pub use self::{
    admission::{
        Appended, DeviceKey, DeviceRecords, InvitationId, KnownUser, ListedEntries, MembershipRecord, NotAnInvitation,
        OpenInvitation, Registration, RemovedUser, StoredSession, TokenHash, UserRecords,
    },
    error::StoreError,
    limits::Limits,
    ordering::{
        Attempt,
        commit::CommitSubmission,
        expiry::Expired,
        handout::{ClaimOutcome, ClaimedKeyPackage},
        key_package::{KeyPackageCount, KeyPackageFault, RefusedKeyPackage, UploadOutcome},
        rollback::ReportOutcome,
    },
    service::{
        CheckedGroup, CheckedHandshake, CheckedMessage, CheckedUpload, Checker, DeliveryService, Effect, PresentGroup,
        Roster,
    },
    store::{SqliteStore, Store},
};
