//! A member on mls-rs with its in-memory storage. It stores the group after every operation, as
//! the engine does.

use std::marker::PhantomData;

use mls_rs::{
    CipherSuite, CipherSuiteProvider, Client, CryptoProvider, Group, MlsMessage,
    client_builder::{
        BaseConfig, PaddingMode, WithCryptoProvider, WithGroupStateStorage, WithIdentityProvider, WithMlsRules,
    },
    group::ReceivedMessage,
    identity::{
        SigningIdentity,
        basic::{BasicCredential, BasicIdentityProvider},
    },
    mls_rules::{CommitOptions, DefaultMlsRules, EncryptionOptions},
    storage_provider::in_memory::InMemoryGroupStateStorage,
};
use mls_rs_crypto_awslc::AwsLcCryptoProvider;
use mls_rs_crypto_rustcrypto::RustCryptoProvider;

use crate::workload::{BenchmarkMember, GROUP, identity};

/// The ciphersuite of the engine's default policy.
const CIPHERSUITE: CipherSuite = CipherSuite::CURVE25519_AES128;

/// The cryptography of a member.
pub trait Crypto: Send {
    type Provider: CryptoProvider + Clone + Default;
}

/// mls-rs on RustCrypto's implementations.
pub struct RustCrypto;

impl Crypto for RustCrypto {
    type Provider = RustCryptoProvider;
}

/// mls-rs on aws-lc.
pub struct AwsLc;

impl Crypto for AwsLc {
    type Provider = AwsLcCryptoProvider;
}

type Config<P> = WithCryptoProvider<
    P,
    WithMlsRules<
        DefaultMlsRules,
        WithIdentityProvider<BasicIdentityProvider, WithGroupStateStorage<InMemoryGroupStateStorage, BaseConfig>>,
    >,
>;

/// A member on mls-rs.
pub struct MlsRsMember<C: Crypto> {
    client: Client<Config<C::Provider>>,
    group: Option<Group<Config<C::Provider>>>,
    crypto: PhantomData<C>,
}

/// A commit of an [`MlsRsMember`], with encoded messages.
pub struct EncodedCommit {
    commit: Vec<u8>,
    welcome: Option<Vec<u8>>,
}

/// Every commit has a path, as the engine's commits have. The handshake is not encrypted, as in the
/// engine's default policy. The padding is the mode of mls-rs that comes nearest to the engine's:
/// for 100 bytes, the two paddings differ by at most 64 bytes.
fn rules() -> DefaultMlsRules {
    DefaultMlsRules::new()
        .with_commit_options(CommitOptions::new().with_path_required(true).with_ratchet_tree_extension(true))
        .with_encryption_options(EncryptionOptions::new(false, PaddingMode::StepFunction))
}

fn decoded(bytes: &[u8]) -> MlsMessage {
    MlsMessage::from_bytes(bytes).unwrap()
}

impl<C: Crypto> MlsRsMember<C> {
    fn group(&mut self) -> &mut Group<Config<C::Provider>> {
        self.group.as_mut().unwrap()
    }

    /// Runs an operation of the group and stores the group.
    fn stored<T>(&mut self, act: impl FnOnce(&mut Group<Config<C::Provider>>) -> T) -> T {
        let value = act(self.group());
        self.group().write_to_storage().unwrap();
        value
    }

    fn commit(
        &mut self,
        propose: impl FnOnce(
            mls_rs::group::CommitBuilder<'_, Config<C::Provider>>,
        ) -> mls_rs::group::CommitBuilder<'_, Config<C::Provider>>,
    ) -> EncodedCommit {
        let output = self.stored(|group| propose(group.commit_builder()).build().unwrap());
        EncodedCommit {
            commit: output.commit_message().to_bytes().unwrap(),
            welcome: output.welcome_messages().first().map(|welcome| welcome.to_bytes().unwrap()),
        }
    }
}

impl<C: Crypto> BenchmarkMember for MlsRsMember<C> {
    type Commit = EncodedCommit;

    fn new(name: &str) -> Self {
        let provider = C::Provider::default();
        let (secret, public) = provider.cipher_suite_provider(CIPHERSUITE).unwrap().signature_key_generate().unwrap();
        let credential = BasicCredential::new(identity(name)).into_credential();
        // One past epoch is the smallest number that this storage accepts. The engine stores none.
        let storage = InMemoryGroupStateStorage::new().with_max_epoch_retention(1).unwrap();
        let client = Client::builder()
            .group_state_storage(storage)
            .identity_provider(BasicIdentityProvider)
            .mls_rules(rules())
            .crypto_provider(provider)
            .signing_identity(SigningIdentity::new(credential, public), secret, CIPHERSUITE)
            .build();
        Self { client, group: None, crypto: PhantomData }
    }

    fn create_group(&mut self) {
        let id = GROUP.as_bytes().to_vec();
        let group = self.client.create_group_with_id(id, Default::default(), Default::default(), None).unwrap();
        self.group = Some(group);
        self.stored(|_| ());
    }

    fn key_package(&mut self) -> Vec<u8> {
        let message = self.client.generate_key_package_message(Default::default(), Default::default(), None);
        message.unwrap().to_bytes().unwrap()
    }

    fn add(&mut self, key_packages: &[Vec<u8>]) -> EncodedCommit {
        self.commit(|builder| {
            key_packages.iter().fold(builder, |builder, bytes| builder.add_member(decoded(bytes)).unwrap())
        })
    }

    fn remove(&mut self, name: &str) -> EncodedCommit {
        let index = self.group().member_with_identity(&identity(name)).unwrap().index;
        self.commit(|builder| builder.remove_member(index).unwrap())
    }

    fn update(&mut self) -> EncodedCommit {
        self.commit(|builder| builder)
    }

    fn confirm(&mut self, _: EncodedCommit) {
        self.stored(|group| drop(group.apply_pending_commit().unwrap()));
    }

    fn abandon(&mut self, _: EncodedCommit) {
        self.stored(Group::clear_pending_commit);
    }

    fn join(&mut self, welcome: &[u8]) {
        let (group, _) = self.client.join_group(None, &decoded(welcome), None).unwrap();
        self.group = Some(group);
        self.stored(|_| ());
    }

    fn join_external(&mut self, group_info: &[u8]) -> Vec<u8> {
        let (group, commit) = self.client.commit_external(decoded(group_info)).unwrap();
        self.group = Some(group);
        self.stored(|_| ());
        commit.to_bytes().unwrap()
    }

    fn group_info(&mut self) -> Vec<u8> {
        self.group().group_info_message_allowing_ext_commit(true).unwrap().to_bytes().unwrap()
    }

    fn send(&mut self, text: &[u8]) -> Vec<u8> {
        let message = self.stored(|group| group.encrypt_application_message(text, Vec::new()).unwrap());
        message.to_bytes().unwrap()
    }

    fn receive(&mut self, bytes: &[u8]) {
        match self.stored(|group| group.process_incoming_message(decoded(bytes)).unwrap()) {
            ReceivedMessage::Commit(_) | ReceivedMessage::ApplicationMessage(_) => {}
            other => panic!("{other:?}"),
        }
    }

    fn epoch_authenticator(&mut self) -> Vec<u8> {
        self.group().epoch_authenticator().unwrap().as_bytes().to_vec()
    }

    fn bytes(commit: &EncodedCommit) -> &[u8] {
        &commit.commit
    }

    fn welcome(commit: &EncodedCommit) -> &[u8] {
        commit.welcome.as_ref().unwrap()
    }
}
