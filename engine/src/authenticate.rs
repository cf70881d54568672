//! The application's authentication service (RFC 9420, 5.3.1; RFC 9750, 3.2). It decides which key
//! belongs to which device, and which device may make which change.

use crate::{Change, DeviceId, GroupId, SignaturePublicKey};

/// The claim of a leaf that a signature key belongs to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityClaim {
    /// The device that the leaf's credential names.
    pub device: DeviceId,
    /// The key that is claimed to be the device's signature key.
    pub signature_key: SignaturePublicKey,
    /// The device's previous key in the group. [`None`] if the device is not yet in the group, or
    /// if this device is about to join and does not know earlier keys.
    pub previous: Option<SignaturePublicKey>,
}

/// The application's authentication service and its rules for changes. RFC 9420 leaves both to the
/// application.
///
/// A client without this service accepts **every** claim and permits **every** change: see
/// [`Client::with_authentication`](crate::Client::with_authentication).
///
/// A member that refuses a commit which the others accept stays behind and must rejoin. Therefore
/// all members of a group must give the same answers, from facts that they all know at that point.
/// Such facts are a directory that all of them trust, a signature by the user's key, or roles that
/// messages set. Answer from memory, because a call of the engine waits for the answer.
///
/// ```
/// use std::{collections::BTreeMap, sync::Arc};
/// use regrow_engine::{
///     Authenticate, Change, IdentityClaim, Client, DeviceId, Error, GroupId, MemoryStore, Policy,
///     default_crypto,
/// };
///
/// /// The company's directory, and one administrator.
/// struct Directory(BTreeMap<DeviceId, Vec<u8>>);
///
/// impl Authenticate for Directory {
///     fn authenticate(&self, claim: &IdentityClaim) -> Result<(), String> {
///         match self.0.get(&claim.device) {
///             Some(key) if key == claim.signature_key.as_bytes() => Ok(()),
///             Some(_) => Err("the directory has another key".into()),
///             None => Err("not in the directory".into()),
///         }
///     }
///
///     fn may(&self, _: &GroupId, by: &DeviceId, change: &Change) -> Result<(), String> {
///         match change {
///             Change::Removed(device) if device != by && by.user() != "admin" => {
///                 Err("only the admin removes".into())
///             }
///             _ => Ok(()),
///         }
///     }
/// }
///
/// let id = DeviceId::new("alice", "phone")?;
/// let directory = Arc::new(Directory(BTreeMap::new()));
/// let store = Arc::new(MemoryStore::new());
/// let alice = Client::create(store, default_crypto(), id, Policy::default())?
///     .with_authentication(directory);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Authenticate: Send + Sync {
    /// Accepts the key as the device's key, or refuses it (RFC 9420, 5.3.1).
    ///
    /// The engine calls this method for every leaf that is new or has a new signature key, except
    /// for this device's own leaf. It does so when this device adds a device or proposes to add
    /// one, and when it receives another member's proposal or commit. When this device joins a
    /// group, the engine calls it for all members. Before the call, the engine has checked that a
    /// leaf does not change to another device.
    ///
    /// # Errors
    /// The reason of the refusal, as text for people. The call fails with
    /// [`Refusal::Unauthenticated`](crate::Refusal::Unauthenticated), and nothing has changed.
    fn authenticate(&self, claim: &IdentityClaim) -> Result<(), String>;

    /// Permits or forbids that the device makes this change in the group. The default
    /// implementation permits every change.
    ///
    /// The engine calls this method for every proposal and for every change of a commit, of other
    /// members and of this device. `by` is the device that proposed the change, which may differ
    /// from the committing device. A device that joins by external commit adds itself. A device
    /// that leaves removes itself. (The committer's own new keys are not a change that can be
    /// forbidden.)
    ///
    /// # Errors
    /// The reason of the refusal, as text for people. The call fails with
    /// [`Refusal::Forbidden`](crate::Refusal::Forbidden), and nothing has changed.
    fn may(&self, group: &GroupId, by: &DeviceId, change: &Change) -> Result<(), String> {
        let _ = (group, by, change);
        Ok(())
    }
}

/// Accepts every claim and every change. It is the default of a client.
pub(crate) struct Everyone;

impl Authenticate for Everyone {
    fn authenticate(&self, _: &IdentityClaim) -> Result<(), String> {
        Ok(())
    }
}
