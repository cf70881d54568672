//! The settings of a device, and the cost of each choice.

use std::num::{NonZeroU32, NonZeroU64};

use openmls::{
    group::{
        MlsGroupJoinConfig, PURE_CIPHERTEXT_WIRE_FORMAT_POLICY, PURE_PLAINTEXT_WIRE_FORMAT_POLICY, WireFormatPolicy,
    },
    prelude::{Lifetime, SenderRatchetConfiguration},
};
use openmls_traits::types::Ciphersuite;

use regrow_protocol::HandshakeMode;

use crate::names::Timestamp;

/// The settings of a device. [`Policy::default`] is safe. Each field describes the cost of other
/// values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The ciphersuite of the groups and key packages that this device creates (RFC 9420, 17.1).
    pub ciphersuite: Ciphersuite,
    /// The handshake mode of this device's groups. Default: [`HandshakeMode::Assisted`].
    pub handshake: HandshakeMode,
    /// The number of past epochs whose message secrets are kept. With them the device can read
    /// application messages that arrive after the commit that ended their epoch. Default: 0. A
    /// thief of the device can read the unread messages of each kept epoch. Each kept epoch also
    /// enlarges a record that is written with every message.
    pub past_epochs: usize,
    /// The maximum age of a past epoch in seconds after its end, for the epochs that
    /// [`past_epochs`](Self::past_epochs) keeps. Default: 1 day; [`None`]: no maximum, so in a
    /// quiet group the epochs are kept for ever. The limit shortens the time in which a thief of
    /// the device finds the messages of those epochs. A message that arrives later cannot be read.
    ///
    /// Ages are measured by the times that the caller passes.
    /// [`Client::expire`](crate::Client::expire) erases epochs that are too old, and so do the
    /// calls that receive or confirm in the group.
    pub past_epoch_age: Option<NonZeroU64>,
    /// The number of message keys of a sender that are kept for messages that arrive out of order
    /// (RFC 9420, 9.1). Default: 5. Until the message of a kept key arrives, a thief of the device
    /// can read it.
    pub out_of_order: u32,
    /// The number of messages of one sender that may be missing before the next message is
    /// refused. Default: 1000. It limits the computation that one message can cause. If more
    /// messages are missing, the device cannot read the sender until the next epoch.
    pub max_forward: u32,
    /// The padding of application messages: their length is a multiple of this number of bytes. 0
    /// means no padding. Default: 128. Without padding, anyone who sees the ciphertext knows the
    /// length of the text.
    pub padding: usize,
    /// The time in seconds from the creation of a key package in which it is handed out and added
    /// to groups. Default: 90 days; at most
    /// [`MAX_USE_SECONDS`](regrow_protocol::profile::MAX_USE_SECONDS). The private key stays on
    /// the device until the key package is used or this time is over.
    pub key_package_lifetime: u64,
    /// The time in seconds by which the lifetime in the leaf begins before the creation of the key
    /// package. It allows for members whose clocks are behind. Default: 30 days. A member whose
    /// clock is further behind cannot process the commit and must rejoin.
    pub clock_skew: u64,
    /// The time in seconds by which the lifetime in the leaf ends after the end of the key
    /// package's use. It allows for members whose clocks are ahead, and for members that read the
    /// commit late. Default: 365 days. A member that comes back later must rejoin.
    pub reading_delay: u64,
    /// True if each commit comes with a group info, so that a device without its state can rejoin
    /// by external commit (RFC 9420, 12.4.3.2). Default: true. It costs a signature for each
    /// commit, and the size of the tree if the tree is [included](Self::send_ratchet_tree).
    pub publish_group_info: bool,
    /// True if this device's welcomes and group infos contain the ratchet tree (RFC 9420,
    /// 12.4.3.3). Default: true, so that a new member needs nothing else to join. The tree of a
    /// thousand members has 193 kB as long as no member has updated, in each commit and in each
    /// welcome.
    ///
    /// If false, a new member gets the tree from the delivery service
    /// ([`Error::NeedsRatchetTree`](crate::Error::NeedsRatchetTree)). The service has the tree of
    /// an assisted group, because it tracks the group. It does not have the tree of an opaque
    /// group, and should not see it. Therefore opaque groups always include the tree.
    pub send_ratchet_tree: bool,
    /// The number of messages that this device sends in a group before [`Group::due`] reports that
    /// its keys there must be replaced. Default: 1000; [`None`]: no limit. A rotation is a commit,
    /// which every member must process. A rotation locks out a thief with a copy of the device's
    /// state, except for the device's signature key. Every other commit of the device counts as a
    /// rotation too.
    ///
    /// [`Group::due`]: crate::Group::due
    pub rotate_after_messages: Option<NonZeroU32>,
    /// The age in seconds at which the device's keys in a group must be replaced, for any number
    /// of sent messages. Default: 7 days; [`None`]: no limit. It limits the time in which a stolen
    /// state can read messages. The cost is one epoch for each member and period, so choose a
    /// longer period for groups with more than some hundred members.
    pub rotate_after: Option<NonZeroU64>,
    /// The number of rotations after which one also replaces the signature key; with 1, each
    /// rotation does. Default: [`None`], because users who have verified the device must verify it
    /// again after such a rotation. It locks out a thief of the signature key. Without it, the
    /// thief could rejoin in the device's name by external commit.
    pub rotate_signature_key_every: Option<NonZeroU32>,
    /// The time in seconds without new keys after which a member is reported as inactive, so that
    /// it can be removed. Default: 90 days; [`None`]: never. A lost device, or a device that was
    /// given away, can read messages until somebody removes it. A removed device that comes back
    /// must rejoin, and cannot read the messages that were sent meanwhile. Choose several times
    /// the members' [`rotate_after`](Self::rotate_after). Otherwise active members are reported
    /// too.
    pub remove_inactive_after: Option<NonZeroU64>,
    /// The number of this device's key packages that should be at the delivery service: see
    /// [`Client::key_packages_due`](crate::Client::key_packages_due). Default: 20. Each key
    /// package lets the device be added to one group before it comes online again, and costs one
    /// private key on the device. With too few, additions use the last-resort key package, whose
    /// key lives longer, or fail.
    pub key_packages: usize,
    /// The time in seconds without use after which the device locks itself: see
    /// [`Client::lock_if_idle`](crate::Client::lock_if_idle). Default: [`None`], never. While the
    /// device is unlocked, an attacker that reads the process's memory has the device. After each
    /// lock the application needs the store's key again, from the platform or from a person, and
    /// the device receives nothing until then.
    ///
    /// Receiving is a use, so a device in a busy group is not idle, even if nobody looks at it.
    /// The setting requires a store that can be [locked](crate::Store::as_lock).
    pub lock_after: Option<NonZeroU64>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            ciphersuite: Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519,
            handshake: HandshakeMode::Assisted,
            past_epochs: 0,
            past_epoch_age: NonZeroU64::new(24 * 60 * 60),
            out_of_order: 5,
            max_forward: 1000,
            padding: 128,
            key_package_lifetime: 90 * 24 * 60 * 60,
            clock_skew: 30 * 24 * 60 * 60,
            reading_delay: 365 * 24 * 60 * 60,
            publish_group_info: true,
            send_ratchet_tree: true,
            rotate_after_messages: NonZeroU32::new(1000),
            rotate_after: NonZeroU64::new(7 * 24 * 60 * 60),
            rotate_signature_key_every: None,
            remove_inactive_after: NonZeroU64::new(90 * 24 * 60 * 60),
            key_packages: 20,
            lock_after: None,
        }
    }
}

impl Policy {
    pub(crate) fn wire_format(&self) -> WireFormatPolicy {
        match self.handshake {
            HandshakeMode::Assisted => PURE_PLAINTEXT_WIRE_FORMAT_POLICY,
            HandshakeMode::Opaque => PURE_CIPHERTEXT_WIRE_FORMAT_POLICY,
        }
    }

    /// True if this device's welcomes and group infos contain the ratchet tree.
    pub(crate) fn sends_ratchet_tree(&self) -> bool {
        self.send_ratchet_tree || self.handshake == HandshakeMode::Opaque
    }

    pub(crate) fn ratchet(&self) -> SenderRatchetConfiguration {
        SenderRatchetConfiguration::new(self.out_of_order, self.max_forward)
    }

    pub(crate) fn join_config(&self) -> MlsGroupJoinConfig {
        MlsGroupJoinConfig::builder()
            .wire_format_policy(self.wire_format())
            .padding_size(self.padding)
            .max_past_epochs(self.past_epochs)
            .number_of_resumption_psks(0)
            .use_ratchet_tree_extension(true)
            .sender_ratchet_configuration(self.ratchet())
            .build()
    }

    pub(crate) fn lifetime(&self, now: Timestamp) -> Lifetime {
        let until = now.0.saturating_add(self.key_package_lifetime);
        Lifetime::init(now.0.saturating_sub(self.clock_skew), until.saturating_add(self.reading_delay))
    }
}
