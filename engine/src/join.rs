//! What a device joins a group with.

use openmls::prelude::{MlsMessageBodyIn, RatchetTreeIn};
use tls_codec::Deserialize as _;

use crate::{client::parse, error::Error};

/// A welcome (RFC 9420, 12.4.3.1) or a group info (12.4.3.2), with the ratchet tree beside it if the tree is not in it: if its
/// maker's policy does not [send it](crate::Policy::send_ratchet_tree). Bytes alone are one without.
///
/// Where the tree comes from does not matter: what was signed says which tree it must be.
///
/// ```
/// # use std::sync::Arc;
/// # use regrow_engine::{Client, DeviceId, Error, GroupId, JoinMessage, MemoryStore, Policy, Timestamp, default_crypto};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let now = Timestamp(std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs());
/// # let policy = Policy { send_ratchet_tree: false, ..Policy::default() };
/// # let new = |name: &str| {
/// #     let device = DeviceId::new(name, "phone").expect("a name");
/// #     Client::create(Arc::new(MemoryStore::new()), default_crypto(), device, policy.clone())
/// # };
/// # let (mut alice, mut bob) = (new("alice")?, new("bob")?);
/// # let key_package = bob.key_packages(1, now)?.remove(0);
/// # let room = GroupId::new("room")?;
/// # alice.create_group(room.clone(), now)?;
/// # let pending = alice.group(&room)?.add(&[key_package], now)?;
/// # let welcome = pending.welcome().unwrap_or_default().to_vec();
/// # alice.confirm(pending, now)?;
/// // The policy is to leave the tree out.
/// let Err(Error::NeedsRatchetTree { group, epoch }) = bob.join(&welcome, now) else { panic!("the tree is there") };
///
/// // The delivery service has the tree of this group and epoch; so has every member in it.
/// assert_eq!(alice.group(&group)?.epoch()?, epoch);
/// let tree = alice.group(&group)?.ratchet_tree()?;
/// bob.join(JoinMessage::with_tree(&welcome, &tree), now)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct JoinMessage<'m> {
    message: &'m [u8],
    ratchet_tree: Option<&'m [u8]>,
}

impl<'m> JoinMessage<'m> {
    /// The message, an MLSMessage, and the tree that comes beside it: the `ratchet_tree` of RFC 9420, 12.4.3.3. If there
    /// is one in the message, that is taken.
    pub fn with_tree(message: &'m [u8], ratchet_tree: &'m [u8]) -> Self {
        Self { message, ratchet_tree: Some(ratchet_tree) }
    }

    pub(crate) fn parse(self, expected: &'static str) -> Result<(MlsMessageBodyIn, Option<RatchetTreeIn>), Error> {
        let malformed =
            |error: tls_codec::Error| Error::Malformed { expected: "a ratchet tree", detail: error.to_string() };
        // From a reader: `tls_codec`'s other way asserts in debug builds that a vector is as long as it says.
        let tree = self.ratchet_tree.map(RatchetTreeIn::tls_deserialize_exact);
        Ok((parse(self.message, expected)?, tree.transpose().map_err(malformed)?))
    }
}

impl<'m, B: AsRef<[u8]> + ?Sized> From<&'m B> for JoinMessage<'m> {
    fn from(message: &'m B) -> Self {
        Self { message: message.as_ref(), ratchet_tree: None }
    }
}
