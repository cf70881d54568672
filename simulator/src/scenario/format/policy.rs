//! The policies of devices, and the expectation about due work.

use std::time::Duration;

use super::{GroupSettings, Scenario};
use crate::scenario::name::MemberName;

/// The settings of a device's policy. A setting that is not given has the engine's default, except
/// where its description says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PolicySettings {
    /// The number of past epochs whose message secrets a member keeps.
    pub past_epochs: Option<u32>,
    /// The largest age of a past epoch. The default is [`Limit::Never`], unlike the engine's.
    pub past_epoch_age: Option<Limit<Duration>>,
    /// The window for messages of one sender that arrive out of order and can still be read.
    pub out_of_order: Option<u32>,
    /// The number of messages of one sender that may be missing before the next one is refused.
    pub max_forward: Option<u32>,
    /// Messages are padded to a multiple of this number of bytes; 0 means no padding.
    pub padding: Option<u32>,
    /// The time in which a key package can be used.
    pub key_package_lifetime: Option<Duration>,
    /// The number of single-use key packages at the delivery service. The default is the
    /// simulator's, not the engine's.
    pub key_packages: Option<u32>,
    /// True if each commit comes with a group info, by which a device can join by external commit.
    /// The default is false, unlike the engine's.
    pub publish_group_info: Option<bool>,
    /// True if welcomes and group infos contain the ratchet tree.
    pub send_ratchet_tree: Option<bool>,
    /// The number of sent messages after which new keys are due.
    pub rotate_after_messages: Option<Limit<u32>>,
    /// The age of the keys at which new ones are due.
    pub rotate_after: Option<Limit<Duration>>,
    /// The number of rotations after which one also replaces the signature key.
    pub rotate_signature_key_every: Option<Limit<u32>>,
    /// The time without new keys after which the removal of a member is due.
    pub remove_inactive_after: Option<Limit<Duration>>,
    /// The time without use after which the device locks itself.
    pub lock_after: Option<Limit<Duration>>,
}

/// A limit that can be left open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit<T> {
    /// There is no limit.
    Never,
    /// The limit.
    At(T),
}

/// The own policy of some members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberPolicy {
    /// The members; at least one, and none of them in another policy.
    pub who: Vec<MemberName>,
    /// The settings that differ from the group's.
    pub policy: PolicySettings,
}

/// The keys that a member has to replace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DueRotation {
    /// None.
    Nothing,
    /// The keys of its leaf.
    Keys,
    /// The keys of its leaf, and its signature key.
    SignatureKey,
}

/// The work that is due by the policy of a member. At least one of the options is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueExpectation {
    /// The members for whom the work is due.
    pub who: Vec<MemberName>,
    /// The keys that each of them has to replace.
    pub rotation: Option<DueRotation>,
    /// The members whose removal is due, and no others.
    pub inactive: Option<Vec<MemberName>>,
    /// The number of key packages that each of them has to publish.
    pub key_packages: Option<u32>,
}

impl PolicySettings {
    /// These settings, and those of `other` where nothing is set.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            past_epochs: self.past_epochs.or(other.past_epochs),
            past_epoch_age: self.past_epoch_age.or(other.past_epoch_age),
            out_of_order: self.out_of_order.or(other.out_of_order),
            max_forward: self.max_forward.or(other.max_forward),
            padding: self.padding.or(other.padding),
            key_package_lifetime: self.key_package_lifetime.or(other.key_package_lifetime),
            key_packages: self.key_packages.or(other.key_packages),
            publish_group_info: self.publish_group_info.or(other.publish_group_info),
            send_ratchet_tree: self.send_ratchet_tree.or(other.send_ratchet_tree),
            rotate_after_messages: self.rotate_after_messages.or(other.rotate_after_messages),
            rotate_after: self.rotate_after.or(other.rotate_after),
            rotate_signature_key_every: self.rotate_signature_key_every.or(other.rotate_signature_key_every),
            remove_inactive_after: self.remove_inactive_after.or(other.remove_inactive_after),
            lock_after: self.lock_after.or(other.lock_after),
        }
    }
}

impl Scenario {
    /// The settings of a member's policy: its own, and those of the group where it has none.
    #[must_use]
    pub fn policy_of(&self, who: &MemberName) -> PolicySettings {
        let GroupSettings { policy: of_group, .. } = self.group;
        let own = self.policies.iter().find(|policy| policy.who.contains(who));
        own.map_or(of_group, |own| own.policy.or(of_group))
    }
}

impl DueExpectation {
    /// The expectation with other lists of members. [`None`] if it asks about nobody.
    pub(crate) fn with_names(&self, names: impl Fn(&[MemberName]) -> Vec<MemberName>) -> Option<Self> {
        let who = names(&self.who);
        let inactive = self.inactive.as_deref().map(names);
        (!who.is_empty()).then_some(Self { who, inactive, ..self.clone() })
    }
}
