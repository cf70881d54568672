//! The names of records: the scope, the kind, and the item if there are several records of a kind.
//!
//! The key of every record of a group begins with the group's prefix. To forget a group, the
//! engine deletes all keys with that prefix, so no record of the group can remain elsewhere.

use crate::names::GroupId;

/// The owner of a record: the device or one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RecordScope {
    /// The device itself: identity, key packages.
    Device,
    /// A group.
    Group(GroupId),
    /// A group that this device joins by external commit, until the service has ordered that
    /// commit.
    Joining(GroupId),
}

impl RecordScope {
    const DEVICE: u8 = 0;
    const GROUP: u8 = 1;
    const JOINING: u8 = 2;

    /// The first bytes of the keys of all groups' records.
    pub(crate) const GROUP_TAGS: [u8; 2] = [Self::GROUP, Self::JOINING];

    /// Returns the prefix of the keys of all records of this scope.
    pub(crate) fn prefix(&self) -> Vec<u8> {
        let (tag, group) = match self {
            Self::Device => return vec![Self::DEVICE],
            Self::Group(group) => (Self::GROUP, group),
            Self::Joining(group) => (Self::JOINING, group),
        };
        let id = group.as_bytes();
        let mut prefix = Vec::with_capacity(1 + 4 + id.len());
        prefix.push(tag);
        // Without the length, one group's prefix could be the beginning of another group's prefix.
        prefix.extend_from_slice(&(id.len() as u32).to_be_bytes());
        prefix.extend_from_slice(id);
        prefix
    }

    /// Returns the key of the only record of that kind. If there are several, returns their common
    /// prefix.
    pub(crate) fn key(&self, kind: RecordKind) -> Vec<u8> {
        let mut key = self.prefix();
        key.push(kind as u8);
        key
    }

    /// Returns the key of one of several records of that kind.
    pub(crate) fn item(&self, kind: RecordKind, item: &[u8]) -> Vec<u8> {
        let mut key = self.key(kind);
        key.extend_from_slice(item);
        key
    }

    /// Returns the scope of the record with this key, and the rest of the key.
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
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $number:literal, $name:literal;)*) => {
        /// The kind of a record. The numbers are stored, so a number never gets another meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum RecordKind { $($(#[$doc])* $kind = $number,)* }

        impl RecordKind {
            /// The name of the kind, for error messages and snapshots.
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
    /// The engine's own record of a group: membership, the pending commit, intents. Its key is the
    /// first of the group's keys.
    Group = 0, "group";
    Device = 1, "device";
    SignatureKey = 2, "signature key";
    KeyPackage = 3, "key package";
    VerifiedUser = 4, "verified user";
    /// The number of messages that this device has sent since its leaf got its current keys.
    Activity = 5, "activity";
    /// Received events that the application has not acknowledged.
    Inbox = 6, "inbox";
    /// A private message that this device has created in this epoch. The record contains the
    /// encrypted sender data and no content.
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
    /// A group from the backup from which this device was restored. The device still has to rejoin
    /// it.
    Rejoin = 25, "group to rejoin";
    /// Values that the application stores with the engine.
    AppData = 26, "app data";
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn no_scope_is_the_beginning_of_another() {
        let [a, ab, zero] = [&b"a"[..], b"ab", b"\0"].map(|id| GroupId::new(id).unwrap());
        let scopes = [
            RecordScope::Device,
            RecordScope::Group(a.clone()),
            RecordScope::Group(ab),
            RecordScope::Group(zero),
            RecordScope::Joining(a),
        ];
        for one in &scopes {
            for other in &scopes {
                assert_eq!(one == other, other.prefix().starts_with(&one.prefix()), "{one:?} {other:?}");
            }
            assert_eq!(
                RecordScope::parse(&one.item(RecordKind::Tree, b"x")),
                Some((one.clone(), &[RecordKind::Tree as u8, b'x'][..]))
            );
        }
    }
}
