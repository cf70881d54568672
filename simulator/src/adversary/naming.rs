//! The names of the secrets on the tape, in the words of RFC 9420.
//!
//! OpenMLS derives secrets with the labels of RFC 9420. The label is an input of the expansion, and
//! names the output. Names are for people who read a path; no result depends on them.

use std::{borrow::Cow, fmt};

use crate::wire::variable;

/// The prefix of all labels (RFC 9420, 5.1.2, 5.1.3 and 8).
const LABEL_PREFIX: &[u8] = b"MLS 1.0 ";

/// The name of a secret, and its epoch if it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) what: Cow<'static, str>,
    pub(crate) epoch: Option<u64>,
}

impl Name {
    pub(crate) fn new(what: &'static str) -> Self {
        Self { what: what.into(), epoch: None }
    }

    /// True if an epoch or a device has several secrets with this name.
    pub(crate) fn is_one_of_many(&self) -> bool {
        self.what == PATH_SECRET || self.what == RANDOM || self.what.starts_with(PRIVATE_KEY)
    }

    pub(crate) fn of_epoch(self, epoch: Option<u64>) -> Self {
        Self { epoch: epoch.or(self.epoch), ..self }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.epoch {
            Some(epoch) => write!(f, "{} of epoch {epoch}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// The name of the secret that HKDF-Expand makes from a secret of that name with this KDFLabel (RFC
/// 9420, 8).
pub(crate) fn expanded(of: &Name, kdf_label: &[u8]) -> Name {
    let Some((label, context)) = kdf_label.get(2..).and_then(label_and_context) else {
        return Name::new("expanded secret").of_epoch(of.epoch);
    };
    let generation = || context.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    let what: Cow<'static, str> = match label {
        b"joiner" => return Name::new("joiner_secret").of_epoch(context_epoch(context)),
        b"epoch" => return Name::new("epoch_secret").of_epoch(context_epoch(context)),
        b"welcome" => "welcome_secret".into(),
        b"sender data" => "sender_data_secret".into(),
        b"encryption" => "encryption_secret".into(),
        b"exporter" => "exporter_secret".into(),
        b"external" => "external_secret".into(),
        b"confirm" => "confirmation_key".into(),
        b"membership" => "membership_key".into(),
        b"resumption" => "resumption_psk".into(),
        b"authentication" => "epoch_authenticator".into(),
        b"init" => "init_secret".into(),
        b"path" => PATH_SECRET.into(),
        b"node" => "node_secret".into(),
        b"tree" => format!("{} child in the secret tree", String::from_utf8_lossy(context)).into(),
        b"application" => "application ratchet".into(),
        b"handshake" => "handshake ratchet".into(),
        b"key" if of.what == "sender_data_secret" || of.what == "welcome_secret" => {
            format!("key from {}", of.what).into()
        }
        b"key" => format!("key of generation {}", generation()).into(),
        b"nonce" => format!("nonce of generation {}", generation()).into(),
        b"secret" => format!("ratchet at generation {}", generation().saturating_add(1)).into(),
        other => format!("secret expanded as \"{}\"", String::from_utf8_lossy(other)).into(),
    };
    Name { what, epoch: of.epoch }
}

/// The name of bytes that were drawn from the provider.
pub(crate) const RANDOM: &str = "random bytes";

/// The name of private keys of nodes, leaves and key packages.
const PRIVATE_KEY: &str = "private key";

/// The name of path secrets (RFC 9420, 7.4).
pub(crate) const PATH_SECRET: &str = "path_secret";

/// The name of an HPKE plaintext, from the EncryptContext of its ciphertext (RFC 9420, 5.1.3).
pub(crate) fn sealed(info: &[u8]) -> Name {
    match label_and_context(info) {
        Some((b"UpdatePathNode", context)) => Name::new(PATH_SECRET).of_epoch(context_epoch(context)),
        Some((b"Welcome", _)) => Name::new("group secrets"),
        _ => Name::new("HPKE plaintext"),
    }
}

/// The name of a private key that is derived from a secret of that name.
pub(crate) fn private_key(of: &Name) -> Name {
    match &*of.what {
        "external_secret" => Name::new("external_priv"),
        "node_secret" => Name::new("private key of a node"),
        _ => Name::new(PRIVATE_KEY),
    }
    .of_epoch(of.epoch)
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
        let joiner = expanded(&Name::new("extract"), &kdf_label("joiner", &context));
        assert_eq!(joiner.to_string(), "joiner_secret of epoch 5");
        let epoch = expanded(&Name::new("extract"), &kdf_label("epoch", &context));
        assert_eq!(expanded(&epoch, &kdf_label("init", b"")).to_string(), "init_secret of epoch 5");
    }

    #[test]
    fn ratchet_secrets_are_named_with_their_generations() {
        let ratchet = Name::new("application ratchet").of_epoch(Some(3));
        let key = expanded(&ratchet, &kdf_label("key", &7_u32.to_be_bytes()));
        assert_eq!(key.to_string(), "key of generation 7 of epoch 3");
        let next = expanded(&ratchet, &kdf_label("secret", &7_u32.to_be_bytes()));
        assert_eq!(next.to_string(), "ratchet at generation 8 of epoch 3");
    }

    #[test]
    fn unknown_labels_get_default_names() {
        for info in [&b""[..], &[0, 32], &[0, 32, 60, 1], &[0xff; 40]] {
            assert_eq!(expanded(&Name::new("x"), info).what, "expanded secret");
            assert_eq!(sealed(info).what, "HPKE plaintext");
        }
    }
}
