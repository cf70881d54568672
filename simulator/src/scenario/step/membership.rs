//! Steps that change the group.

use regrow_engine::MAX_GROUP_DATA_BYTES;

use super::{
    super::{
        describe::{Field, Kind, Object, Rule},
        fields::{At, FileReader},
        format::{Action, Proposal},
        name::MemberName,
    },
    StepKind,
};

/// The group in which a step acts.
pub(super) const IN_GROUP: Field =
    Field::with_default("group", "group", Kind::Name, "The name of the group in which the step acts.");

/// The name of the commit or the proposals that a step makes.
pub(super) const ID: Field =
    Field::optional("id", Kind::Name, "The name of the commit, or of each proposal, for delivery rules.");

const CREATE: Object = Object::new(&[
    Field::required("by", Kind::Name, "The creator."),
    Field::optional("with", Kind::AnyNames, "The members that the same commit adds."),
    ID,
    IN_GROUP,
])
.rules(&[Rule::Needs(
    &["id"],
    &["with"],
    "a group of one member begins without a commit, so there is nothing to name",
)]);

const ADD: Object = Object::new(&[
    Field::required("by", Kind::Name, "The committer."),
    Field::required("who", Kind::Names, "The members to add."),
    ID,
    IN_GROUP,
]);

const REMOVE: Object = Object::new(&[
    Field::required("by", Kind::Name, "The committer."),
    Field::required("who", Kind::Names, "The members to remove."),
    ID,
    IN_GROUP,
]);

const UPDATE: Object = Object::new(&[
    Field::required("by", Kind::Name, "The committer."),
    Field::with_default("false", "signature_key", Kind::Truth, "True if the leaf also gets a new signature key."),
    ID,
    IN_GROUP,
]);

const LEAVE: Object = Object::new(&[Field::required("who", Kind::AnyNames, "The members that leave."), ID, IN_GROUP]);

const PROPOSE: Object = Object::new(&[
    Field::required("by", Kind::Name, "The proposer."),
    Field::optional("add", Kind::Names, "Members to add: one proposal for each."),
    Field::optional("remove", Kind::Names, "Members to remove: one proposal for each."),
    Field::optional("update", Kind::True, "A new key for the proposer's own leaf."),
    ID,
    IN_GROUP,
])
.rules(&[Rule::ExactlyOne(&["add", "remove", "update"])]);

const SET_DATA: Object = Object::new(&[
    Field::required("by", Kind::Name, "The committer."),
    Field::required("data", Kind::Text(MAX_GROUP_DATA_BYTES as u32), "The new data. It replaces the old data."),
    ID,
    IN_GROUP,
]);

const COMMIT: Object = Object::new(&[Field::required("by", Kind::Name, "The committer."), ID, IN_GROUP]);

const JOIN: Object = Object::new(&[Field::required("who", Kind::AnyNames, "The devices that join."), ID, IN_GROUP]);

const REJOIN: Object =
    Object::new(&[Field::required("who", Kind::AnyNames, "The members that have lost their state."), ID, IN_GROUP]);

pub(super) const STEPS: &[StepKind] = &[
    StepKind::action(
        "create",
        Kind::Object(&CREATE),
        create,
        "Creates the group, in epoch 0. With `with`, one commit adds these members and begins epoch 1. Each group has \
         one `create`, before any step that needs the group.",
    ),
    StepKind::action(
        "add",
        Kind::Object(&ADD),
        add,
        "One commit that adds all of these members. They join by its welcome.",
    )
    .racing(),
    StepKind::action("remove", Kind::Object(&REMOVE), remove, "One commit that removes all of these members.").racing(),
    StepKind::action("update", Kind::Object(&UPDATE), update, "A commit with a new update path.").racing(),
    StepKind::action(
        "leave",
        Kind::Object(&LEAVE),
        |reader, at| of_several(reader, at, &LEAVE, |who| Action::Leave { who }),
        "Each of these members proposes its own removal. The next commit of another member removes it.",
    )
    .racing(),
    StepKind::action("propose", Kind::Object(&PROPOSE), propose, "Proposals by reference.").racing(),
    StepKind::action(
        "set_data",
        Kind::Object(&SET_DATA),
        set_data,
        "One commit that sets the group data: a text that all members of the group have, also later ones.",
    )
    .racing(),
    StepKind::action("commit", Kind::Object(&COMMIT), commit, "One commit of all proposals of this epoch.").racing(),
    StepKind::action(
        "join",
        Kind::Object(&JOIN),
        |reader, at| of_several(reader, at, &JOIN, |who| Action::Join { who }),
        "Each of these devices joins by external commit, one after the other. It needs `publish_group_info`.",
    )
    .racing(),
    StepKind::action(
        "rejoin",
        Kind::Object(&REJOIN),
        |reader, at| of_several(reader, at, &REJOIN, |who| Action::Rejoin { who }),
        "Each of these members replaces its own leaf by external commit, because it has lost its state. It needs \
         `publish_group_info`.",
    )
    .racing(),
];

fn create<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let fields = reader.described(at, &CREATE)?;
    let by = fields.member(reader, "by");
    let with = fields.members(reader, "with").unwrap_or_default();
    let (id, group) = (fields.message(reader, "id"), fields.group(reader));
    Some(Action::Create { by: by?, with }.named(id).in_group(group))
}

fn add<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let fields = reader.described(at, &ADD)?;
    let (by, who) = (fields.member(reader, "by"), fields.members(reader, "who"));
    let (id, group) = (fields.message(reader, "id"), fields.group(reader));
    Some(Action::Add { by: by?, who: who? }.named(id).in_group(group))
}

fn remove<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let fields = reader.described(at, &REMOVE)?;
    let (by, who) = (fields.member(reader, "by"), fields.members(reader, "who"));
    let (id, group) = (fields.message(reader, "id"), fields.group(reader));
    Some(Action::Remove { by: by?, who: who? }.named(id).in_group(group))
}

fn update<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let fields = reader.described(at, &UPDATE)?;
    let by = fields.member(reader, "by");
    let signature_key = fields.truth(reader, "signature_key").unwrap_or_default();
    let (id, group) = (fields.message(reader, "id"), fields.group(reader));
    Some(Action::Update { by: by?, signature_key }.named(id).in_group(group))
}

fn propose<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let fields = reader.described(at, &PROPOSE)?;
    let by = fields.member(reader, "by");
    let add = fields.members(reader, "add").map(Proposal::Add);
    let remove = fields.members(reader, "remove").map(Proposal::Remove);
    let update = fields.is_true(reader, "update").then_some(Proposal::Update);
    let (id, group) = (fields.message(reader, "id"), fields.group(reader));
    Some(Action::Propose { by: by?, what: add.or(remove).or(update)? }.named(id).in_group(group))
}

fn set_data<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let fields = reader.described(at, &SET_DATA)?;
    let (by, data) = (fields.member(reader, "by"), fields.text(reader, "data"));
    let (id, group) = (fields.message(reader, "id"), fields.group(reader));
    Some(Action::SetData { by: by?, data: data? }.named(id).in_group(group))
}

fn commit<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let fields = reader.described(at, &COMMIT)?;
    let by = fields.member(reader, "by");
    let (id, group) = (fields.message(reader, "id"), fields.group(reader));
    Some(Action::Commit { by: by? }.named(id).in_group(group))
}

fn of_several<'a>(
    reader: &mut FileReader<'a>,
    at: At<'a>,
    object: &'static Object,
    make: fn(Vec<MemberName>) -> Action,
) -> Option<Action> {
    let fields = reader.described(at, object)?;
    let who = fields.members(reader, "who");
    let (id, group) = (fields.message(reader, "id"), fields.group(reader));
    Some(make(who?).named(id).in_group(group))
}
