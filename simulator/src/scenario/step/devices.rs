//! Steps in the life of a device beside the group.

use super::{
    super::{
        describe::{Field, Kind, Object},
        fields::{At, FileReader},
        format::Action,
    },
    StepKind,
    membership::IN_GROUP,
};

const UPKEEP: Object = Object::new(&[Field::required("who", Kind::AnyNames, "The members."), IN_GROUP]);

pub(super) const STEPS: &[StepKind] = &[StepKind::action(
    "upkeep",
    Kind::Object(&UPKEEP),
    upkeep,
    "Each of these members, one after the other, does the work that is due by its policy: it removes inactive \
     members, and replaces its keys. A member that is not connected or not in the group does nothing.",
)];

fn upkeep<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let fields = reader.described(at, &UPKEEP)?;
    let (who, group) = (fields.members(reader, "who"), fields.group(reader));
    Some(Action::Upkeep { who: who? }.in_group(group))
}
