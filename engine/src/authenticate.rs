//! The authentication service, as the application supplies it (RFC 9420, 5.3.1; RFC 9750, 3.2): who may be who, and who
//! may change what.

use crate::{Change, DeviceId, GroupId, SignaturePublicKey};

/// What a leaf claims: that this key is this device's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Whom the leaf's credential names.
    pub device: DeviceId,
    /// The key that would verify the device's messages.
    pub signature_key: SignaturePublicKey,
    /// The key that the device has in the group until now. [`None`] if the device is not in it yet, or if this device
    /// is about to join and knows of no before.
    pub previous: Option<SignaturePublicKey>,
}

/// The application's authentication service and its roles: what RFC 9420 leaves to it.
///
/// A client that is given none accepts **every** claim and permits **every** change: see
/// [`Client::with_authentication`](crate::Client::with_authentication).
///
/// Whoever refuses a commit that the others accept stays behind and has to rejoin. So the members of a group have to
/// give the same answers, from what they all know at that point: a directory that all of them trust, a signature by the
/// user's key, roles that are set by messages. An answer comes from memory: a call of the engine waits for it.
///
/// ```
/// use std::{collections::BTreeMap, sync::Arc};
/// use regrow_engine::{Authenticate, Change, Claim, Client, DeviceId, Error, GroupId, MemoryStore, Policy, default_crypto};
///
/// /// The company's directory, and one administrator.
/// struct Directory(BTreeMap<DeviceId, Vec<u8>>);
///
/// impl Authenticate for Directory {
///     fn authenticate(&self, claim: &Claim) -> Result<(), String> {
///         match self.0.get(&claim.device) {
///             Some(key) if key == claim.signature_key.as_bytes() => Ok(()),
///             Some(_) => Err("the directory has another key".into()),
///             None => Err("not in the directory".into()),
///         }
///     }
///
///     fn may(&self, _: &GroupId, by: &DeviceId, change: &Change) -> Result<(), String> {
///         match change {
///             Change::Removed(device) if device != by && by.user() != "admin" => Err("only the admin removes".into()),
///             _ => Ok(()),
///         }
///     }
/// }
///
/// let id = DeviceId::new("alice", "phone")?;
/// let directory = Arc::new(Directory(BTreeMap::new()));
/// let alice = Client::create(Arc::new(MemoryStore::new()), default_crypto(), id, Policy::default())?
///     .with_authentication(directory);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Authenticate: Send + Sync {
    /// Whether the key is the device's (RFC 9420, 5.3.1).
    ///
    /// It is asked about every leaf that is new or has a new signature key, but for this device's own: when this device
    /// adds somebody or proposes to, when a proposal or a commit of another is received, and for all members of a group
    /// that this device joins. That a device does not become another is checked before.
    ///
    /// # Errors
    /// The reason why the claim is refused, for people. The call fails with
    /// [`Refusal::Unauthenticated`](crate::Refusal::Unauthenticated), and nothing has changed.
    fn authenticate(&self, claim: &Claim) -> Result<(), String>;

    /// Whether the device may make this change of the group. By default everybody may everything.
    ///
    /// It is asked about every proposal and every change that a commit makes, others' and this device's own, and `by` is
    /// who proposed it, whoever commits it. A device that joins by external commit adds itself; one that leaves removes
    /// itself. (That each committer gets new keys for itself is no change that could be forbidden.)
    ///
    /// # Errors
    /// The reason why the change is refused, for people. The call fails with
    /// [`Refusal::Forbidden`](crate::Refusal::Forbidden), and nothing has changed.
    fn may(&self, group: &GroupId, by: &DeviceId, change: &Change) -> Result<(), String> {
        let _ = (group, by, change);
        Ok(())
    }
}

/// Accepts everyone: what a client does that was told nothing else.
pub(crate) struct Everyone;

impl Authenticate for Everyone {
    fn authenticate(&self, _: &Claim) -> Result<(), String> {
        Ok(())
    }
}
