//! A member of a group, on the engine and on OpenMLS alone. Both have the same calls and do the
//! same work.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use openmls::prelude::*;
use openmls_basic_credential::SignatureKeyPair;
use regrow_crypto::MemoryProvider;
use regrow_engine::{
    Client, DeviceId, GroupId as EngineGroupId, KeyPackageBytes, MemoryStore, PendingCommit, Policy, ReceivedEvent,
    Timestamp, default_crypto,
};

pub const GROUP: &str = "benchmark";

/// A member of the only group of a benchmark, or a device that will join it.
pub trait BenchmarkMember: Send + Sized {
    /// A commit that the service has not ordered yet.
    type Commit: Send;

    /// Creates a device that is in no group. Its commits have no group info.
    fn new(name: &str) -> Self;
    fn create_group(&mut self);
    fn key_package(&mut self) -> Vec<u8>;
    fn add(&mut self, key_packages: &[Vec<u8>]) -> Self::Commit;
    fn remove(&mut self, name: &str) -> Self::Commit;
    fn update(&mut self) -> Self::Commit;
    fn confirm(&mut self, commit: Self::Commit);
    fn abandon(&mut self, commit: Self::Commit);
    fn join(&mut self, welcome: &[u8]);
    /// Makes an external commit and confirms it. Returns the commit.
    fn join_external(&mut self, group_info: &[u8]) -> Vec<u8>;
    fn group_info(&mut self) -> Vec<u8>;
    fn send(&mut self, text: &[u8]) -> Vec<u8>;
    fn receive(&mut self, bytes: &[u8]);
    fn epoch_authenticator(&mut self) -> Vec<u8>;

    fn bytes(commit: &Self::Commit) -> &[u8];
    fn welcome(commit: &Self::Commit) -> &[u8];
}

/// A member whose commits can include a group info.
pub trait PublishesGroupInfo: BenchmarkMember {
    /// Makes all later commits include a group info.
    fn publish_group_info(&mut self);
}

fn device(name: &str) -> DeviceId {
    DeviceId::new(name, "phone").unwrap()
}

/// Returns the identity in the credential of a member. All sides use the same.
pub fn identity(name: &str) -> Vec<u8> {
    device(name).to_identity()
}

fn group() -> EngineGroupId {
    EngineGroupId::new(GROUP).unwrap()
}

fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs())
}

/// A member on the engine, with its memory store.
pub struct EngineMember {
    pub client: Client,
    pub store: MemoryStore,
}

impl EngineMember {
    /// Makes an external commit with the group info of its new epoch, and does not confirm it.
    pub fn commit_from_outside(&mut self, group_info: &[u8]) -> (Vec<u8>, Vec<u8>) {
        self.publish_group_info();
        let pending = self.client.join_external(group_info).unwrap();
        (pending.commit().to_vec(), pending.group_info().unwrap().to_vec())
    }
}

impl PublishesGroupInfo for EngineMember {
    fn publish_group_info(&mut self) {
        let policy = Policy { publish_group_info: true, ..Policy::default() };
        self.client = Client::open(Arc::new(self.store.clone()), default_crypto(), policy).unwrap();
    }
}

impl BenchmarkMember for EngineMember {
    type Commit = PendingCommit;

    fn new(name: &str) -> Self {
        let store = MemoryStore::new();
        let policy = Policy { publish_group_info: false, ..Policy::default() };
        let client = Client::create(Arc::new(store.clone()), default_crypto(), device(name), policy).unwrap();
        Self { client, store }
    }

    fn create_group(&mut self) {
        self.client.create_group(group(), now()).unwrap();
    }

    fn key_package(&mut self) -> Vec<u8> {
        self.client.key_packages(1, now()).unwrap().remove(0).into_bytes()
    }

    fn add(&mut self, key_packages: &[Vec<u8>]) -> PendingCommit {
        let key_packages: Vec<_> = key_packages.iter().map(|bytes| KeyPackageBytes::new(bytes.as_slice())).collect();
        self.client.group(&group()).unwrap().add(&key_packages, now()).unwrap()
    }

    fn remove(&mut self, name: &str) -> PendingCommit {
        self.client.group(&group()).unwrap().remove(&[device(name)]).unwrap()
    }

    fn update(&mut self) -> PendingCommit {
        self.client.group(&group()).unwrap().update().unwrap()
    }

    fn confirm(&mut self, commit: PendingCommit) {
        self.client.confirm(commit, now()).unwrap();
    }

    fn abandon(&mut self, _: PendingCommit) {
        self.client.group(&group()).unwrap().abandon().unwrap();
    }

    fn join(&mut self, welcome: &[u8]) {
        self.client.join(welcome, now()).unwrap();
    }

    fn join_external(&mut self, group_info: &[u8]) -> Vec<u8> {
        let pending = self.client.join_external(group_info).unwrap();
        let commit = pending.commit().to_vec();
        self.client.confirm(pending, now()).unwrap();
        commit
    }

    fn group_info(&mut self) -> Vec<u8> {
        self.client.group(&group()).unwrap().group_info().unwrap()
    }

    fn send(&mut self, text: &[u8]) -> Vec<u8> {
        self.client.group(&group()).unwrap().send(text).unwrap()
    }

    fn receive(&mut self, bytes: &[u8]) {
        match self.client.receive(bytes, now()).unwrap().event {
            ReceivedEvent::Commit(_) | ReceivedEvent::Message(_) => {}
            other => panic!("{other:?}"),
        }
    }

    fn epoch_authenticator(&mut self) -> Vec<u8> {
        self.client.group(&group()).unwrap().epoch_authenticator().unwrap().as_bytes().to_vec()
    }

    fn bytes(commit: &PendingCommit) -> &[u8] {
        commit.commit()
    }

    fn welcome(commit: &PendingCommit) -> &[u8] {
        commit.welcome().unwrap()
    }
}

/// A member on OpenMLS with the memory storage of OpenMLS, as in an application without the engine.
/// It uses the options of the engine's default policy.
pub struct RawMember {
    provider: MemoryProvider,
    signer: SignatureKeyPair,
    identity: Vec<u8>,
    group_info: bool,
    group: Option<MlsGroup>,
}

/// A commit of a [`RawMember`], with encoded messages.
pub struct RawCommit {
    commit: Vec<u8>,
    welcome: Option<Vec<u8>>,
    /// Encoded because the engine also encodes it.
    #[allow(dead_code)]
    group_info: Option<Vec<u8>>,
}

impl RawMember {
    fn credential(&self) -> CredentialWithKey {
        CredentialWithKey {
            credential: BasicCredential::new(self.identity.clone()).into(),
            signature_key: self.signer.public().into(),
        }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(
            Some(&[ProtocolVersion::Mls10]),
            Some(&self.provider.crypto().supported_ciphersuites()),
            Some(&[ExtensionType::LastResort]),
            None,
            Some(&[CredentialType::Basic]),
        )
    }

    fn join_config() -> MlsGroupJoinConfig {
        let policy = Policy::default();
        MlsGroupJoinConfig::builder()
            .wire_format_policy(PURE_PLAINTEXT_WIRE_FORMAT_POLICY)
            .padding_size(policy.padding)
            .max_past_epochs(policy.past_epochs)
            .number_of_resumption_psks(0)
            .use_ratchet_tree_extension(true)
            .sender_ratchet_configuration(SenderRatchetConfiguration::new(policy.out_of_order, policy.max_forward))
            .build()
    }

    fn commit(&mut self, add: Vec<KeyPackage>, remove: Vec<LeafNodeIndex>) -> RawCommit {
        let bundle = self
            .group
            .as_mut()
            .unwrap()
            .commit_builder()
            .force_self_update(true)
            .propose_adds(add)
            .propose_removals(remove)
            .load_psks(self.provider.storage())
            .unwrap()
            .create_group_info(self.group_info)
            .build(self.provider.rand(), self.provider.crypto(), &self.signer, |_| true)
            .unwrap()
            .stage_commit(&self.provider)
            .unwrap();
        let (commit, welcome, group_info) = bundle.into_messages();
        let bytes = |message: MlsMessageOut| message.to_bytes().unwrap();
        RawCommit { commit: bytes(commit), welcome: welcome.map(bytes), group_info: group_info.map(bytes) }
    }
}

impl PublishesGroupInfo for RawMember {
    fn publish_group_info(&mut self) {
        self.group_info = true;
    }
}

impl BenchmarkMember for RawMember {
    type Commit = RawCommit;

    fn new(name: &str) -> Self {
        let signer = SignatureKeyPair::new(Policy::default().ciphersuite.signature_algorithm()).unwrap();
        let identity = identity(name);
        Self { provider: MemoryProvider::default(), signer, identity, group_info: false, group: None }
    }

    fn create_group(&mut self) {
        let policy = Policy::default();
        let group = MlsGroup::builder()
            .with_group_id(GroupId::from_slice(GROUP.as_bytes()))
            .ciphersuite(policy.ciphersuite)
            .with_wire_format_policy(PURE_PLAINTEXT_WIRE_FORMAT_POLICY)
            .padding_size(policy.padding)
            .max_past_epochs(policy.past_epochs)
            .number_of_resumption_psks(0)
            .use_ratchet_tree_extension(true)
            .sender_ratchet_configuration(SenderRatchetConfiguration::new(policy.out_of_order, policy.max_forward))
            .with_capabilities(self.capabilities())
            .build(&self.provider, &self.signer, self.credential())
            .unwrap();
        self.group = Some(group);
    }

    fn key_package(&mut self) -> Vec<u8> {
        let bundle = KeyPackage::builder()
            .leaf_node_capabilities(self.capabilities())
            .key_package_lifetime(Lifetime::new(Policy::default().key_package_lifetime))
            .build(Policy::default().ciphersuite, &self.provider, &self.signer, self.credential())
            .unwrap();
        MlsMessageOut::from(bundle.into_key_package()).to_bytes().unwrap()
    }

    fn add(&mut self, key_packages: &[Vec<u8>]) -> RawCommit {
        let verify = |bytes: &Vec<u8>| match MlsMessageIn::tls_deserialize_exact_bytes(bytes).unwrap().extract() {
            MlsMessageBodyIn::KeyPackage(unverified) => {
                unverified.validate(self.provider.crypto(), ProtocolVersion::Mls10).unwrap()
            }
            other => panic!("{other:?}"),
        };
        let verified = key_packages.iter().map(verify).collect();
        self.commit(verified, Vec::new())
    }

    fn remove(&mut self, name: &str) -> RawCommit {
        let credential = BasicCredential::new(identity(name)).into();
        let leaf = self.group.as_ref().unwrap().member_leaf_index(&credential).unwrap();
        self.commit(Vec::new(), vec![leaf])
    }

    fn update(&mut self) -> RawCommit {
        self.commit(Vec::new(), Vec::new())
    }

    fn confirm(&mut self, _: RawCommit) {
        self.group.as_mut().unwrap().merge_pending_commit(&self.provider).unwrap();
    }

    fn abandon(&mut self, _: RawCommit) {
        self.group.as_mut().unwrap().clear_pending_commit(self.provider.storage()).unwrap();
    }

    fn join(&mut self, welcome: &[u8]) {
        let MlsMessageBodyIn::Welcome(welcome) = MlsMessageIn::tls_deserialize_exact_bytes(welcome).unwrap().extract()
        else {
            panic!("not a welcome");
        };
        let processed = ProcessedWelcome::new_from_welcome(&self.provider, &Self::join_config(), welcome).unwrap();
        let staged = JoinBuilder::new(&self.provider, processed).skip_lifetime_validation().build().unwrap();
        self.group = Some(staged.into_group(&self.provider).unwrap());
    }

    fn join_external(&mut self, group_info: &[u8]) -> Vec<u8> {
        let MlsMessageBodyIn::GroupInfo(info) =
            MlsMessageIn::tls_deserialize_exact_bytes(group_info).unwrap().extract()
        else {
            panic!("not a group info");
        };
        let (group, bundle) = MlsGroup::external_commit_builder()
            .with_config(Self::join_config())
            .skip_lifetime_validation()
            .build_group(&self.provider, info, self.credential())
            .unwrap()
            .leaf_node_parameters(LeafNodeParameters::builder().with_capabilities(self.capabilities()).build())
            .load_psks(self.provider.storage())
            .unwrap()
            .create_group_info(self.group_info)
            .build(self.provider.rand(), self.provider.crypto(), &self.signer, |_| true)
            .unwrap()
            .finalize(&self.provider)
            .unwrap();
        self.group = Some(group);
        bundle.into_messages().0.to_bytes().unwrap()
    }

    fn group_info(&mut self) -> Vec<u8> {
        let group = self.group.as_ref().unwrap();
        group.export_group_info(self.provider.crypto(), &self.signer, true).unwrap().to_bytes().unwrap()
    }

    fn send(&mut self, text: &[u8]) -> Vec<u8> {
        let message = self.group.as_mut().unwrap().create_message(&self.provider, &self.signer, text).unwrap();
        message.to_bytes().unwrap()
    }

    fn receive(&mut self, bytes: &[u8]) {
        let message: ProtocolMessage = match MlsMessageIn::tls_deserialize_exact_bytes(bytes).unwrap().extract() {
            MlsMessageBodyIn::PublicMessage(message) => message.into(),
            MlsMessageBodyIn::PrivateMessage(message) => message.into(),
            other => panic!("{other:?}"),
        };
        let group = self.group.as_mut().unwrap();
        match group.process_message(&self.provider, message).unwrap().into_content() {
            ProcessedMessageContent::ApplicationMessage(text) => drop(text.into_bytes()),
            ProcessedMessageContent::StagedCommitMessage(staged) => {
                group.merge_staged_commit(&self.provider, *staged).unwrap();
            }
            other => panic!("{other:?}"),
        }
    }

    fn epoch_authenticator(&mut self) -> Vec<u8> {
        self.group.as_ref().unwrap().epoch_authenticator().as_slice().to_vec()
    }

    fn bytes(commit: &RawCommit) -> &[u8] {
        &commit.commit
    }

    fn welcome(commit: &RawCommit) -> &[u8] {
        commit.welcome.as_ref().unwrap()
    }
}
