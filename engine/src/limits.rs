//! The maximum sizes of values that the application passes to the engine.

/// The maximum length of a message's text, in bytes. A device has several copies of the text in
/// memory while it encrypts or decrypts the message.
pub const MAX_TEXT_BYTES: usize = 16 * 1024 * 1024;

/// The maximum length of the group data, in bytes. The data is signed with every message of the
/// group, and is in every welcome.
pub const MAX_GROUP_DATA_BYTES: usize = 4096;

/// The maximum length of an app data name, in bytes. It is enough for a group identifier of usual
/// length and much more. Names stay in memory as long as the store is open.
pub const MAX_APP_DATA_NAME_BYTES: usize = 1024;
