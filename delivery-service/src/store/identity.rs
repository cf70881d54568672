//! Encodes a device in a record in the same form as in a key: as its identity.

use std::{borrow::Cow, collections::BTreeSet};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_bytes::ByteBuf;

use crate::names::DeviceId;

/// A record that contains only a device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Identity(
    #[serde(serialize_with = "serialize", deserialize_with = "deserialize")] pub(crate) DeviceId,
);

pub(crate) fn serialize<S: Serializer>(device: &DeviceId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(&device.to_identity())
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DeviceId, D::Error> {
    DeviceId::from_identity(&ByteBuf::deserialize(deserializer)?).map_err(de::Error::custom)
}

/// Encodes a device that may be borrowed.
pub(crate) mod cow {
    use super::{Cow, Deserializer, DeviceId, Serializer};

    #[expect(clippy::ptr_arg, reason = "serde calls it with the type of the field")]
    pub(crate) fn serialize<S: Serializer>(device: &Cow<'_, DeviceId>, serializer: S) -> Result<S::Ok, S::Error> {
        super::serialize(device, serializer)
    }

    pub(crate) fn deserialize<'de, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'a, DeviceId>, D::Error> {
        super::deserialize(deserializer).map(Cow::Owned)
    }
}

/// Encodes several devices.
pub(crate) mod set {
    use super::{BTreeSet, Deserialize as _, Deserializer, DeviceId, Identity, Serializer};

    pub(crate) fn serialize<S: Serializer>(devices: &BTreeSet<DeviceId>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(devices.iter().cloned().map(Identity))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<DeviceId>, D::Error> {
        let devices = Vec::<Identity>::deserialize(deserializer)?;
        Ok(devices.into_iter().map(|Identity(device)| device).collect())
    }
}
