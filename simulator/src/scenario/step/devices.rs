//! Steps in the life of a device beside the group.

use super::{
    super::{
        describe::{Field, Kind, Object},
        fields::{At, FileReader},
        format::Action,
    },
    StepKind,
};

const UPKEEP: Object = Object::new(&[Field::required("who", Kind::AnyNames, "The members.")]);

pub(super) const STEPS: &[StepKind] = &[StepKind::action(
    "upkeep",
    Kind::Object(&UPKEEP),
    upkeep,
    "Each of these members, one after the other, does the work that is due by its policy: it removes inactive \
     members, and replaces its keys. A member that is not connected or not in the group does nothing.",
)];

fn upkeep<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    Some(Action::Upkeep { who: reader.described(at, &UPKEEP)?.members(reader, "who")? })
}
