//! What a device chooses, and what each choice costs.

use std::num::{NonZeroU32, NonZeroU64};

use openmls::{
    group::{
        MlsGroupJoinConfig, PURE_CIPHERTEXT_WIRE_FORMAT_POLICY, PURE_PLAINTEXT_WIRE_FORMAT_POLICY, WireFormatPolicy,
    },
    prelude::{Lifetime, SenderRatchetConfiguration},
};
use openmls_traits::types::Ciphersuite;

use crate::names::Timestamp;

/// How a group's handshake messages travel (RFC 9420, 6). All members of a group use the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// As PublicMessages: the delivery service follows the group's public state, refuses invalid commits and derives
    /// the roster itself. It sees who is in the group and who does what to it, never content.
    Assisted,
    /// As PrivateMessages: the delivery service sees the epoch and the type of a message, and has to believe the
    /// roster changes that senders declare.
    Opaque,
}

/// What a device chooses. [`Policy::default`] is safe; each field says what moving away from it costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The ciphersuite of the groups that this device creates and of the key packages that it makes (RFC 9420, 17.1).
    pub ciphersuite: Ciphersuite,
    /// How handshake messages travel in this device's groups. Default: [`Handshake::Assisted`].
    pub handshake: Handshake,
    /// How many past epochs' message secrets are kept, so that application messages that arrive after the commit that
    /// followed them can still be read. Default: 0. Each epoch kept is an epoch whose unread messages a thief of the
    /// device can read, and makes a record larger that is written with every message.
    pub past_epochs: usize,
    /// For how many seconds after its end a past epoch is kept at most, of those that [`past_epochs`](Self::past_epochs)
    /// keeps. Default: 1 day; [`None`]: however long, which in a quiet group is for ever. It bounds for how long a thief
    /// of the device finds the messages of those epochs; one that arrives later than that cannot be read. By the times that
    /// the device is told: [`Client::expire`](crate::Client::expire) erases what is too old, and so does what is
    /// received and confirmed in the group.
    pub past_epoch_age: Option<NonZeroU64>,
    /// How many message keys of a sender are kept when its messages arrive out of order (RFC 9420, 9.1). Default: 5.
    /// Each key kept is a message that a thief of the device can read until it arrives.
    pub out_of_order: u32,
    /// How many messages of one sender may be missing before the next is refused. Default: 1000. It bounds what one
    /// message can make the device compute; beyond it the sender cannot be read until the next epoch.
    pub max_forward: u32,
    /// Application messages are padded to a multiple of this many bytes; 0 pads nothing. Default: 128. Without it
    /// anyone who sees the ciphertext knows the length of the text.
    pub padding: usize,
    /// How long a key package is used from the moment it is made, in seconds: handed out, and added to groups. Default: 90
    /// days; at most [`MAX_USE_SECONDS`](regrow_protocol::profile::MAX_USE_SECONDS). Until it is used or the time is over, its
    /// private key is on the device.
    pub key_package_lifetime: u64,
    /// How far before that moment the lifetime in its leaf begins, in seconds, for members whose clocks are behind.
    /// Default: 30 days. A member whose clock is behind by more falls out of the group when it reads the commit.
    pub clock_skew: u64,
    /// How far after the time of its use the lifetime in its leaf ends, in seconds, for members whose clocks are ahead, and
    /// for those who read the commit late. Default: 365 days. A member that comes back after a longer time rejoins.
    pub reading_delay: u64,
    /// Whether each commit carries a group info, so that a device that lost its state can rejoin by external commit
    /// (RFC 9420, 12.4.3.2). Default: yes. It costs a signature per commit, and the size of the tree if that is
    /// [in it](Self::send_ratchet_tree).
    pub publish_group_info: bool,
    /// Whether this device's welcomes and commits' group infos have the ratchet tree in them (RFC 9420, 12.4.3.3).
    /// Default: yes, so that whoever gets one can join with nothing else. The tree of a thousand members has
    /// 193 kB while nobody has updated, in each commit and in each welcome. Without it, whoever joins gets it from the
    /// delivery service ([`Error::NeedsRatchetTree`](crate::Error::NeedsRatchetTree)): that of an assisted group has it, for it follows
    /// the group. That of an opaque group has not, and should not see it: there it is always in them.
    pub send_ratchet_tree: bool,
    /// After how many messages that this device has sent in a group [`Group::due`] says that its keys there are to be
    /// replaced. Default: 1000; [`None`]: however many. A rotation is a commit that every member processes; it locks out
    /// whoever has copied the device's state, but for the device's signature key. Every other commit of the device
    /// counts as one.
    ///
    /// [`Group::due`]: crate::Group::due
    pub rotate_after_messages: Option<NonZeroU32>,
    /// After how many seconds they are to be replaced, however many messages it has sent. Default: 7 days; [`None`]:
    /// however old. It bounds for how long a stolen state can be read with, at the cost of an epoch per member and
    /// period: beyond some hundred members choose a longer one.
    pub rotate_after: Option<NonZeroU64>,
    /// How many rotations pass until one replaces the signature key as well; with 1, each does. Default: [`None`], as
    /// peers who have verified the device have to verify it again. It locks out a thief of the signature key, who could
    /// otherwise rejoin in the device's place by external commit.
    pub rotate_signature_key_every: Option<NonZeroU32>,
    /// After how many seconds without new keys a member is named as inactive, to be removed. Default: 90 days;
    /// [`None`]: never. A device that is lost or given away reads on until somebody removes it; one that comes back
    /// after it was removed has to rejoin, and cannot read what was sent meanwhile. Several times the members'
    /// [`rotate_after`](Self::rotate_after), or those who are there are named as well.
    pub remove_inactive_after: Option<NonZeroU64>,
    /// How many key packages of this device are to wait at the delivery service: see
    /// [`Client::key_packages_due`](crate::Client::key_packages_due). Default: 20. Each is one group that the device can be
    /// added to before it comes online again, and one private key on the device; with too few, additions fall back on
    /// the last-resort key package, whose key lives longer, or fail.
    pub key_packages: usize,
    /// After how many seconds without use the device locks itself: see
    /// [`Client::lock_if_idle`](crate::Client::lock_if_idle). Default: [`None`], never. Until it is locked, whoever reads
    /// the process's memory has the device; each time it was, the application needs the store's key again, from the
    /// platform or from a person, and receives nothing until then. Receiving is a use: a device in a busy group is not
    /// idle, whoever looks at it. It takes a store that can be [locked](crate::Store::as_lock).
    pub lock_after: Option<NonZeroU64>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            ciphersuite: Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519,
            handshake: Handshake::Assisted,
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
            Handshake::Assisted => PURE_PLAINTEXT_WIRE_FORMAT_POLICY,
            Handshake::Opaque => PURE_CIPHERTEXT_WIRE_FORMAT_POLICY,
        }
    }

    /// Whether what this device sends to those who join has the tree in it.
    pub(crate) fn sends_ratchet_tree(&self) -> bool {
        self.send_ratchet_tree || self.handshake == Handshake::Opaque
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
