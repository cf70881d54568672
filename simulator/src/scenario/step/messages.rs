//! Application messages.

use super::{
    super::{
        describe::{Field, Kind, Object, Rule},
        fields::{At, FileReader},
        format::{Action, DEFAULT_MESSAGE_SIZE, MessageBody},
    },
    StepKind,
    membership::IN_GROUP,
};

/// The size of the largest message, in bytes of plaintext. One step cannot fill the memory.
pub const MAX_MESSAGE_SIZE: u32 = 1_048_576;

const SEND: Object = Object::new(&[
    Field::required("by", Kind::Name, "The sender."),
    Field::required("id", Kind::Name, "The message's name in other steps."),
    Field::with_default(
        "32",
        "size",
        Kind::Number(0, MAX_MESSAGE_SIZE as u64),
        "The number of bytes of a plaintext that comes from the seed.",
    ),
    Field::optional("text", Kind::Text(MAX_MESSAGE_SIZE), "The plaintext itself."),
    IN_GROUP,
])
.rules(&[Rule::NotBoth("size", "text", "a message has either a `size` or a `text`, found both")]);

pub(super) const STEPS: &[StepKind] =
    &[StepKind::action("send", Kind::Object(&SEND), send, "An application message.").racing()];

fn send<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let fields = reader.described(at, &SEND)?;
    let (by, id) = (fields.member(reader, "by"), fields.message(reader, "id"));
    let text = fields.text(reader, "text").map(MessageBody::Text);
    let size = fields.small(reader, "size").unwrap_or(DEFAULT_MESSAGE_SIZE);
    let group = fields.group(reader);
    Some(Action::Send { by: by?, id: id?, body: text.unwrap_or(MessageBody::Size(size)) }.in_group(group))
}
