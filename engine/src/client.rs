//! One device: its identity, its key packages, its groups.

mod backup;
mod devices;
mod inbox;
mod kept;
mod loaded;
mod lock;
mod receive;
mod upkeep;

use std::{fmt, sync::Arc};

use openmls::prelude::{MlsGroup, MlsMessageBodyIn, MlsMessageIn};
use openmls_traits::crypto::OpenMlsCrypto as _;
use regrow_protocol::profile::MAX_USE_SECONDS;
use tls_codec::DeserializeBytes as _;

pub use kept::MAX_KEPT_NAME_BYTES;
pub use upkeep::Expired;

use self::{inbox::News, loaded::Loaded};
use crate::{
    Authenticate, DeviceId, Group, JoinMessage, KeyPackageBytes, PendingCommit, Policy, SignaturePublicKey, Snapshot,
    authenticate::Everyone,
    error::Error,
    event::EpochChange,
    group::{
        GroupState, data, external, load_mls,
        record::{GroupRecord, Membership, memberships},
        rejoin, welcome,
    },
    identity::SignatureKey,
    key_package::{self, DeviceRecord},
    layer::Layered,
    names::{self, GroupId, Timestamp},
    provider::{Call, CryptoProvider, SharedCrypto},
    storage::{Batch, Kind, Scope, StorageError, Store, Tenancy, Tenure, Transaction},
};

/// One device of one user: a client, in the words of RFC 9420.
///
/// It does no I/O but through its [`Store`], has no clock, and makes no randomness of its own. Every call happens
/// whole or not at all, in the store as in memory.
pub struct Client {
    store: Arc<dyn Store>,
    crypto: SharedCrypto,
    authority: Arc<dyn Authenticate>,
    pub(crate) policy: Policy,
    pub(crate) device: DeviceId,
    /// The groups that are in memory. What is here is what is stored.
    groups: Loaded,
    /// Whether something is stored that was received.
    news: News,
    lock: lock::LockState,
    /// The store is this client's while this is its latest tenure.
    tenure: Option<Tenure>,
}

impl Client {
    /// Makes a new device in an empty store, with a signature key of its own.
    ///
    /// # Errors
    /// [`Error::DeviceExists`] if the store holds a device; [`Error::Crypto`] if there is no randomness or the policy's
    /// ciphersuite is not among those that the cryptography supports; [`Error::NoLock`] if the policy has the device
    /// [locked](Policy::lock_after) and the store cannot be; [`Error::KeyPackageLifetime`].
    pub fn create(
        store: Arc<dyn Store>,
        crypto: Arc<dyn CryptoProvider>,
        device: DeviceId,
        policy: Policy,
    ) -> Result<Self, Error> {
        Self::make(store, crypto, device, policy, |_| Ok(()))
    }

    /// Makes a new device, with what it has from the beginning.
    fn make(
        store: Arc<dyn Store>,
        crypto: Arc<dyn CryptoProvider>,
        device: DeviceId,
        policy: Policy,
        with: impl FnOnce(&Transaction<'_>) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let crypto = Layered(crypto);
        crypto.supports(policy.ciphersuite).map_err(Error::Crypto)?;
        let records = Transaction::new(&*store, Scope::Device);
        match DeviceRecord::load(&records) {
            Err(Error::NoDevice) => {}
            Ok(record) => return Err(Error::DeviceExists { device: record.device }),
            Err(other) => return Err(other),
        }
        let key = SignatureKey::generate(&crypto, policy.ciphersuite.signature_algorithm())?;
        key_package::store_signature_key(&records, &key)?;
        DeviceRecord { device: device.clone(), signature_key: key.public().clone() }.store(&records)?;
        with(&records)?;
        let batch = records.into_batch();
        let client = Self::new(store, crypto, policy, device)?;
        client.write(batch)?;
        Ok(client)
    }

    /// Opens the device that the store holds: after a restart, whatever it was doing when it ended. What it had
    /// received last may be [unacknowledged](Self::unacknowledged), and comes first.
    ///
    /// # Errors
    /// [`Error::NoDevice`] if the store is empty; [`Error::Storage`] if it cannot be read; [`Error::Locked`] if it is
    /// locked; [`Error::PolicyCiphersuite`] if the policy's ciphersuite does not fit the device's signature key;
    /// [`Error::NoLock`] and [`Error::KeyPackageLifetime`] as for [`create`](Self::create).
    pub fn open(store: Arc<dyn Store>, crypto: Arc<dyn CryptoProvider>, policy: Policy) -> Result<Self, Error> {
        let records = Transaction::new(&*store, Scope::Device);
        let DeviceRecord { device, signature_key } = DeviceRecord::load(&records)?;
        let key = key_package::signature_key(&records, signature_key.as_bytes())?;
        if !key.is_of(policy.ciphersuite.signature_algorithm()) {
            return Err(Error::PolicyCiphersuite { ciphersuite: policy.ciphersuite });
        }
        let inbox = records.keys(&Scope::Device.key(Kind::Inbox))?;
        let news = if inbox.is_empty() { News::None } else { News::Inherited };
        drop(records);
        Ok(Self { news, ..Self::new(store, Layered(crypto), policy, device)? })
    }

    fn new(store: Arc<dyn Store>, crypto: SharedCrypto, policy: Policy, device: DeviceId) -> Result<Self, Error> {
        if policy.lock_after.is_some() && store.as_lock().is_none() {
            return Err(Error::NoLock);
        }
        if policy.key_package_lifetime > MAX_USE_SECONDS {
            return Err(Error::KeyPackageLifetime);
        }
        let (authority, groups, lock) = (Arc::new(Everyone), Loaded::default(), lock::LockState::default());
        let tenure = store.tenancy().map(Tenancy::take);
        Ok(Self { store, crypto, authority, policy, device, groups, news: News::None, lock, tenure })
    }

    /// The same device, with the application's authentication service. It is not stored: give it right after
    /// [`create`](Self::create) and [`open`](Self::open), each time.
    ///
    /// Without one, **everyone is accepted**: who can get a key package of its own making to a member is whoever it says
    /// to be, and every member may change everything. What is left then is to compare
    /// [safety numbers](crate::SafetyNumber).
    #[must_use = "it is the device that is returned which asks the authentication service"]
    pub fn with_authentication(self, authority: Arc<dyn Authenticate>) -> Self {
        Self { authority, ..self }
    }

    /// Which device this is.
    pub fn device(&self) -> &DeviceId {
        &self.device
    }

    /// What this device chooses.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The signature key of this device's new key packages and new groups. (A group in which it was rotated, or not
    /// yet, may have another.)
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn signature_key(&self) -> Result<SignaturePublicKey, Error> {
        Ok(DeviceRecord::load(&self.records()?)?.signature_key)
    }

    /// Makes `count` key packages to publish, each for one use (RFC 9420, 10). Their private keys stay on the device
    /// until they are used or [expire](Self::expire).
    ///
    /// # Errors
    /// [`Error::Storage`], [`Error::Crypto`].
    pub fn key_packages(&mut self, count: usize, now: Timestamp) -> Result<Vec<KeyPackageBytes>, Error> {
        self.used(now)?;
        self.with_device(|call, client| {
            (0..count).map(|_| key_package::generate(call, &client.device, &client.policy, false, now)).collect()
        })
    }

    /// How many key packages to make and publish now, as the policy has it: it wants
    /// [`key_packages`](Policy::key_packages) at the delivery service, which says how many are `left` there. Ask when the
    /// device comes online, and after each group that it joins.
    pub fn key_packages_due(&self, left: usize) -> usize {
        self.policy.key_packages.saturating_sub(left)
    }

    /// Makes a key package that the delivery service may hand out again and again when no other is left (RFC 9420,
    /// 16.8). Its private key stays until it expires, and with it the welcomes that were made for it can be opened.
    ///
    /// # Errors
    /// [`Error::Storage`], [`Error::Crypto`].
    pub fn last_resort_key_package(&mut self, now: Timestamp) -> Result<KeyPackageBytes, Error> {
        self.used(now)?;
        self.with_device(|call, client| key_package::generate(call, &client.device, &client.policy, true, now))
    }

    /// The number of key packages whose private keys are on this device.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn key_package_count(&self) -> Result<usize, Error> {
        key_package::count(&self.records()?)
    }

    /// The groups that this device is a member of.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn groups(&self) -> Result<Vec<GroupId>, Error> {
        let scopes = memberships(&self.records()?)?.into_iter().map(|(scope, _)| scope);
        Ok(scopes.filter_map(|scope| if let Scope::Group(id) = scope { Some(id) } else { None }).collect())
    }

    /// A group of this device.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`] if it was never in it; [`Error::Removed`] if it is no longer.
    pub fn group(&mut self, id: &GroupId) -> Result<Group<'_>, Error> {
        let call = self.call(Scope::Group(id.clone()))?;
        if !self.groups.contains_key(id) {
            let group = GroupState::load(&call, id)?;
            drop(call);
            self.groups.insert(id.clone(), group);
        }
        Ok(Group::new(self, id.clone()))
    }

    /// Creates a group with this device as its only member, in epoch 0 (RFC 9420, 11). Its
    /// [group info](Group::group_info) is what a delivery service starts it from.
    ///
    /// # Errors
    /// [`Error::GroupExists`] if this device is in a group of that identifier.
    pub fn create_group(&mut self, id: GroupId, now: Timestamp) -> Result<Group<'_>, Error> {
        self.used(now)?;
        let scope = Scope::Group(id.clone());
        let call = self.call(scope.clone())?;
        if let Some(GroupRecord::Member(_)) = call.records.get(&scope.key(Kind::Group), Kind::Group)? {
            return Err(Error::GroupExists { group: id });
        }
        let mut group = self.whole(&call, |call| {
            call.records.delete_all(&scope.prefix())?;
            let record = DeviceRecord::load(&call.records)?;
            let key = key_package::signature_key(&call.records, record.signature_key.as_bytes())?;
            let policy = &self.policy;
            MlsGroup::builder()
                .with_group_id(names::to_mls(&id))
                .ciphersuite(policy.ciphersuite)
                .with_wire_format_policy(policy.wire_format())
                .padding_size(policy.padding)
                .max_past_epochs(policy.past_epochs)
                .number_of_resumption_psks(0)
                .use_ratchet_tree_extension(true)
                .sender_ratchet_configuration(policy.ratchet())
                .with_capabilities(key_package::capabilities(&call.crypto))
                .with_group_context_extensions(data::required()?)
                .lifetime(policy.lifetime(now))
                .build(call, &key.signer(&call.crypto)?, key.credential(&self.device))
                .map_err(|e| Error::Internal { action: "create a group", detail: e.to_string() })?;
            // Loaded rather than kept: OpenMLS's group in memory holds resumption PSKs, which are not stored.
            let mut group = GroupState::new(load_mls(call, &id)?, Membership::default());
            group.set_signer()?;
            group.all_leaves_are_new(now);
            group.note_epoch();
            group.replace_former(call)?;
            Ok(group)
        })?;
        group.finish(&call)?;
        self.apply(call)?;
        self.groups.insert(id.clone(), group);
        Ok(Group::new(self, id))
    }

    /// Joins the group that a welcome is of (RFC 9420, 12.4.3.1). The key package it was made for is used up by that,
    /// and only by that: a welcome that cannot be used leaves it.
    ///
    /// # Errors
    /// [`Error::NotInvited`] if it is for another device; [`Error::GroupExists`]; [`Error::Malformed`] and
    /// [`Error::Invalid`] if it is not a welcome or not a valid one; [`Error::NeedsRatchetTree`]; [`Error::Refused`] if
    /// the group is not acceptable.
    pub fn join<'m>(&mut self, welcome: impl Into<JoinMessage<'m>>, now: Timestamp) -> Result<GroupId, Error> {
        self.used(now)?;
        let (message, tree) = welcome.into().parse("a welcome")?;
        let MlsMessageBodyIn::Welcome(message) = message else {
            return Err(other_kind("a welcome"));
        };
        let call = self.call(Scope::Device)?;
        let (id, mut group) = self.whole(&call, |call| welcome::join(call, &self.policy, message, tree, now))?;
        group.finish(&call)?;
        self.apply(call)?;
        self.groups.insert(id.clone(), group);
        Ok(id)
    }

    /// Makes the external commit by which this device joins a group, or rejoins it in place of its own leaf whose state
    /// is lost (RFC 9420, 12.4.3.2). Nothing changes until it is [confirmed](Self::confirm).
    ///
    /// `group_info` is the group's current one.
    ///
    /// # Errors
    /// [`Error::Malformed`] and [`Error::Invalid`] if it is not a group info or not a valid one;
    /// [`Error::NeedsRatchetTree`]; [`Error::Refused`] if a leaf of this device is in the group whose signature key this device does not have, or if a member is not
    /// accepted or joining not permitted by the [authentication service](Self::with_authentication).
    pub fn join_external<'m>(&mut self, group_info: impl Into<JoinMessage<'m>>) -> Result<PendingCommit, Error> {
        let call = self.call(Scope::Device)?;
        let (message, tree) = group_info.into().parse("a group info")?;
        let MlsMessageBodyIn::GroupInfo(group_info) = message else {
            return Err(other_kind("a group info"));
        };
        let pending = self.whole(&call, |call| external::join(call, &self.device, &self.policy, group_info, tree))?;
        self.apply(call)?;
        Ok(pending)
    }

    /// The commits that wait for the delivery service's answer, in all groups: after a restart, submit them again.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn pending(&self) -> Result<Vec<PendingCommit>, Error> {
        Ok(memberships(&self.records()?)?.into_iter().filter_map(|(_, membership)| membership.pending).collect())
    }

    /// The delivery service has accepted the commit: the group enters the epoch that it makes.
    ///
    /// # Errors
    /// [`Error::NotPending`] if the commit was confirmed or discarded before, or another commit has won.
    pub fn confirm(&mut self, pending: PendingCommit, now: Timestamp) -> Result<EpochChange, Error> {
        self.used(now)?;
        let id = pending.group.clone();
        if pending.external {
            let call = self.call(Scope::Joining(id.clone()))?;
            Self::refuse_unless_pending(&external::pending(&call, &id)?, &pending)?;
            drop(call);
            return self.confirm_external(&pending, now);
        }
        let (device, policy) = (self.device.clone(), self.policy.clone());
        self.with_group(&id, |call, group| {
            if group.membership().pending.as_ref() != Some(&pending) {
                return Err(Error::NotPending);
            }
            let change = group.confirm_pending(call, &device, now)?;
            group.membership_mut().note_confirmed(&pending);
            group.expire_epochs(call, &policy, now)?;
            Ok(change)
        })
    }

    /// The delivery service has not accepted the commit, and will not: its keys are erased. What was wanted is kept:
    /// catch up, and then [`Group::resume`]. (An external commit is made anew from a current group info.)
    ///
    /// # Errors
    /// [`Error::NotPending`] if the commit was confirmed or discarded before, or another commit has won.
    pub fn discard(&mut self, pending: PendingCommit) -> Result<(), Error> {
        let id = pending.group.clone();
        if pending.external {
            let call = self.call(Scope::Joining(id.clone()))?;
            Self::refuse_unless_pending(&external::pending(&call, &id)?, &pending)?;
            call.records.delete_all(&Scope::Joining(id).prefix())?;
            key_package::sweep_signature_keys(&call.records)?;
            return self.apply(call);
        }
        self.with_group(&id, |call, group| {
            if group.membership().pending.as_ref() != Some(&pending) {
                return Err(Error::NotPending);
            }
            group.discard_pending(call)
        })
    }

    /// Erases all that this device has of a group, as if it had never been in it. The group itself is not told.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn forget(&mut self, id: &GroupId) -> Result<(), Error> {
        self.groups.remove(id);
        let call = self.call(Scope::Device)?;
        for scope in [Scope::Group(id.clone()), Scope::Joining(id.clone())] {
            call.records.delete_all(&scope.prefix())?;
        }
        rejoin::forget(&call.records, id);
        key_package::sweep_signature_keys(&call.records)?;
        self.apply(call)
    }

    /// Everything that this device holds at this moment: see [`Snapshot`].
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        self.refuse_if_locked()?;
        Snapshot::take(self.device.clone(), &*self.store).map_err(|e| StorageError::from(e).into())
    }

    fn confirm_external(&mut self, pending: &PendingCommit, now: Timestamp) -> Result<EpochChange, Error> {
        let id = pending.group();
        let call = self.call(Scope::Joining(id.clone()))?;
        let (mut group, change) = self.whole(&call, |call| external::confirm(call, id, &self.device, now))?;
        group.membership_mut().note_confirmed(pending);
        group.finish(&call)?;
        self.apply(call)?;
        self.groups.insert(id.clone(), group);
        Ok(change)
    }

    fn refuse_unless_pending(stored: &Option<PendingCommit>, given: &PendingCommit) -> Result<(), Error> {
        if stored.as_ref() == Some(given) { Ok(()) } else { Err(Error::NotPending) }
    }

    /// One call on one group. It happens whole, or the group is as it was, in the store and in memory.
    pub(crate) fn with_group<T>(
        &mut self,
        id: &GroupId,
        act: impl FnOnce(&Call<'_>, &mut GroupState) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let cached = self.groups.remove(id);
        let call = self.call(Scope::Group(id.clone()))?;
        let (mut group, value) = self.whole(&call, |call| {
            let mut group = match cached {
                Some(group) => group,
                None => GroupState::load(call, id)?,
            };
            let value = act(call, &mut group)?;
            Ok((group, value))
        })?;
        // Only what is received removes this device from a group, or leaves one to be loaded again.
        group.finish(&call)?;
        self.apply(call)?;
        self.groups.insert(id.clone(), group);
        Ok(value)
    }

    fn with_device<T>(&mut self, act: impl FnOnce(&Call<'_>, &Self) -> Result<T, Error>) -> Result<T, Error> {
        let call = self.call(Scope::Device)?;
        let value = self.whole(&call, |call| act(call, self))?;
        self.apply(call)?;
        Ok(value)
    }

    fn call(&self, scope: Scope) -> Result<Call<'_>, Error> {
        self.call_over(&*self.store, scope)
    }

    /// A call over that store, which is this device's, and leaves the device itself free to be changed.
    fn call_over<'s>(&self, store: &'s dyn Store, scope: Scope) -> Result<Call<'s>, Error> {
        self.refuse_if_locked()?;
        let (crypto, authority) = (self.crypto.clone(), self.authority.clone());
        Ok(Call { crypto, authority, records: Transaction::new(store, scope) })
    }

    fn refuse_if_superseded(&self) -> Result<(), Error> {
        match self.store.tenancy().zip(self.tenure) {
            Some((tenancy, tenure)) if !tenancy.is_of(tenure) => Err(Error::Superseded),
            _ => Ok(()),
        }
    }

    /// The device's own records, to look at.
    fn records(&self) -> Result<Transaction<'_>, Error> {
        self.refuse_if_locked()?;
        Ok(Transaction::new(&*self.store, Scope::Device))
    }

    /// Runs a call. Where OpenMLS hides that the store failed, the store's own word is given.
    fn whole<'s, T>(&self, call: &Call<'s>, act: impl FnOnce(&Call<'s>) -> Result<T, Error>) -> Result<T, Error> {
        act(call).map_err(|error| call.records.failure().map_or(error, Error::from))
    }

    fn apply(&self, call: Call<'_>) -> Result<(), Error> {
        self.write(call.records.into_batch())
    }

    fn write(&self, batch: Batch) -> Result<(), Error> {
        if !batch.is_empty() {
            self.refuse_if_superseded()?;
            self.store.apply(batch).map_err(StorageError::from)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client {{ device: {}, .. }}", self.device)
    }
}

pub(crate) fn parse(bytes: &[u8], expected: &'static str) -> Result<MlsMessageBodyIn, Error> {
    MlsMessageIn::tls_deserialize_exact_bytes(bytes)
        .map(MlsMessageIn::extract)
        .map_err(|e| Error::Malformed { expected, detail: e.to_string() })
}

fn other_kind(expected: &'static str) -> Error {
    Error::Malformed { expected, detail: "another kind of MLS message".into() }
}
