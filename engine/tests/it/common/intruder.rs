//! A client of OpenMLS without the engine. It does anything that OpenMLS permits.

use std::sync::Arc;

use openmls::{
    group::PURE_PLAINTEXT_WIRE_FORMAT_POLICY,
    prelude::{
        tls_codec::{DeserializeBytes, Serialize as _},
        *,
    },
};
use openmls_basic_credential::SignatureKeyPair;
use regrow_crypto::MemoryProvider;
use regrow_engine::{Ciphersuite, Client, KeyPackageBytes, MemoryStore, Timestamp};
use regrow_protocol::profile::{USE_PERIOD_EXTENSION, UsePeriod};

use super::{NOW, client, client_in, device, group, key_package, policy};

pub const SUITE: Ciphersuite = Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519;

/// The type of the extension that contains the group data.
pub const GROUP_DATA: ExtensionType = ExtensionType::Unknown(0xF752);

/// The type of the extension that contains a use period.
pub const USE: ExtensionType = ExtensionType::Unknown(USE_PERIOD_EXTENSION);

/// The use period of an intruder's key packages.
pub const USE_PERIOD: UsePeriod = UsePeriod { made: NOW, until: Timestamp(NOW.0 + 90 * 24 * 60 * 60) };

/// A time after every system clock.
const END: u64 = NOW.0 + 100 * 365 * 24 * 60 * 60;

/// Alice, Bob and the intruder Mallory, in one group. Bob's device is in the store.
pub struct GroupWithIntruder {
    pub alice: Client,
    pub bob: Client,
    pub store: MemoryStore,
    pub mallory: Intruder,
}

pub fn group_with_intruder() -> GroupWithIntruder {
    let store = MemoryStore::new();
    let mut bob = client_in(&store, "bob", policy());
    let (alice, mallory) = infiltrate(&mut bob);
    GroupWithIntruder { alice, bob, store, mallory }
}

pub struct Intruder {
    pub provider: MemoryProvider,
    pub signer: Arc<SignatureKeyPair>,
    pub identity: Vec<u8>,
    pub group: Option<MlsGroup>,
}

impl Intruder {
    /// Creates an intruder with any identity.
    pub fn new(identity: &[u8]) -> Self {
        let signer = SignatureKeyPair::new(SUITE.signature_algorithm()).unwrap();
        Self { provider: MemoryProvider::default(), signer: Arc::new(signer), identity: identity.to_vec(), group: None }
    }

    /// Creates an intruder with another intruder's signature key.
    pub fn with_key_of(other: &Self, identity: &[u8]) -> Self {
        Self { signer: other.signer.clone(), ..Self::new(identity) }
    }

    pub fn credential(&self) -> CredentialWithKey {
        credential(&self.identity, &self.signer)
    }

    pub fn key_package(&self) -> KeyPackage {
        self.key_package_for(USE_PERIOD, SUITE)
    }

    /// Creates a key package with this use period.
    pub fn key_package_for(&self, period: UsePeriod, suite: Ciphersuite) -> KeyPackage {
        self.build(Self::builder(0, END, Some(period)).leaf_node_capabilities(Self::capabilities()), suite)
    }

    /// Creates a key package that is valid until this time, with the usual use period.
    pub fn key_package_until(&self, not_after: u64) -> KeyPackage {
        self.build(Self::builder(0, not_after, Some(USE_PERIOD)).leaf_node_capabilities(Self::capabilities()), SUITE)
    }

    /// Creates a key package without a use period, with this lifetime.
    pub fn key_package_without_period(&self, from: u64, to: u64) -> KeyPackage {
        self.build(Self::builder(from, to, None).leaf_node_capabilities(Self::capabilities()), SUITE)
    }

    /// Creates a key package whose leaf has these capabilities and extensions.
    pub fn key_package_with(&self, capabilities: Capabilities, extensions: Extensions<LeafNode>) -> KeyPackage {
        let builder = Self::builder(0, END, Some(USE_PERIOD));
        self.build(builder.leaf_node_capabilities(capabilities).leaf_node_extensions(extensions), SUITE)
    }

    fn builder(from: u64, to: u64, period: Option<UsePeriod>) -> KeyPackageBuilder {
        let builder = KeyPackage::builder().key_package_lifetime(Lifetime::init(from, to));
        let Some(period) = period else { return builder };
        let content = UnknownExtension(period.to_bytes().to_vec());
        builder.key_package_extensions(Extensions::single(Extension::Unknown(USE_PERIOD_EXTENSION, content)).unwrap())
    }

    fn build(&self, builder: KeyPackageBuilder, suite: Ciphersuite) -> KeyPackage {
        let bundle = builder.build(suite, &self.provider, &*self.signer, self.credential()).unwrap();
        bundle.key_package().clone()
    }

    /// Returns the capabilities that a group of Regrow requires: support for group data and for a
    /// use period.
    pub fn capabilities() -> Capabilities {
        Capabilities::builder().extensions(vec![GROUP_DATA, USE]).build()
    }

    pub fn config() -> MlsGroupJoinConfig {
        MlsGroupJoinConfig::builder()
            .wire_format_policy(PURE_PLAINTEXT_WIRE_FORMAT_POLICY)
            .use_ratchet_tree_extension(true)
            .build()
    }

    pub fn create(&mut self, id: &[u8]) {
        let group = MlsGroup::builder()
            .with_group_id(openmls::group::GroupId::from_slice(id))
            .with_wire_format_policy(PURE_PLAINTEXT_WIRE_FORMAT_POLICY)
            .use_ratchet_tree_extension(true)
            .ciphersuite(SUITE)
            .with_capabilities(Self::capabilities())
            .build(&self.provider, &*self.signer, self.credential());
        self.group = Some(group.unwrap());
    }

    pub fn join(&mut self, welcome: &[u8]) {
        let MlsMessageBodyIn::Welcome(welcome) = body(welcome) else { panic!("not a welcome") };
        let staged =
            StagedWelcome::new_from_welcome(&self.provider, &Self::config(), welcome, None).expect("a valid welcome");
        self.group = Some(staged.into_group(&self.provider).unwrap());
    }

    pub fn group(&mut self) -> &mut MlsGroup {
        self.group.as_mut().unwrap()
    }

    /// Returns the leaf with this identity.
    pub fn leaf_of(&mut self, identity: &[u8]) -> LeafNodeIndex {
        let mut members = self.group().members();
        members.find(|member| member.credential.serialized_content() == identity).unwrap().index
    }

    /// Creates a commit that adds these key packages. It also changes the committer's identity, if
    /// one is given.
    pub fn commit(&mut self, adds: Vec<KeyPackage>, identity: Option<&[u8]>) -> (Vec<u8>, Option<Vec<u8>>) {
        let Self { provider, signer, group, .. } = self;
        let signer = &**signer;
        let builder = group.as_mut().unwrap().commit_builder().force_self_update(true).propose_adds(adds);
        let built = builder.load_psks(provider.storage()).unwrap();
        let bundle = match identity {
            None => built.build(provider.rand(), provider.crypto(), signer, |_| true),
            Some(identity) => {
                let bundle = NewSignerBundle { signer, credential_with_key: credential(identity, signer) };
                built.build_with_new_signer(provider.rand(), provider.crypto(), signer, bundle, |_| true)
            }
        };
        let (commit, welcome, _) = bundle.unwrap().stage_commit(&*provider).unwrap().into_messages();
        (commit.to_bytes().unwrap(), welcome.map(|welcome| welcome.to_bytes().unwrap()))
    }

    pub fn merge(&mut self) {
        let Self { provider, group, .. } = self;
        group.as_mut().unwrap().merge_pending_commit(provider).unwrap();
    }

    /// Processes a message of another member: stores a proposal, merges a commit.
    pub fn receive(&mut self, bytes: &[u8]) {
        let message = match body(bytes) {
            MlsMessageBodyIn::PublicMessage(message) => ProtocolMessage::from(message),
            MlsMessageBodyIn::PrivateMessage(message) => ProtocolMessage::from(message),
            _ => panic!("not a message to a group"),
        };
        let Self { provider, group, .. } = self;
        let group = group.as_mut().unwrap();
        match group.process_message(&*provider, message).unwrap().into_content() {
            ProcessedMessageContent::ProposalMessage(proposal) => {
                group.store_pending_proposal(provider.storage(), *proposal).unwrap();
            }
            ProcessedMessageContent::StagedCommitMessage(staged) => {
                group.merge_staged_commit(&*provider, *staged).unwrap();
            }
            _ => {}
        }
    }

    pub fn propose_add(&mut self, key_package: &KeyPackage) -> Vec<u8> {
        let Self { provider, signer, group, .. } = self;
        let signer = &**signer;
        group.as_mut().unwrap().propose_add_member(provider, signer, key_package).unwrap().0.to_bytes().unwrap()
    }

    /// Creates an update proposal with these parameters.
    pub fn propose_update(&mut self, parameters: LeafNodeParameters) -> Vec<u8> {
        let Self { provider, signer, group, .. } = self;
        let proposal = group.as_mut().unwrap().propose_self_update(provider, &**signer, parameters);
        proposal.unwrap().0.to_bytes().unwrap()
    }

    /// Creates an update proposal with another identity.
    pub fn propose_update_as(&mut self, identity: &[u8]) -> Vec<u8> {
        let credential = credential(identity, &self.signer);
        self.propose_update(LeafNodeParameters::builder().with_credential_with_key(credential).build())
    }

    /// Creates an update proposal that sets another intruder's signature key as the leaf's new key.
    pub fn propose_update_with_key_of(&mut self, other: &Self) -> Vec<u8> {
        let Self { provider, signer, identity, group, .. } = self;
        let new = NewSignerBundle { signer: &*other.signer, credential_with_key: credential(identity, &other.signer) };
        let parameters = LeafNodeParameters::default();
        let proposal =
            group.as_mut().unwrap().propose_self_update_with_new_signer(provider, &**signer, new, parameters);
        proposal.unwrap().0.to_bytes().unwrap()
    }

    /// Creates an external commit to the group.
    pub fn join_external(&mut self, group_info: &[u8]) -> Vec<u8> {
        let MlsMessageBodyIn::GroupInfo(group_info) = body(group_info) else { panic!("not a group info") };
        let Self { provider, signer, identity, .. } = self;
        let signer = &**signer;
        let builder = MlsGroup::external_commit_builder().with_config(Self::config()).skip_lifetime_validation();
        let (group, bundle) = builder
            .build_group(provider, group_info, credential(identity, signer))
            .unwrap()
            .leaf_node_parameters(LeafNodeParameters::builder().with_capabilities(Self::capabilities()).build())
            .load_psks(provider.storage())
            .unwrap()
            .build(provider.rand(), provider.crypto(), signer, |_| true)
            .unwrap()
            .finalize(&*provider)
            .unwrap();
        self.group = Some(group);
        bundle.into_commit().to_bytes().unwrap()
    }

    pub fn group_info(&mut self) -> Vec<u8> {
        let Self { provider, signer, group, .. } = self;
        let signer = &**signer;
        let info = group.as_ref().unwrap().export_group_info(provider.crypto(), signer, true).unwrap();
        info.to_bytes().unwrap()
    }
}

pub fn credential(identity: &[u8], signer: &SignatureKeyPair) -> CredentialWithKey {
    CredentialWithKey {
        credential: BasicCredential::new(identity.to_vec()).into(),
        signature_key: signer.public().into(),
    }
}

/// Encodes a key package for publication.
pub fn publish(key_package: &KeyPackage) -> KeyPackageBytes {
    KeyPackageBytes::new(MlsMessageOut::from(key_package.clone()).tls_serialize_detached().unwrap())
}

/// Decodes a published key package.
pub fn unpublish(bytes: &KeyPackageBytes) -> KeyPackage {
    let MlsMessageBodyIn::KeyPackage(key_package) = body(bytes.as_bytes()) else { panic!("not a key package") };
    key_package.validate(MemoryProvider::default().crypto(), ProtocolVersion::Mls10).unwrap()
}

fn body(bytes: &[u8]) -> MlsMessageBodyIn {
    MlsMessageIn::tls_deserialize_exact_bytes(bytes).unwrap().extract()
}

/// Creates a group of Alice with Bob and the intruder Mallory.
pub fn infiltrate(bob: &mut Client) -> (Client, Intruder) {
    let (mut alice, mut mallory) = (client("alice"), Intruder::new(&device("mallory").to_identity()));
    alice.create_group(group(), NOW).unwrap();
    let key_packages = [key_package(bob), publish(&mallory.key_package())];
    let pending = alice.group(&group()).unwrap().add(&key_packages, NOW).unwrap();
    bob.join(pending.welcome().unwrap(), NOW).unwrap();
    mallory.join(pending.welcome().unwrap());
    alice.confirm(pending, NOW).unwrap();
    (alice, mallory)
}
