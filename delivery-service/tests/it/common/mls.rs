//! Plain MLS clients over OpenMLS.

use std::collections::BTreeSet;

use openmls::{
    group::GroupContext,
    prelude::{
        tls_codec::{Deserialize as _, Serialize as _},
        *,
    },
};
use openmls_basic_credential::SignatureKeyPair;
use openmls_rust_crypto::OpenMlsRustCrypto;
use regrow_delivery_service::{
    ClaimOutcome, CommitSubmission, DeliveryService, DeviceId, Epoch, GroupId, HandshakeMode, RosterChange, Sequence,
    Store,
};
use regrow_protocol::profile::{USE_PERIOD_EXTENSION, UsePeriod};

use super::{NOW, accepted, device, register, room};

pub const CIPHERSUITE: Ciphersuite = Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519;
/// The group context extension with the group data of the application.
pub const APPLICATION_DATA: ExtensionType = ExtensionType::Unknown(0xF752);
/// A group context extension that these clients support and Regrow's devices do not.
pub const OTHER_EXTENSION: u16 = 0xF7FE;

/// An MLS client of one device that is in no group.
pub struct Client {
    pub id: DeviceId,
    provider: OpenMlsRustCrypto,
    signer: SignatureKeyPair,
    credential: CredentialWithKey,
    /// True if its welcomes and group infos contain the ratchet tree.
    pub sends_trees: bool,
}

impl Client {
    /// A client on the user's phone.
    pub fn new(user: &str) -> Self {
        Self::of(device(user))
    }

    pub fn of(id: DeviceId) -> Self {
        let signer = SignatureKeyPair::new(CIPHERSUITE.signature_algorithm()).unwrap();
        let credential = CredentialWithKey {
            credential: BasicCredential::new(id.to_identity()).into(),
            signature_key: signer.public().into(),
        };
        Self { id, provider: OpenMlsRustCrypto::default(), signer, credential, sends_trees: true }
    }

    pub fn without_trees(self) -> Self {
        Self { sends_trees: false, ..self }
    }

    pub fn key_package(&self) -> KeyPackage {
        let bundle = KeyPackage::builder()
            .key_package_lifetime(Lifetime::init(0, u64::MAX))
            .leaf_node_capabilities(capabilities())
            .build(CIPHERSUITE, &self.provider, &self.signer, self.credential.clone())
            .unwrap();
        bundle.key_package().clone()
    }

    /// Registers the device and uploads a key package. `claimer` then claims this key package.
    pub fn claimed_by<S: Store>(&self, service: &DeliveryService<S>, claimer: &DeviceId) -> KeyPackage {
        let key_package = self.key_package();
        register(service, &self.id);
        let bytes = MlsMessageOut::from(key_package.clone()).to_bytes().unwrap();
        service.upload_key_packages(&self.id, std::slice::from_ref(&bytes), None, NOW).unwrap();
        // The service hands out earlier uploads first.
        while let ClaimOutcome::Claimed(claimed) = service.claim_key_package(&self.id, claimer, NOW).unwrap() {
            if claimed.bytes == bytes {
                return key_package;
            }
        }
        panic!("the key package is not handed out")
    }

    /// A last-resort key package that fits every group of these tests.
    pub fn last_resort_key_package(&self) -> KeyPackage {
        let extensions = vec![APPLICATION_DATA, ExtensionType::LastResort];
        let bundle = KeyPackage::builder()
            .key_package_lifetime(Lifetime::init(0, u64::MAX))
            .leaf_node_capabilities(Capabilities::builder().extensions(extensions).build())
            .mark_as_last_resort()
            .build(CIPHERSUITE, &self.provider, &self.signer, self.credential.clone())
            .unwrap();
        bundle.key_package().clone()
    }

    /// A key package, encoded for the upload.
    pub fn upload(&self, not_before: u64, not_after: u64, last_resort: bool) -> Vec<u8> {
        let mut builder = KeyPackage::builder().key_package_lifetime(Lifetime::init(not_before, not_after));
        if last_resort {
            builder = builder
                .leaf_node_capabilities(Capabilities::builder().extensions(vec![ExtensionType::LastResort]).build());
            builder = builder.mark_as_last_resort();
        }
        let bundle = builder.build(CIPHERSUITE, &self.provider, &self.signer, self.credential.clone()).unwrap();
        MlsMessageOut::from(bundle.key_package().clone()).to_bytes().unwrap()
    }

    /// A key package for this period of use, encoded for the upload.
    pub fn upload_for(&self, period: UsePeriod) -> Vec<u8> {
        self.upload_with(USE_PERIOD_EXTENSION, period.to_bytes().to_vec())
    }

    /// A key package of at least `bytes` bytes, encoded for the upload.
    pub fn padded_upload(&self, bytes: usize) -> Vec<u8> {
        self.upload_with(OTHER_EXTENSION, vec![0; bytes])
    }

    /// A key package with this extension, encoded for the upload.
    fn upload_with(&self, kind: u16, content: Vec<u8>) -> Vec<u8> {
        let extension = Extension::Unknown(kind, UnknownExtension(content));
        let supported = vec![ExtensionType::Unknown(kind)];
        let builder = KeyPackage::builder()
            .key_package_lifetime(Lifetime::init(0, u64::MAX))
            .leaf_node_capabilities(Capabilities::builder().extensions(supported).build())
            .key_package_extensions(Extensions::single(extension).unwrap());
        let bundle = builder.build(CIPHERSUITE, &self.provider, &self.signer, self.credential.clone()).unwrap();
        MlsMessageOut::from(bundle.key_package().clone()).to_bytes().unwrap()
    }

    /// Creates a group with one member, here and at the service.
    pub fn create<S: Store>(self, service: &DeliveryService<S>, mode: HandshakeMode) -> Member {
        let sends_trees = self.sends_trees;
        let mut member = Self { sends_trees: true, ..self }.create_unregistered(&room(), mode);
        let outcome = service.create_group(&room(), &member.id(), mode, &member.group_info(), NOW).unwrap();
        assert_eq!(accepted(&outcome), Some((Sequence(0), Epoch(0))));
        member.client.sends_trees = sends_trees;
        member
    }

    pub fn credential(&self) -> &CredentialWithKey {
        &self.credential
    }

    /// Creates an assisted group with one member and this extension in its group context. The
    /// service does not know the group.
    pub fn create_with_extension(self, kind: u16) -> Member {
        let extension = Extension::Unknown(kind, UnknownExtension(vec![1]));
        let config = MlsGroupCreateConfig::builder()
            .ciphersuite(CIPHERSUITE)
            .wire_format_policy(wire_format(HandshakeMode::Assisted))
            .use_ratchet_tree_extension(true)
            .capabilities(capabilities())
            .with_group_context_extensions(Extensions::single(extension).unwrap())
            .build();
        let id = openmls::group::GroupId::from_slice(room().as_bytes());
        let group =
            MlsGroup::new_with_group_id(&self.provider, &self.signer, &config, id, self.credential.clone()).unwrap();
        Member { client: self, group }
    }

    /// Creates a group with one member. The service does not know the group.
    pub fn create_unregistered(self, id: &GroupId, mode: HandshakeMode) -> Member {
        let config = MlsGroupCreateConfig::builder()
            .ciphersuite(CIPHERSUITE)
            .wire_format_policy(wire_format(mode))
            .use_ratchet_tree_extension(true)
            .lifetime(Lifetime::init(0, u64::MAX))
            .capabilities(capabilities())
            .build();
        let group = MlsGroup::new_with_group_id(
            &self.provider,
            &self.signer,
            &config,
            openmls::group::GroupId::from_slice(id.as_bytes()),
            self.credential.clone(),
        )
        .unwrap();
        Member { client: self, group }
    }

    /// The same client with the same keys and another device name.
    pub fn renamed(mut self, user: &str) -> Self {
        self.id = device(user);
        self.with_identity(&device(user).to_identity())
    }

    /// The same client with these bytes as the identity in its credential.
    pub fn with_identity(mut self, identity: &[u8]) -> Self {
        self.credential.credential = BasicCredential::new(identity.to_vec()).into();
        self
    }

    pub fn join(self, welcome: &[u8], mode: HandshakeMode) -> Member {
        self.join_with(welcome, None, mode)
    }

    pub fn join_with(self, welcome: &[u8], tree: Option<&[u8]>, mode: HandshakeMode) -> Member {
        let MlsMessageBodyIn::Welcome(welcome) = parse(welcome) else { panic!("not a welcome") };
        let tree = tree.map(|tree| RatchetTreeIn::tls_deserialize_exact(tree).unwrap());
        let group = StagedWelcome::new_from_welcome(&self.provider, &join_config(mode), welcome, tree)
            .unwrap()
            .into_group(&self.provider)
            .unwrap();
        Member { client: self, group }
    }

    /// Makes an external commit on a group info. The member is usable after the service has
    /// accepted the commit.
    pub fn join_externally(self, group_info: &[u8], mode: HandshakeMode) -> (Member, CommitSubmission) {
        let MlsMessageBodyIn::GroupInfo(group_info) = parse(group_info) else { panic!("not a group info") };
        let present: Vec<_> = group_info
            .extensions()
            .ratchet_tree()
            .unwrap()
            .ratchet_tree()
            .leaves()
            .map(|leaf| leaf.credential().clone())
            .collect();
        let rejoins = present.contains(&self.credential.credential);
        let (group, bundle) = MlsGroup::external_commit_builder()
            .with_config(join_config(mode))
            .build_group(&self.provider, group_info, self.credential.clone())
            .unwrap()
            .leaf_node_parameters(LeafNodeParameters::builder().with_capabilities(capabilities()).build())
            .load_psks(self.provider.storage())
            .unwrap()
            .build(self.provider.rand(), self.provider.crypto(), &self.signer, |_| true)
            .unwrap()
            .finalize(&self.provider)
            .unwrap();
        let (commit, _, group_info) = bundle.into_messages();
        let id = BTreeSet::from([self.id.clone()]);
        let submission = CommitSubmission {
            group: room(),
            sender: self.id.clone(),
            commit: commit.to_bytes().unwrap(),
            welcome: None,
            group_info: group_info.map(|group_info| group_info.to_bytes().unwrap()),
            roster_change: RosterChange { added: id.clone(), removed: if rejoins { id } else { BTreeSet::new() } },
        };
        (Member { client: self, group }, submission)
    }

    /// Makes an external proposal to add this device (RFC 9420, 12.1.8).
    pub fn propose_itself(&self, epoch: Epoch) -> Vec<u8> {
        JoinProposal::new::<<OpenMlsRustCrypto as OpenMlsProvider>::StorageProvider>(
            self.key_package(),
            openmls::group::GroupId::from_slice(room().as_bytes()),
            epoch.0.into(),
            &self.signer,
        )
        .unwrap()
        .to_bytes()
        .unwrap()
    }
}

/// A client that is a member of a group.
pub struct Member {
    pub client: Client,
    group: MlsGroup,
}

impl Member {
    pub fn id(&self) -> DeviceId {
        self.client.id.clone()
    }

    pub fn epoch(&self) -> Epoch {
        Epoch(self.group.epoch().as_u64())
    }

    pub fn authenticator(&self) -> Vec<u8> {
        self.group.epoch_authenticator().as_slice().to_vec()
    }

    /// The group info, with the ratchet tree if the client sends trees.
    pub fn group_info(&self) -> Vec<u8> {
        let Client { provider, signer, sends_trees, .. } = &self.client;
        self.group.export_group_info(provider.crypto(), signer, *sends_trees).unwrap().to_bytes().unwrap()
    }

    pub fn tree(&self) -> Vec<u8> {
        self.group.export_ratchet_tree().tls_serialize_detached().unwrap()
    }

    pub fn send(&mut self, text: &str) -> Vec<u8> {
        let Client { provider, signer, .. } = &self.client;
        self.group.create_message(provider, signer, text.as_bytes()).unwrap().to_bytes().unwrap()
    }

    /// Makes a commit that adds and removes devices. It is pending until `confirm` or `discard`.
    pub fn commit(&mut self, add: &[KeyPackage], remove: &[&DeviceId]) -> CommitSubmission {
        self.commit_with(add, remove, None)
    }

    fn commit_with(
        &mut self,
        add: &[KeyPackage],
        remove: &[&DeviceId],
        extensions: Option<Extensions<GroupContext>>,
    ) -> CommitSubmission {
        let removed = remove.iter().map(|device| self.leaf_of(device)).collect::<Vec<_>>();
        let Client { provider, signer, .. } = &self.client;
        let mut builder = self
            .group
            .commit_builder()
            .force_self_update(true)
            .propose_adds(add.iter().cloned())
            .propose_removals(removed);
        if let Some(extensions) = extensions {
            builder = builder.propose_group_context_extensions(extensions).unwrap();
        }
        let bundle = builder
            .load_psks(provider.storage())
            .unwrap()
            .use_ratchet_tree_extension(self.client.sends_trees)
            .create_group_info(true)
            .build(provider.rand(), provider.crypto(), signer, |_| true)
            .unwrap()
            .stage_commit(provider)
            .unwrap();
        let mut change = RosterChange::default();
        let staged = self.group.pending_commit().unwrap();
        for queued in staged.add_proposals() {
            change.added.extend(identity(queued.add_proposal().key_package().leaf_node().credential()));
        }
        for queued in staged.remove_proposals() {
            let leaf = self.group.member(queued.remove_proposal().removed()).unwrap();
            change.removed.extend(identity(leaf));
        }
        let (commit, welcome, group_info) = bundle.into_messages();
        CommitSubmission {
            group: room(),
            sender: self.id(),
            commit: commit.to_bytes().unwrap(),
            welcome: welcome.map(|welcome| welcome.to_bytes().unwrap()),
            group_info: group_info.map(|group_info| group_info.to_bytes().unwrap()),
            roster_change: change,
        }
    }

    /// The group context extensions with this group data. A version byte comes before the data.
    fn with_data(&self, data: &[u8]) -> Extensions<GroupContext> {
        let required = RequiredCapabilitiesExtension::new(&[APPLICATION_DATA], &[], &[]);
        let mut extensions = self.group.extensions().clone();
        extensions.add_or_replace(Extension::RequiredCapabilities(required)).unwrap();
        let data = UnknownExtension([&[1], data].concat());
        extensions.add_or_replace(Extension::Unknown(APPLICATION_DATA.into(), data)).unwrap();
        extensions
    }

    /// Makes a commit that sets the group data and adds these devices.
    pub fn commit_data(&mut self, data: &[u8], add: &[KeyPackage]) -> CommitSubmission {
        let extensions = self.with_data(data);
        self.commit_with(add, &[], Some(extensions))
    }

    /// The group context extensions with an additional one.
    fn with_extension(&self, extension: Extension) -> Extensions<GroupContext> {
        let required = RequiredCapabilitiesExtension::new(&[extension.extension_type()], &[], &[]);
        let mut extensions = self.group.extensions().clone();
        if matches!(extension, Extension::Unknown(..)) {
            extensions.add_or_replace(Extension::RequiredCapabilities(required)).unwrap();
        }
        extensions.add_or_replace(extension).unwrap();
        extensions
    }

    pub fn commit_extension(&mut self, extension: Extension) -> CommitSubmission {
        let extensions = self.with_extension(extension);
        self.commit_with(&[], &[], Some(extensions))
    }

    pub fn propose_extension(&mut self, extension: Extension) -> Vec<u8> {
        let extensions = self.with_extension(extension);
        let Client { provider, signer, .. } = &self.client;
        self.group.propose_group_context_extensions(provider, extensions, signer).unwrap().0.to_bytes().unwrap()
    }

    pub fn propose_psk(&mut self) -> Vec<u8> {
        let Client { provider, signer, .. } = &self.client;
        let psk = openmls::schedule::PreSharedKeyId::external(vec![1], vec![2; CIPHERSUITE.hash_length()]);
        self.group.propose_pre_shared_key(provider, signer, psk).unwrap().0.to_bytes().unwrap()
    }

    pub fn propose_data(&mut self, data: &[u8]) -> Vec<u8> {
        let extensions = self.with_data(data);
        let Client { provider, signer, .. } = &self.client;
        self.group.propose_group_context_extensions(provider, extensions, signer).unwrap().0.to_bytes().unwrap()
    }

    /// The group data, without the version byte.
    pub fn data(&self) -> Option<Vec<u8>> {
        self.group.extensions().unknown(APPLICATION_DATA.into()).map(|extension| extension.0[1..].to_vec())
    }

    pub fn update(&mut self) -> CommitSubmission {
        self.commit(&[], &[])
    }

    pub fn confirm(&mut self) {
        self.group.merge_pending_commit(&self.client.provider).unwrap();
    }

    pub fn discard(&mut self) {
        self.group.clear_pending_commit(self.client.provider.storage()).unwrap();
    }

    pub fn propose_to_add(&mut self, key_package: &KeyPackage) -> Vec<u8> {
        let Client { provider, signer, .. } = &self.client;
        self.group.propose_add_member(provider, signer, key_package).unwrap().0.to_bytes().unwrap()
    }

    pub fn propose_to_leave(&mut self) -> Vec<u8> {
        let Client { provider, signer, .. } = &self.client;
        self.group.leave_group(provider, signer).unwrap().to_bytes().unwrap()
    }

    pub fn propose_to_remove(&mut self, device: &DeviceId) -> Vec<u8> {
        let leaf = self.leaf_of(device);
        let Client { provider, signer, .. } = &self.client;
        self.group.propose_remove_member(provider, signer, leaf).unwrap().0.to_bytes().unwrap()
    }

    pub fn propose_to_update(&mut self, credential_of: Option<&str>) -> Vec<u8> {
        let Client { provider, signer, credential, .. } = &self.client;
        let mut parameters = LeafNodeParameters::builder();
        if let Some(name) = credential_of {
            parameters = parameters.with_credential_with_key(CredentialWithKey {
                credential: BasicCredential::new(name.as_bytes().to_vec()).into(),
                signature_key: credential.signature_key.clone(),
            });
        }
        self.group.propose_self_update(provider, signer, parameters.build()).unwrap().0.to_bytes().unwrap()
    }

    /// Processes a delivered message. Returns the text if it is an application message.
    pub fn receive(&mut self, bytes: &[u8]) -> Option<String> {
        let provider = &self.client.provider;
        let message: ProtocolMessage = match parse(bytes) {
            MlsMessageBodyIn::PublicMessage(message) => message.into(),
            MlsMessageBodyIn::PrivateMessage(message) => message.into(),
            _ => panic!("not a message to the group"),
        };
        match self.group.process_message(provider, message).unwrap().into_content() {
            ProcessedMessageContent::ApplicationMessage(message) => {
                Some(String::from_utf8(message.into_bytes()).unwrap())
            }
            ProcessedMessageContent::ProposalMessage(proposal) => {
                self.group.store_pending_proposal(provider.storage(), *proposal).unwrap();
                None
            }
            ProcessedMessageContent::StagedCommitMessage(commit) => {
                self.group.merge_staged_commit(provider, *commit).unwrap();
                None
            }
            _ => panic!("unexpected content"),
        }
    }

    fn leaf_of(&self, device: &DeviceId) -> LeafNodeIndex {
        self.group.members().find(|member| identity(&member.credential).as_ref() == Some(device)).unwrap().index
    }
}

pub fn parse(bytes: &[u8]) -> MlsMessageBodyIn {
    MlsMessageIn::tls_deserialize_exact(bytes).unwrap().extract()
}

fn capabilities() -> Capabilities {
    Capabilities::builder().extensions(vec![APPLICATION_DATA, ExtensionType::Unknown(OTHER_EXTENSION)]).build()
}

/// The device that the credential names, if it names one.
fn identity(credential: &Credential) -> Option<DeviceId> {
    DeviceId::from_identity(BasicCredential::try_from(credential.clone()).unwrap().identity()).ok()
}

fn wire_format(mode: HandshakeMode) -> WireFormatPolicy {
    match mode {
        HandshakeMode::Assisted => PURE_PLAINTEXT_WIRE_FORMAT_POLICY,
        HandshakeMode::Opaque => PURE_CIPHERTEXT_WIRE_FORMAT_POLICY,
    }
}

fn join_config(mode: HandshakeMode) -> MlsGroupJoinConfig {
    MlsGroupJoinConfig::builder().wire_format_policy(wire_format(mode)).use_ratchet_tree_extension(true).build()
}
