//! A delivery service for MLS groups (RFC 9420, RFC 9750): it orders what groups send, hands out key packages and routes
//! welcomes. It is trusted with availability, never with content.
//!
//! Its core is the service without a network: [`DeliveryService`] is a value over a [`Store`], and every call of a client is
//! one method. There is no clock in it, no thread and no I/O but the store. The feature `server` puts it behind HTTP; a
//! simulator calls it as it is.
//!
//! # What it promises
//!
//! - **One commit per epoch.** A commit is accepted if and only if it was made in the group's current epoch. With it, in
//!   the same transaction, the epoch advances, the roster changes, the welcome reaches the joiners and the group info is
//!   replaced.
//! - **Typed outcomes.** A submission is [`Outcome::Accepted`], [`Outcome::Stale`] or [`Outcome::Rejected`]. The very
//!   same bytes from the same device get the same acceptance again and append nothing, for the retention time.
//! - **At least once, in order, and only to members.** A device reads one stream over all of its groups, in each from the
//!   entry that added it to the entry that removed it. Entries stay until every reader has acknowledged them or the
//!   retention time has passed.
//! - **Key packages are handed out once**, the last-resort one when no other is left, expired ones never.
//! - **All or nothing.** If the store fails in the middle of a call, nothing of it has happened.
//!
//! All bytes and names that come in are taken for hostile: they lead to a typed answer, never to a panic. *Who* calls is
//! for the caller to establish: a [`DeviceId`] that is passed in is believed.
//!
//! # What it can check
//!
//! In an [assisted](HandshakeMode::Assisted) group, handshakes are PublicMessages: the service verifies signatures,
//! proposals and trees with OpenMLS and derives the roster from them. What only members can check it cannot: path
//! secrets, and confirmation and membership tags. A hostile *member* can therefore have a commit ordered that the others
//! refuse (RFC 9750, 5.3). They [report](DeliveryService::report_commit) it, and when most have, it is taken back.
//!
//! In an [opaque](HandshakeMode::Opaque) group it sees epoch and content type alone, and believes the roster that the
//! committer declares. Members compare [`DeliveryService::roster`] with their tree. External commits are public in either
//! mode, and are always verified: a stranger cannot end an epoch. A member that replaces its leaf by one has the leaf's
//! signature key, and a device that others have removed comes back when somebody has added it again.
//!
//! What it keeps is routing data: who is in which group since when, and the entries. It keeps no plaintext and no list of
//! recipients of a message.
//!
//! # Example
//!
//! Alice makes a group with OpenMLS, registers it, and sends to it. All bytes are MLSMessages (RFC 9420, 6).
//!
//! ```
//! use openmls::prelude::*;
//! use openmls_basic_credential::SignatureKeyPair;
//! use openmls_rust_crypto::OpenMlsRustCrypto;
//! use regrow_delivery_service::{
//!     Cursor, DeliveryKind, DeliveryService, DeviceId, Epoch, GroupId, HandshakeMode, Limits, Outcome, Sequence,
//!     ServiceKey, SqliteStore, Timestamp,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let random = [7; 32];
//! let service = DeliveryService::open(SqliteStore::in_memory()?, Limits::default(), ServiceKey::from_seed(&random))?;
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
//! # Where things are
//!
//! | module | what is in it |
//! | --- | --- |
//! | `service` | [`DeliveryService`]: the calls, each one transaction |
//! | `admission` | the rules on who comes in: devices, sessions, invitations |
//! | `ordering` | the rules: commits, proposals, messages, the log, the roster, reading, key packages, expiry |
//! | `handshake` | what is read of MLS messages, and the public groups that assisted mode follows |
//! | [`check`] | whether a store is whole |
//! | [`store`] | tables of ordered keys and values in transactions, and SQLite |
//! | `server` | the rules behind HTTP (feature `server`) |
//! | [`api`] | what goes over the wire, from the crate `regrow-protocol` |

#![forbid(unsafe_code)]

mod admission;
#[cfg(feature = "server")]
mod authorities;
pub mod check;
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
// The modules of the shared words, under their names there.
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
