//! How to do what applications do with this crate: one page for each task, with code that is compiled and run.
//!
//! | task | page |
//! | --- | --- |
//! | two people chat, and one of them restarts | [`two_people_chat`] |
//! | several members change a group at once | [`races`] |
//! | a device cannot go on in a group | [`rejoin`] |
//! | a device is linked, and a lost one removed everywhere | [`lost_device`] |
//! | the only device is lost | [`back_up_and_restore`] |
//! | two people make sure that nobody is between them | [`verify_a_friend`] |
//! | keys are replaced before a thief has had much of them | [`rotate_keys`] |
//!
//! These modules are empty: they are there to be read.

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
