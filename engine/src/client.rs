//! One device: its identity, its key packages and its groups.

mod app_data;
mod backup;
mod devices;
mod groups;
mod inbox;
mod loaded;
mod lock;
mod lock_state;
mod news;
mod pending;
mod receive;
mod upkeep;

use std::{fmt, sync::Arc};

use openmls_traits::crypto::OpenMlsCrypto as _;
use regrow_protocol::profile::MAX_USE_SECONDS;

pub use upkeep::Expired;

use self::{loaded::Loaded, lock_state::LockState, news::News};
use crate::{
    Authenticate, DeviceId, KeyPackageBytes, Policy, SignaturePublicKey, Snapshot,
    authenticate::Everyone,
    call::EngineCall,
    error::Error,
    group::GroupState,
    identity::SignatureKey,
    key_package,
    layer::{Layered, SharedCrypto},
    names::{GroupId, Timestamp},
    provider::CryptoProvider,
    signature_keys::{self, DeviceRecord},
    storage::{Batch, RecordKind, RecordScope, StorageError, Store, Tenancy, Tenure, Transaction},
};

/// One device of one user. RFC 9420 calls it a client.
///
/// A client does I/O only through its [`Store`]. The caller supplies the time and the randomness.
/// Every call happens as a whole or not at all, in the store and in memory.
pub struct Client {
    store: Arc<dyn Store>,
    crypto: SharedCrypto,
    authority: Arc<dyn Authenticate>,
    pub(crate) policy: Policy,
    pub(crate) device: DeviceId,
    /// The groups in memory. Their state always agrees with the store.
    groups: Loaded,
    /// The state of the received events in the store.
    news: News,
    lock: LockState,
    /// This client's number. Only the client with the highest number may use the store.
    tenure: Option<Tenure>,
}

impl Client {
    /// Creates a new device in an empty store, with a new signature key.
    ///
    /// # Errors
    /// [`Error::DeviceExists`] if the store already contains a device; [`Error::Crypto`] if the
    /// randomness fails, or if the cryptography does not support the policy's ciphersuite;
    /// [`Error::NoLock`] if the policy [locks](Policy::lock_after) the device and the store has no
    /// lock; [`Error::KeyPackageLifetime`].
    pub fn create(
        store: Arc<dyn Store>,
        crypto: Arc<dyn CryptoProvider>,
        device: DeviceId,
        policy: Policy,
    ) -> Result<Self, Error> {
        Self::make(store, crypto, device, policy, |_| Ok(()))
    }

    /// Creates a new device. The function `with` writes its further initial records.
    fn make(
        store: Arc<dyn Store>,
        crypto: Arc<dyn CryptoProvider>,
        device: DeviceId,
        policy: Policy,
        with: impl FnOnce(&Transaction<'_>) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let crypto = Layered(crypto);
        crypto.supports(policy.ciphersuite).map_err(Error::Crypto)?;
        let records = Transaction::new(&*store, RecordScope::Device);
        match DeviceRecord::load(&records) {
            Err(Error::NoDevice) => {}
            Ok(record) => return Err(Error::DeviceExists { device: record.device }),
            Err(other) => return Err(other),
        }
        let key = SignatureKey::generate(&crypto, policy.ciphersuite.signature_algorithm())?;
        signature_keys::store(&records, &key)?;
        DeviceRecord { device: device.clone(), signature_key: key.public().clone() }.store(&records)?;
        with(&records)?;
        let batch = records.into_batch();
        let client = Self::new(store, crypto, policy, device)?;
        client.write(batch)?;
        Ok(client)
    }

    /// Opens the device in the store, for example after a restart. It does not matter which call
    /// the process was running when it ended. Process the [unacknowledged](Self::unacknowledged)
    /// events first: they may include the last received messages.
    ///
    /// # Errors
    /// [`Error::NoDevice`] if the store is empty; [`Error::Storage`] if the store cannot be read;
    /// [`Error::Locked`] if the store is locked; [`Error::PolicyCiphersuite`] if the policy's
    /// ciphersuite does not fit the device's signature key; [`Error::NoLock`] and
    /// [`Error::KeyPackageLifetime`] as for [`create`](Self::create).
    pub fn open(store: Arc<dyn Store>, crypto: Arc<dyn CryptoProvider>, policy: Policy) -> Result<Self, Error> {
        let records = Transaction::new(&*store, RecordScope::Device);
        let DeviceRecord { device, signature_key } = DeviceRecord::load(&records)?;
        let key = signature_keys::get(&records, signature_key.as_bytes())?;
        if !key.is_of(policy.ciphersuite.signature_algorithm()) {
            return Err(Error::PolicyCiphersuite { ciphersuite: policy.ciphersuite });
        }
        let inbox = records.keys(&RecordScope::Device.key(RecordKind::Inbox))?;
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
        let (authority, groups, lock) = (Arc::new(Everyone), Loaded::default(), LockState::default());
        let tenure = store.tenancy().map(Tenancy::take);
        Ok(Self { store, crypto, authority, policy, device, groups, news: News::None, lock, tenure })
    }

    /// Sets the application's authentication service. The service is not stored: set it after each
    /// [`create`](Self::create) and each [`open`](Self::open).
    ///
    /// Without an authentication service, the client accepts **every identity and every change**.
    /// An attacker that can give its own key package to a member can claim any name. Every member
    /// may make every change. Then the only protection is to compare [safety
    /// numbers](crate::SafetyNumber).
    #[must_use = "only the returned client asks the authentication service"]
    pub fn with_authentication(self, authority: Arc<dyn Authenticate>) -> Self {
        Self { authority, ..self }
    }

    /// Returns the name of this device.
    pub fn device(&self) -> &DeviceId {
        &self.device
    }

    /// Returns the policy of this device.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Returns the signature key for new key packages and new groups of this device. (An existing
    /// group may use another key: it may have rotated the key earlier, or not yet.)
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn signature_key(&self) -> Result<SignaturePublicKey, Error> {
        Ok(DeviceRecord::load(&self.records()?)?.signature_key)
    }

    /// Creates `count` key packages to publish, each for one use (RFC 9420, 10). Their private
    /// keys stay on the device until they are used or [expire](Self::expire).
    ///
    /// # Errors
    /// [`Error::Storage`], [`Error::Crypto`].
    pub fn key_packages(&mut self, count: usize, now: Timestamp) -> Result<Vec<KeyPackageBytes>, Error> {
        self.used(now)?;
        self.with_device(|call, client| {
            (0..count).map(|_| key_package::generate(call, &client.device, &client.policy, false, now)).collect()
        })
    }

    /// Returns how many key packages the device should create and publish now.
    ///
    /// The policy sets the number of [`key_packages`](Policy::key_packages) that should be at the
    /// delivery service. The service reports how many are `left` there. Call this function when
    /// the device comes online, and after each group that it joins.
    pub fn key_packages_due(&self, left: usize) -> usize {
        self.policy.key_packages.saturating_sub(left)
    }

    /// Creates a last-resort key package. The delivery service may hand it out repeatedly when no
    /// other key package is left (RFC 9420, 16.8). Its private key stays on the device until it
    /// expires, and until then it opens all welcomes that were made for it.
    ///
    /// # Errors
    /// [`Error::Storage`], [`Error::Crypto`].
    pub fn last_resort_key_package(&mut self, now: Timestamp) -> Result<KeyPackageBytes, Error> {
        self.used(now)?;
        self.with_device(|call, client| key_package::generate(call, &client.device, &client.policy, true, now))
    }

    /// Returns the number of key packages whose private keys are on this device.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn key_package_count(&self) -> Result<usize, Error> {
        key_package::count(&self.records()?)
    }

    /// Returns everything that this device stores at this moment: see [`Snapshot`].
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        self.refuse_if_locked()?;
        Snapshot::take(self.device.clone(), &*self.store).map_err(|e| StorageError::from(e).into())
    }

    /// Runs one call on one group. The call happens as a whole, or the group stays unchanged, in
    /// the store and in memory.
    pub(crate) fn with_group<T>(
        &mut self,
        id: &GroupId,
        act: impl FnOnce(&EngineCall<'_>, &mut GroupState) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let cached = self.groups.remove(id);
        let call = self.call(RecordScope::Group(id.clone()))?;
        let (mut group, value) = self.whole(&call, |call| {
            let mut group = match cached {
                Some(group) => group,
                None => GroupState::load(call, id)?,
            };
            let value = act(call, &mut group)?;
            Ok((group, value))
        })?;
        // Only a received message can remove this device from a group or require that the group is
        // loaded again. Therefore the result of `finish` is not needed here.
        group.finish(&call)?;
        self.apply(call)?;
        self.groups.insert(id.clone(), group);
        Ok(value)
    }

    fn with_device<T>(&mut self, act: impl FnOnce(&EngineCall<'_>, &Self) -> Result<T, Error>) -> Result<T, Error> {
        let call = self.call(RecordScope::Device)?;
        let value = self.whole(&call, |call| act(call, self))?;
        self.apply(call)?;
        Ok(value)
    }

    fn call(&self, scope: RecordScope) -> Result<EngineCall<'_>, Error> {
        self.call_over(&*self.store, scope)
    }

    /// Creates a call on the given store, which must be this device's store. The call does not
    /// borrow the client, so the client can be changed meanwhile.
    fn call_over<'s>(&self, store: &'s dyn Store, scope: RecordScope) -> Result<EngineCall<'s>, Error> {
        self.refuse_if_locked()?;
        let (crypto, authority) = (self.crypto.clone(), self.authority.clone());
        Ok(EngineCall { crypto, authority, records: Transaction::new(store, scope) })
    }

    fn refuse_if_superseded(&self) -> Result<(), Error> {
        match self.store.tenancy().zip(self.tenure) {
            Some((tenancy, tenure)) if !tenancy.is_of(tenure) => Err(Error::Superseded),
            _ => Ok(()),
        }
    }

    /// Returns a read view of the device's own records.
    fn records(&self) -> Result<Transaction<'_>, Error> {
        self.refuse_if_locked()?;
        Ok(Transaction::new(&*self.store, RecordScope::Device))
    }

    /// Runs a call. If OpenMLS hides a storage failure behind another error, this returns the
    /// storage failure.
    fn whole<'s, T>(
        &self,
        call: &EngineCall<'s>,
        act: impl FnOnce(&EngineCall<'s>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        act(call).map_err(|error| call.records.failure().map_or(error, Error::from))
    }

    fn apply(&self, call: EngineCall<'_>) -> Result<(), Error> {
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
