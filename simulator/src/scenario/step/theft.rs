//! Compromises, and the acts of thieves.

use super::{
    super::{
        describe::{Field, Kind, Object, Rule, words},
        fields::{At, FileReader},
        format::{Action, TheftScope, ThiefAction},
    },
    StepKind,
    membership::IN_GROUP,
};

const COMPROMISE: Object = Object::new(&[
    Field::required("who", Kind::Name, "The member whose device is stolen."),
    Field::required("id", Kind::Name, "The compromise's name in other steps."),
    Field::with_default(
        "device",
        "scope",
        Kind::Word(words::<TheftScope>),
        "`device`: everything, stored records and memory. `disk`: the files of the storage, without their key. \
         `backup`: the latest backup of the device, with its passphrase.",
    ),
]);

const IMPERSONATE: Object = Object::new(&[
    Field::required("compromise", Kind::Name, "The compromise whose stolen state the adversary uses."),
    Field::required("action", Kind::Word(words::<ThiefAction>), "The act of the adversary."),
    Field::optional("id", Kind::Name, "The message's name in other steps."),
    IN_GROUP,
])
.rules(&[Rule::OnlyWith("id", "action", "send", "only the action `send` has an `id`")]);

pub(super) const STEPS: &[StepKind] = &[
    StepKind::action(
        "compromise",
        Kind::Object(&COMPROMISE),
        compromise,
        "Gives the adversary a copy of the device's present state.",
    ),
    StepKind::action(
        "impersonate",
        Kind::Object(&IMPERSONATE),
        impersonate,
        "The adversary acts in the name of the device that it stole.",
    ),
];

fn compromise<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let fields = reader.described(at, &COMPROMISE)?;
    let (who, id) = (fields.member(reader, "who"), fields.compromise(reader, "id"));
    let scope = fields.word(reader, "scope").unwrap_or_default();
    Some(Action::Compromise { who: who?, id: id?, scope })
}

fn impersonate<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let fields = reader.described(at, &IMPERSONATE)?;
    let (compromise, act) = (fields.compromise(reader, "compromise"), fields.word(reader, "action"));
    let (id, group) = (fields.message(reader, "id"), fields.group(reader));
    Some(Action::Impersonate { compromise: compromise?, act: act?, id }.in_group(group))
}
