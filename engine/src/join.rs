//! The input for joining a group: a welcome or a group info, and possibly a ratchet tree.

use openmls::prelude::{MlsMessageBodyIn, RatchetTreeIn};
use tls_codec::Deserialize as _;

use crate::{error::Error, mls_message::parse};

/// A welcome (RFC 9420, 12.4.3.1) or a group info (12.4.3.2), with a separate ratchet tree if the
/// message does not contain the tree. The message contains no tree if its sender's policy does not
/// [include it](crate::Policy::send_ratchet_tree). Plain bytes convert into a message without a
/// separate tree.
///
/// The source of the tree does not need to be trusted: the signed message determines the only
/// valid tree.
///
/// ```
/// # use std::sync::Arc;
/// # use regrow_engine::{
/// #     Client, DeviceId, Error, GroupId, JoinMessage, MemoryStore, Policy, Timestamp,
/// #     default_crypto,
/// # };
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let now = Timestamp(
/// #     std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs(),
/// # );
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
/// // The policy omits the tree.
/// let Err(Error::NeedsRatchetTree { group, epoch }) = bob.join(&welcome, now) else {
///     panic!("the tree is there")
/// };
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
    /// Creates the input from an MLSMessage and a separate tree, the `ratchet_tree` of RFC 9420,
    /// 12.4.3.3. If the message itself contains a tree, that tree is used.
    pub fn with_tree(message: &'m [u8], ratchet_tree: &'m [u8]) -> Self {
        Self { message, ratchet_tree: Some(ratchet_tree) }
    }

    pub(crate) fn parse(self, expected: &'static str) -> Result<(MlsMessageBodyIn, Option<RatchetTreeIn>), Error> {
        let malformed =
            |error: tls_codec::Error| Error::Malformed { expected: "a ratchet tree", detail: error.to_string() };
        // This function reads from a reader. The other function of `tls_codec` asserts in debug
        // builds that a vector has the announced length.
        let tree = self.ratchet_tree.map(RatchetTreeIn::tls_deserialize_exact);
        Ok((parse(self.message, expected)?, tree.transpose().map_err(malformed)?))
    }
}

impl<'m, B: AsRef<[u8]> + ?Sized> From<&'m B> for JoinMessage<'m> {
    fn from(message: &'m B) -> Self {
        Self { message: message.as_ref(), ratchet_tree: None }
    }
}
