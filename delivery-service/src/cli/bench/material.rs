//! The data of the benchmark: real MLS groups, created with OpenMLS before the measurement.

use anyhow::{Context as _, anyhow};
use openmls::prelude::{
    BasicCredential, Ciphersuite, CredentialWithKey, KeyPackage, MlsGroup, MlsGroupCreateConfig, MlsGroupJoinConfig,
    MlsMessageBodyIn, MlsMessageIn, MlsMessageOut, OpenMlsProvider as _, PURE_CIPHERTEXT_WIRE_FORMAT_POLICY,
    PURE_PLAINTEXT_WIRE_FORMAT_POLICY, RatchetTreeIn, StagedWelcome, WireFormatPolicy,
    tls_codec::DeserializeBytes as _,
};
use openmls_traits::{
    crypto::OpenMlsCrypto as _,
    signatures::{Signer, SignerError},
    types::SignatureScheme,
};
use regrow_crypto::{DefaultCrypto, MemoryProvider};
use regrow_delivery_service::{
    DeviceId, GroupId, HandshakeMode,
    api::{CommitRequest, CreateGroupRequest, UploadRequest},
};

use super::caller::encoded;

const CIPHERSUITE: Ciphersuite = Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519;

/// Messages are padded to a multiple of this many bytes, as in the engine by default.
const PADDING: usize = 128;

/// A group and its later commits in order. All requests are encoded in CBOR.
pub(super) struct Chain {
    /// The group's path in the API.
    pub(super) path: String,
    pub(super) creation: Vec<u8>,
    /// The request that adds the other members.
    pub(super) addition: Option<Vec<u8>>,
    pub(super) commits: Vec<Vec<u8>>,
}

pub(super) fn name(user: &str) -> anyhow::Result<DeviceId> {
    Ok(DeviceId::new(user, "bench")?)
}

pub(super) fn group_path(group: &GroupId) -> String {
    format!("/v1/groups/{}", group.to_base64url())
}

/// A device's private signature key, in memory.
struct SignatureKey(Vec<u8>);

impl Signer for SignatureKey {
    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
        DefaultCrypto::default().sign(self.signature_scheme(), payload, &self.0).map_err(SignerError::CryptoError)
    }

    fn signature_scheme(&self) -> SignatureScheme {
        CIPHERSUITE.signature_algorithm()
    }
}

/// A device's keys, in memory.
pub(super) struct BenchDevice {
    provider: MemoryProvider,
    signer: SignatureKey,
    credential: CredentialWithKey,
}

impl BenchDevice {
    pub(super) fn new(id: &DeviceId) -> anyhow::Result<Self> {
        let provider = MemoryProvider::default();
        let (private, public) =
            provider.crypto().signature_key_gen(CIPHERSUITE.signature_algorithm()).context("no signature key")?;
        let credential = CredentialWithKey {
            credential: BasicCredential::new(id.to_identity()).into(),
            signature_key: public.into(),
        };
        Ok(Self { provider, signer: SignatureKey(private), credential })
    }

    pub(super) fn key_package(&self) -> anyhow::Result<KeyPackage> {
        let bundle = KeyPackage::builder().build(CIPHERSUITE, &self.provider, &self.signer, self.credential.clone());
        Ok(bundle.context("cannot make a key package")?.key_package().clone())
    }

    /// An upload with `count` new key packages.
    pub(super) fn upload(&self, count: usize) -> anyhow::Result<UploadRequest> {
        let key_package = || Ok(MlsMessageOut::from(self.key_package()?).to_bytes()?.into());
        let key_packages = (0..count).map(|_| key_package()).collect::<anyhow::Result<_>>()?;
        Ok(UploadRequest { key_packages, last_resort: None })
    }

    /// Creates a group with this device as its member. Its welcomes contain the ratchet tree if
    /// `sends_tree` is true.
    pub(super) fn create(
        &self,
        id: &GroupId,
        handshake: HandshakeMode,
        sends_tree: bool,
    ) -> anyhow::Result<BenchGroup<'_>> {
        let config = MlsGroupCreateConfig::builder()
            .ciphersuite(CIPHERSUITE)
            .wire_format_policy(wire_format(handshake))
            .padding_size(PADDING)
            .build();
        let mls_id = openmls::group::GroupId::from_slice(id.as_bytes());
        let Self { provider, signer, credential } = self;
        let mls = MlsGroup::new_with_group_id(provider, signer, &config, mls_id, credential.clone())
            .context("cannot make a group")?;
        // The service tracks no tree of an opaque group, so each group info contains it.
        let sends_tree = sends_tree || handshake == HandshakeMode::Opaque;
        Ok(BenchGroup { device: self, id: id.clone(), mls, handshake, sends_tree })
    }

    /// The request that joins a group by external commit (RFC 9420, 12.4.3.2). The group info must
    /// contain the tree.
    pub(super) fn external_commit(&self, id: DeviceId, group_info: &[u8]) -> anyhow::Result<CommitRequest> {
        let message = MlsMessageIn::tls_deserialize_exact_bytes(group_info)?;
        let MlsMessageBodyIn::GroupInfo(group_info) = message.extract() else { return Err(anyhow!("no group info")) };
        let Self { provider, signer, credential } = self;
        let builder = MlsGroup::external_commit_builder().build_group(provider, group_info, credential.clone());
        let builder = builder.context("cannot join")?.load_psks(provider.storage()).context("cannot join")?;
        let built = builder.build(provider.rand(), provider.crypto(), signer, |_| true).context("cannot join")?;
        let (_, bundle) = built.finalize(provider).context("cannot join")?;
        let commit = bundle.into_messages().0.to_bytes()?.into();
        Ok(CommitRequest { commit, welcome: None, group_info: None, added: vec![id], removed: Vec::new() })
    }

    /// Joins an assisted group with a welcome. `tree` is necessary if the welcome contains no
    /// ratchet tree.
    pub(super) fn join(&self, welcome: &[u8], tree: Option<&[u8]>) -> anyhow::Result<()> {
        let message = MlsMessageIn::tls_deserialize_exact_bytes(welcome)?;
        let MlsMessageBodyIn::Welcome(welcome) = message.extract() else { return Err(anyhow!("not a welcome")) };
        let tree = tree.map(RatchetTreeIn::tls_deserialize_exact_bytes).transpose()?;
        let config = MlsGroupJoinConfig::builder().wire_format_policy(wire_format(HandshakeMode::Assisted)).build();
        let staged = StagedWelcome::new_from_welcome(&self.provider, &config, welcome, tree).context("cannot join")?;
        staged.into_group(&self.provider).context("cannot join")?;
        Ok(())
    }
}

fn wire_format(handshake: HandshakeMode) -> WireFormatPolicy {
    match handshake {
        HandshakeMode::Assisted => PURE_PLAINTEXT_WIRE_FORMAT_POLICY,
        HandshakeMode::Opaque => PURE_CIPHERTEXT_WIRE_FORMAT_POLICY,
    }
}

/// Makes one key package for each of these devices.
pub(super) fn key_packages(names: &[DeviceId]) -> anyhow::Result<Vec<KeyPackage>> {
    names.iter().map(|name| BenchDevice::new(name)?.key_package()).collect()
}

/// A group and the device that commits in it.
pub(super) struct BenchGroup<'d> {
    device: &'d BenchDevice,
    id: GroupId,
    mls: MlsGroup,
    handshake: HandshakeMode,
    sends_tree: bool,
}

impl BenchGroup<'_> {
    /// The request that creates the group.
    pub(super) fn creation(&self) -> anyhow::Result<CreateGroupRequest> {
        let BenchDevice { provider, signer, .. } = self.device;
        let group_info = self.mls.export_group_info(provider.crypto(), signer, true).context("no group info")?;
        let group_info = group_info.to_bytes()?.into();
        Ok(CreateGroupRequest { group: self.id.clone(), handshake: self.handshake, group_info })
    }

    /// The request that adds these devices. The commit counts as accepted.
    pub(super) fn add(&mut self, key_packages: &[KeyPackage]) -> anyhow::Result<Vec<u8>> {
        let identities =
            key_packages.iter().map(|key_package| key_package.leaf_node().credential().serialized_content());
        let added = identities.map(DeviceId::from_identity).collect::<Result<_, _>>()?;
        self.commit(key_packages, added)
    }

    /// The request that updates the device's keys. The commit counts as accepted.
    pub(super) fn update(&mut self) -> anyhow::Result<Vec<u8>> {
        self.commit(&[], Vec::new())
    }

    fn commit(&mut self, add: &[KeyPackage], added: Vec<DeviceId>) -> anyhow::Result<Vec<u8>> {
        let BenchDevice { provider, signer, .. } = self.device;
        let builder = self.mls.commit_builder().force_self_update(true).propose_adds(add.iter().cloned());
        let builder = builder.load_psks(provider.storage()).context("cannot commit")?;
        let builder = builder.use_ratchet_tree_extension(self.sends_tree).create_group_info(true);
        let built = builder.build(provider.rand(), provider.crypto(), signer, |_| true).context("cannot commit")?;
        let (commit, welcome, group_info) = built.stage_commit(provider).context("cannot commit")?.into_messages();
        let bytes = |message: MlsMessageOut| anyhow::Ok(message.to_bytes()?.into());
        let request = CommitRequest {
            commit: bytes(commit)?,
            welcome: welcome.map(bytes).transpose()?,
            group_info: group_info.map(bytes).transpose()?,
            added,
            removed: Vec::new(),
        };
        self.mls.merge_pending_commit(provider).context("cannot commit")?;
        encoded(&request)
    }

    pub(super) fn send(&mut self, text: &[u8]) -> anyhow::Result<Vec<u8>> {
        let BenchDevice { provider, signer, .. } = self.device;
        Ok(self.mls.create_message(provider, signer, text).context("cannot send")?.to_bytes()?)
    }
}

/// Creates a group of `device` and the others, and makes `commits` commits in it.
pub(super) fn chain(
    device: &BenchDevice,
    group: &str,
    handshake: HandshakeMode,
    others: &[KeyPackage],
    commits: usize,
) -> anyhow::Result<Chain> {
    let id = GroupId::new(group)?;
    let mut group = device.create(&id, handshake, false)?;
    let creation = encoded(&group.creation()?)?;
    let addition = if others.is_empty() { None } else { Some(group.add(others)?) };
    let commits = (0..commits).map(|_| group.update()).collect::<anyhow::Result<_>>()?;
    // From here on, only the server needs the group, so free its memory.
    group.mls.delete(device.provider.storage()).context("cannot forget a group")?;
    Ok(Chain { path: group_path(&id), creation, addition, commits })
}
