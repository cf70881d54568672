//! Steps about all devices of a user, and about a device in all of its groups.

use super::{
    super::{
        describe::{Field, Kind, Object},
        fields::{At, FileReader},
        format::Action,
        name::{MemberName, UserName},
    },
    StepKind,
    membership::{ID, IN_GROUP},
};

const ADD_USER: Object = Object::new(&[
    Field::required("by", Kind::Name, "The committer."),
    Field::required("who", Kind::Name, "The user to add."),
    ID,
    IN_GROUP,
]);

const REMOVE_USER: Object = Object::new(&[
    Field::required("by", Kind::Name, "The committer."),
    Field::required("who", Kind::Name, "The user to remove."),
    ID,
    IN_GROUP,
]);

const LINK_DEVICE: Object = Object::new(&[
    Field::required("by", Kind::Name, "A device that is in the groups."),
    Field::required("who", Kind::Name, "Another device of the same user."),
]);

const LOST_DEVICE: Object = Object::new(&[
    Field::required("by", Kind::Name, "The device that reports the loss."),
    Field::required("who", Kind::Name, "The lost device."),
]);

pub(super) const STEPS: &[StepKind] = &[
    StepKind::action(
        "add_user",
        Kind::Object(&ADD_USER),
        |reader, at| of_user(reader, at, &ADD_USER, |by, who| Action::AddUser { by, who }),
        "One commit that adds all devices of a user that are not in the group.",
    )
    .racing(),
    StepKind::action(
        "remove_user",
        Kind::Object(&REMOVE_USER),
        |reader, at| of_user(reader, at, &REMOVE_USER, |by, who| Action::RemoveUser { by, who }),
        "One commit that removes all devices of a user. If it loses a race, it also removes devices that were added \
         meanwhile.",
    )
    .racing(),
    StepKind::action(
        "link_device",
        Kind::Object(&LINK_DEVICE),
        |reader, at| of_device(reader, at, &LINK_DEVICE, |by, who| Action::LinkDevice { by, who }),
        "Adds a device of the same user to each group of the device `by`, with one commit in each group.",
    ),
    StepKind::action(
        "lost_device",
        Kind::Object(&LOST_DEVICE),
        |reader, at| of_device(reader, at, &LOST_DEVICE, |by, who| Action::LostDevice { by, who }),
        "The delivery service removes the device for ever, and members remove it from every group: `by` from its own \
         groups, and in each other group the first member that can.",
    ),
];

fn of_user<'a>(
    reader: &mut FileReader<'a>,
    at: At<'a>,
    object: &'static Object,
    make: fn(MemberName, UserName) -> Action,
) -> Option<Action> {
    let fields = reader.described(at, object)?;
    let (by, who) = (fields.member(reader, "by"), fields.user(reader, "who"));
    let (id, group) = (fields.message(reader, "id"), fields.group(reader));
    Some(make(by?, who?).named(id).in_group(group))
}

fn of_device<'a>(
    reader: &mut FileReader<'a>,
    at: At<'a>,
    object: &'static Object,
    make: fn(MemberName, MemberName) -> Action,
) -> Option<Action> {
    let fields = reader.described(at, object)?;
    let (by, who) = (fields.member(reader, "by"), fields.member(reader, "who"));
    Some(make(by?, who?))
}
