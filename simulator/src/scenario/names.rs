//! Reads the fields of a step that name members or messages.

use super::{
    fields::{At, FileReader},
    name::{MemberName, MessageId},
};

/// Reads the name of one member.
pub(super) fn member<'a>(reader: &mut FileReader<'a>, at: Option<At<'a>>) -> Option<MemberName> {
    reader.name(&at?).map(MemberName::new)
}

/// Reads a name or a list of names of members.
pub(super) fn members<'a>(reader: &mut FileReader<'a>, at: Option<At<'a>>) -> Option<Vec<MemberName>> {
    Some(reader.names(&at?)?.into_iter().map(MemberName::new).collect())
}

/// Reads a name or a list of names of messages.
pub(super) fn messages<'a>(reader: &mut FileReader<'a>, at: Option<At<'a>>) -> Option<Vec<MessageId>> {
    Some(reader.names(&at?)?.into_iter().map(MessageId::new).collect())
}
