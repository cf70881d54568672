//! Guides for common tasks: one page for each task, with code that is compiled and run.
//!
//! | task | page |
//! | --- | --- |
//! | let two people chat, and restart one device | [`two_people_chat`] |
//! | let several members change a group at once | [`races`] |
//! | rejoin a group in which a device cannot continue | [`rejoin`] |
//! | link a device, and remove a lost device everywhere | [`lost_device`] |
//! | replace the only device of a user after a loss | [`back_up_and_restore`] |
//! | let two people make sure that nobody is between them | [`verify_a_friend`] |
//! | replace keys, to limit the use of stolen keys | [`rotate_keys`] |
//!
//! These modules are empty. They contain only documentation.

#[doc = include_str!("guide/two_people_chat.md")]
pub mod two_people_chat {}

#[doc = include_str!("guide/races.md")]
pub mod races {}

#[doc = include_str!("guide/rejoin.md")]
pub mod rejoin {}

#[doc = include_str!("guide/lost_device.md")]
pub mod lost_device {}

#[doc = include_str!("guide/back_up_and_restore.md")]
pub mod back_up_and_restore {}

#[doc = include_str!("guide/verify_a_friend.md")]
pub mod verify_a_friend {}

#[doc = include_str!("guide/rotate_keys.md")]
pub mod rotate_keys {}
