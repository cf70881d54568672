//! Reads the field `group`: the settings of the group.

use regrow_engine::HandshakeMode;

use super::{
    describe::{Field, Kind, Object, words},
    fields::{At, FileReader},
    format::{Ciphersuite, GroupSettings},
};

/// The largest number of past epochs whose secrets can be kept. Each of them costs a member
/// hundreds of kilobytes in a large group.
pub const MAX_PAST_EPOCHS: u32 = 1_000;

/// The widest window for messages that arrive out of order. A member keeps a key for each message
/// that it skips.
pub const MAX_OUT_OF_ORDER: u32 = 100_000;

/// The largest padding. With it, every message of a group is at least this long on the wire.
pub const MAX_PADDING: u32 = 65_536;

pub(super) const GROUP: Object = Object::new(&[
    Field::with_default(
        "MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519",
        "ciphersuite",
        Kind::Word(words::<Ciphersuite>),
        "The ciphersuite. Real devices have `MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519` in builds with the feature \
         `post-quantum`, which is on by default.",
    ),
    Field::with_default(
        "assisted",
        "handshake",
        Kind::Word(words::<HandshakeMode>),
        "`assisted`: commits and proposals are PublicMessages, and the delivery service checks them. `opaque`: they \
         are PrivateMessages, and the service sees only their epoch and type.",
    ),
    Field::with_default(
        "0",
        "past_epochs",
        Kind::Number(0, MAX_PAST_EPOCHS as u64),
        "The number of past epochs whose message secrets a member keeps. With them a member can still read a message \
         that a commit overtook.",
    ),
    Field::with_default(
        "5",
        "out_of_order",
        Kind::Number(0, MAX_OUT_OF_ORDER as u64),
        "For each sender, the number of latest generations whose unused message keys a member keeps. With them a \
         member can still read a message that later messages overtook.",
    ),
    Field::with_default(
        "128",
        "padding",
        Kind::Number(0, MAX_PADDING as u64),
        "Each message is padded to a multiple of this many bytes; 0 is no padding.",
    ),
    Field::with_default(
        "false",
        "publish_group_info",
        Kind::Truth,
        "True: each commit comes with a group info. Devices and thieves join by external commit (`join`, `rejoin`) \
         only with the group info of the current epoch. Each group info costs its committer signatures, and bytes \
         that grow with the tree.",
    ),
])
.about("The settings of the group. They have the engine's defaults, except `publish_group_info`.");

pub(super) fn group<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<GroupSettings> {
    let fields = reader.described(at, &GROUP)?;
    Some(GroupSettings {
        ciphersuite: fields.word(reader, "ciphersuite"),
        handshake: fields.word(reader, "handshake"),
        past_epochs: fields.small(reader, "past_epochs"),
        out_of_order: fields.small(reader, "out_of_order"),
        padding: fields.small(reader, "padding"),
        publish_group_info: fields.truth(reader, "publish_group_info"),
    })
}
