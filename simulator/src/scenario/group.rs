//! Reads the field `group`: the settings of the group.

use regrow_engine::HandshakeMode;

use super::{
    describe::{Field, Kind, Object, words},
    fields::{At, FileReader},
    format::{Ciphersuite, GroupSettings},
    policy::{POLICY, joined, policy},
};

/// The settings of the group itself, then those of its members' policies.
const FIELDS: [Field; 2 + POLICY.len()] = joined(
    [
        Field::with_default(
            "MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519",
            "ciphersuite",
            Kind::Word(words::<Ciphersuite>),
            "The ciphersuite. Real devices have `MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519` in builds with the \
             feature `post-quantum`, which is on by default.",
        ),
        Field::with_default(
            "assisted",
            "handshake",
            Kind::Word(words::<HandshakeMode>),
            "`assisted`: commits and proposals are PublicMessages, and the delivery service checks them. `opaque`: \
             they are PrivateMessages, and the service sees only their epoch and type.",
        ),
    ],
    POLICY,
);

pub(super) const GROUP: Object = Object::new(&FIELDS).about(
    "The settings of the group, and of the policies of its members. They have the engine's defaults, except \
     `past_epoch_age`, `key_packages` and `publish_group_info`.",
);

pub(super) fn group<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<GroupSettings> {
    let fields = reader.described(at, &GROUP)?;
    Some(GroupSettings {
        ciphersuite: fields.word(reader, "ciphersuite"),
        handshake: fields.word(reader, "handshake"),
        policy: policy(reader, &fields),
    })
}
