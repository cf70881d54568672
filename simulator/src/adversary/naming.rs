//! The names of the secrets on the tape, in the words of RFC 9420.
//!
//! OpenMLS derives secrets with the labels of RFC 9420. The label is an input of the expansion, and
//! names the output. Names are for people who read a path; no result depends on them.

use std::fmt;

use crate::wire::variable;

/// The prefix of all labels (RFC 9420, 5.1.2, 5.1.3 and 8).
const LABEL_PREFIX: &[u8] = b"MLS 1.0 ";

/// The kind of a byte string on the tape. [`Display`](fmt::Display) gives its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SecretKind {
    /// Bytes that were drawn from the provider.
    Random,
    SignatureKey,
    /// The output of HKDF-Extract, which has no name of its own in RFC 9420.
    Extracted,
    /// The output of HKDF-Expand with an info that is no KDFLabel.
    Expanded,
    /// The output of HKDF-Expand with a label that RFC 9420 does not define.
    ExpandedAs(String),
    /// RFC 9420, 8.
    JoinerSecret,
    EpochSecret,
    WelcomeSecret,
    SenderDataSecret,
    EncryptionSecret,
    ExporterSecret,
    ExternalSecret,
    ConfirmationKey,
    MembershipKey,
    ResumptionPsk,
    EpochAuthenticator,
    InitSecret,
    /// The init secret that an external commit conveys (RFC 9420, 8.3).
    ExternalInitSecret,
    /// RFC 9420, 7.4.
    PathSecret,
    CommitSecret,
    NodeSecret,
    /// A child in the secret tree: "left" or "right" (RFC 9420, 9).
    TreeChild(String),
    ApplicationRatchet,
    HandshakeRatchet,
    RatchetAt(u32),
    KeyOfGeneration(u32),
    NonceOfGeneration(u32),
    KeyFromSenderData,
    KeyFromWelcome,
    /// The private key of a leaf or a key package.
    PrivateKey,
    NodePrivateKey,
    /// The private key for external commits (RFC 9420, 8.3).
    ExternalPrivateKey,
    GroupSecrets,
    HpkePlaintext,
    AeadPlaintext,
    MessageText,
    Ciphertext,
    /// A confirmation or membership tag.
    Tag,
    /// An input that the provider never made.
    Unknown,
}

impl fmt::Display for SecretKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Random => "random bytes",
            Self::SignatureKey => "signature key",
            Self::Extracted => "extracted secret",
            Self::Expanded => "expanded secret",
            Self::ExpandedAs(label) => return write!(f, "secret expanded as \"{label}\""),
            Self::JoinerSecret => "joiner_secret",
            Self::EpochSecret => "epoch_secret",
            Self::WelcomeSecret => "welcome_secret",
            Self::SenderDataSecret => "sender_data_secret",
            Self::EncryptionSecret => "encryption_secret",
            Self::ExporterSecret => "exporter_secret",
            Self::ExternalSecret => "external_secret",
            Self::ConfirmationKey => "confirmation_key",
            Self::MembershipKey => "membership_key",
            Self::ResumptionPsk => "resumption_psk",
            Self::EpochAuthenticator => "epoch_authenticator",
            Self::InitSecret => "init_secret",
            Self::ExternalInitSecret => "init_secret of an external commit",
            Self::PathSecret => "path_secret",
            Self::CommitSecret => "commit_secret",
            Self::NodeSecret => "node_secret",
            Self::TreeChild(side) => return write!(f, "{side} child in the secret tree"),
            Self::ApplicationRatchet => "application ratchet",
            Self::HandshakeRatchet => "handshake ratchet",
            Self::RatchetAt(generation) => return write!(f, "ratchet at generation {generation}"),
            Self::KeyOfGeneration(generation) => return write!(f, "key of generation {generation}"),
            Self::NonceOfGeneration(generation) => return write!(f, "nonce of generation {generation}"),
            Self::KeyFromSenderData => "key from sender_data_secret",
            Self::KeyFromWelcome => "key from welcome_secret",
            Self::PrivateKey => "private key",
            Self::NodePrivateKey => "private key of a node",
            Self::ExternalPrivateKey => "external_priv",
            Self::GroupSecrets => "group secrets",
            Self::HpkePlaintext => "HPKE plaintext",
            Self::AeadPlaintext => "AEAD plaintext",
            Self::MessageText => "text of a message",
            Self::Ciphertext => "ciphertext",
            Self::Tag => "tag",
            Self::Unknown => "a value",
        })
    }
}

/// The name of a secret: its kind, and its epoch if it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SecretName {
    pub(crate) kind: SecretKind,
    pub(crate) epoch: Option<u64>,
}

impl SecretName {
    pub(crate) fn new(kind: SecretKind) -> Self {
        Self { kind, epoch: None }
    }

    /// True if an epoch or a device has several secrets with this name.
    pub(crate) fn is_one_of_many(&self) -> bool {
        use SecretKind::{NodePrivateKey, PathSecret, PrivateKey, Random};
        matches!(self.kind, PathSecret | Random | PrivateKey | NodePrivateKey)
    }

    pub(crate) fn of_epoch(self, epoch: Option<u64>) -> Self {
        Self { epoch: epoch.or(self.epoch), ..self }
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.epoch {
            Some(epoch) => write!(f, "{} of epoch {epoch}", self.kind),
            None => self.kind.fmt(f),
        }
    }
}

/// The name of the secret that HKDF-Expand makes from a secret of that name with this KDFLabel (RFC
/// 9420, 8).
pub(crate) fn expanded(of: &SecretName, kdf_label: &[u8]) -> SecretName {
    let Some((label, context)) = kdf_label.get(2..).and_then(label_and_context) else {
        return SecretName::new(SecretKind::Expanded).of_epoch(of.epoch);
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let generation = || context.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    let kind = match label {
        b"joiner" => return SecretName::new(SecretKind::JoinerSecret).of_epoch(context_epoch(context)),
        b"epoch" => return SecretName::new(SecretKind::EpochSecret).of_epoch(context_epoch(context)),
        b"welcome" => SecretKind::WelcomeSecret,
        b"sender data" => SecretKind::SenderDataSecret,
        b"encryption" => SecretKind::EncryptionSecret,
        b"exporter" => SecretKind::ExporterSecret,
        b"external" => SecretKind::ExternalSecret,
        b"confirm" => SecretKind::ConfirmationKey,
        b"membership" => SecretKind::MembershipKey,
        b"resumption" => SecretKind::ResumptionPsk,
        b"authentication" => SecretKind::EpochAuthenticator,
        b"init" => SecretKind::InitSecret,
        b"path" => SecretKind::PathSecret,
        b"node" => SecretKind::NodeSecret,
        b"tree" => SecretKind::TreeChild(text(context)),
        b"application" => SecretKind::ApplicationRatchet,
        b"handshake" => SecretKind::HandshakeRatchet,
        b"key" => match of.kind {
            SecretKind::SenderDataSecret => SecretKind::KeyFromSenderData,
            SecretKind::WelcomeSecret => SecretKind::KeyFromWelcome,
            _ => SecretKind::KeyOfGeneration(generation()),
        },
        b"nonce" => SecretKind::NonceOfGeneration(generation()),
        b"secret" => SecretKind::RatchetAt(generation().saturating_add(1)),
        other => SecretKind::ExpandedAs(text(other)),
    };
    SecretName { kind, epoch: of.epoch }
}

/// The name of an HPKE plaintext, from the EncryptContext of its ciphertext (RFC 9420, 5.1.3).
pub(crate) fn sealed(info: &[u8]) -> SecretName {
    match label_and_context(info) {
        Some((b"UpdatePathNode", context)) => SecretName::new(SecretKind::PathSecret).of_epoch(context_epoch(context)),
        Some((b"Welcome", _)) => SecretName::new(SecretKind::GroupSecrets),
        _ => SecretName::new(SecretKind::HpkePlaintext),
    }
}

/// The name of a private key that is derived from a secret of that name.
pub(crate) fn private_key(of: &SecretName) -> SecretName {
    let kind = match of.kind {
        SecretKind::ExternalSecret => SecretKind::ExternalPrivateKey,
        SecretKind::NodeSecret => SecretKind::NodePrivateKey,
        _ => SecretKind::PrivateKey,
    };
    SecretName::new(kind).of_epoch(of.epoch)
}

/// Reads a label without its prefix, and a context. Each of them follows its length.
fn label_and_context(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (label, rest) = variable(bytes)?;
    let (context, _) = variable(rest)?;
    Some((label.strip_prefix(LABEL_PREFIX)?, context))
}

/// The epoch of a GroupContext (RFC 9420, 8.1).
fn context_epoch(context: &[u8]) -> Option<u64> {
    let (_group_id, rest) = variable(context.get(4..)?)?;
    rest.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A KDFLabel (RFC 9420, 8).
    fn kdf_label(label: &str, context: &[u8]) -> Vec<u8> {
        let label = format!("MLS 1.0 {label}");
        [&[0, 32, label.len() as u8], label.as_bytes(), &[context.len() as u8], context].concat()
    }

    #[test]
    fn a_key_schedule_is_named_with_its_epochs() {
        let context = [&[0, 1, 0, 1, 3][..], b"abc", &5_u64.to_be_bytes(), &[0; 20]].concat();
        let joiner = expanded(&SecretName::new(SecretKind::Extracted), &kdf_label("joiner", &context));
        assert_eq!(joiner.to_string(), "joiner_secret of epoch 5");
        let epoch = expanded(&SecretName::new(SecretKind::Extracted), &kdf_label("epoch", &context));
        assert_eq!(expanded(&epoch, &kdf_label("init", b"")).to_string(), "init_secret of epoch 5");
    }

    #[test]
    fn ratchet_secrets_are_named_with_their_generations() {
        let ratchet = SecretName::new(SecretKind::ApplicationRatchet).of_epoch(Some(3));
        let key = expanded(&ratchet, &kdf_label("key", &7_u32.to_be_bytes()));
        assert_eq!(key.to_string(), "key of generation 7 of epoch 3");
        let next = expanded(&ratchet, &kdf_label("secret", &7_u32.to_be_bytes()));
        assert_eq!(next.to_string(), "ratchet at generation 8 of epoch 3");
    }

    #[test]
    fn unknown_labels_get_default_names() {
        for info in [&b""[..], &[0, 32], &[0, 32, 60, 1], &[0xff; 40]] {
            assert_eq!(expanded(&SecretName::new(SecretKind::Unknown), info).to_string(), "expanded secret");
            assert_eq!(sealed(info).to_string(), "HPKE plaintext");
        }
    }
}
