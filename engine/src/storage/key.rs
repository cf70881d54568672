//! How records are named: whose they are, what they are, and which one of several.
//!
//! Everything that belongs to a group begins with the group's prefix, whatever it is: forgetting the group is deleting
//! a prefix, and nothing can be left behind by being kept elsewhere.

use super::{StorageError, Transaction};
use crate::names::GroupId;

/// Whose a record is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The device's own: identity, key packages.
    Device,
    /// A group's.
    Group(GroupId),
    /// A group's that an external commit would bring about, until the delivery service has ordered it.
    Joining(GroupId),
}

impl Scope {
    const DEVICE: u8 = 0;
    const GROUP: u8 = 1;
    const JOINING: u8 = 2;

    /// What the keys of all records of this scope begin with.
    pub(crate) fn prefix(&self) -> Vec<u8> {
        let (tag, group) = match self {
            Self::Device => return vec![Self::DEVICE],
            Self::Group(group) => (Self::GROUP, group),
            Self::Joining(group) => (Self::JOINING, group),
        };
        let id = group.as_bytes();
        let mut prefix = Vec::with_capacity(1 + 4 + id.len());
        prefix.push(tag);
        // The length keeps one group's prefix from being the beginning of another's.
        prefix.extend_from_slice(&(id.len() as u32).to_be_bytes());
        prefix.extend_from_slice(id);
        prefix
    }

    /// The key of the one record of that kind, or the beginning of the keys of its several.
    pub(crate) fn key(&self, kind: Kind) -> Vec<u8> {
        let mut key = self.prefix();
        key.push(kind as u8);
        key
    }

    /// The key of one of several records of that kind.
    pub(crate) fn item(&self, kind: Kind, item: &[u8]) -> Vec<u8> {
        let mut key = self.key(kind);
        key.extend_from_slice(item);
        key
    }

    /// Whose record has this key, and what remains of the key.
    pub(crate) fn parse(key: &[u8]) -> Option<(Self, &[u8])> {
        let (&tag, rest) = key.split_first()?;
        if tag == Self::DEVICE {
            return Some((Self::Device, rest));
        }
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (id, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        let group = GroupId::new(id).ok()?;
        match tag {
            Self::GROUP => Some((Self::Group(group), rest)),
            Self::JOINING => Some((Self::Joining(group), rest)),
            _ => None,
        }
    }

    /// The scopes of all groups, those that are being joined among them.
    pub(crate) fn all_groups(records: &Transaction<'_>) -> Result<Vec<Self>, StorageError> {
        let mut scopes: Vec<Self> = Vec::new();
        for tag in [Self::GROUP, Self::JOINING] {
            for key in records.keys(&[tag])? {
                let scope = Self::parse(&key).map(|(scope, _)| scope);
                scopes.extend(scope.filter(|scope| scopes.last() != Some(scope)));
            }
        }
        Ok(scopes)
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $number:literal, $name:literal;)*) => {
        /// What a record is. The numbers are stored: they are never given another meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Kind { $($(#[$doc])* $kind = $number,)* }

        impl Kind {
            /// The kind's name for people: in errors and in snapshots.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            pub(crate) fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$kind),)* _ => None }
            }
        }
    };
}

kinds! {
    /// The engine's own record of a group: membership, the pending commit, intents. The first of a group's.
    Group = 0, "group";
    Device = 1, "device";
    SignatureKey = 2, "signature key";
    KeyPackage = 3, "key package";
    VerifiedUser = 4, "verified user";
    /// What this device has done since its leaf got its keys.
    Activity = 5, "activity";
    /// What was received and not acknowledged.
    Inbox = 6, "inbox";
    /// A private message that this device has made in this epoch: its sender data, encrypted, and nothing of its content.
    Sent = 7, "sent message";
    JoinConfig = 10, "join config";
    OwnLeafNode = 11, "own leaf node";
    Proposal = 12, "proposal";
    Tree = 13, "ratchet tree";
    InterimTranscriptHash = 14, "interim transcript hash";
    GroupContext = 15, "group context";
    ConfirmationTag = 16, "confirmation tag";
    GroupState = 17, "group state";
    MessageSecrets = 18, "message secrets";
    ResumptionPsks = 19, "resumption PSKs";
    OwnLeafIndex = 20, "own leaf index";
    EpochSecrets = 21, "epoch secrets";
    EncryptionKey = 22, "encryption key";
    EpochKeys = 23, "epoch encryption keys";
    Psk = 24, "PSK";
    /// A group of the device whose backup this device was restored from.
    Rejoin = 25, "group to rejoin";
    /// What the layer above keeps beside the groups.
    Kept = 26, "kept value";
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn no_scope_is_the_beginning_of_another() {
        let [a, ab, zero] = [&b"a"[..], b"ab", b"\0"].map(|id| GroupId::new(id).unwrap());
        let scopes = [Scope::Device, Scope::Group(a.clone()), Scope::Group(ab), Scope::Group(zero), Scope::Joining(a)];
        for one in &scopes {
            for other in &scopes {
                assert_eq!(one == other, other.prefix().starts_with(&one.prefix()), "{one:?} {other:?}");
            }
            assert_eq!(Scope::parse(&one.item(Kind::Tree, b"x")), Some((one.clone(), &[Kind::Tree as u8, b'x'][..])));
        }
    }
}
