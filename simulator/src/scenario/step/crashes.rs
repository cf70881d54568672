//! Crashes of a member's process.

use super::{
    super::{
        describe::{Field, Kind, Object, words},
        fields::{At, FileReader},
        format::{Action, CrashPoint},
    },
    StepKind,
};

const CRASH: Object = Object::new(&[
    Field::required("who", Kind::Name, "The member whose process dies."),
    Field::required("at", Kind::Word(words::<CrashPoint>), "The point at which the process dies."),
]);

pub(super) const STEPS: &[StepKind] = &[StepKind::action(
    "crash",
    Kind::Object(&CRASH),
    crash,
    "The member's next operation that reaches this point dies there, and the process starts again.",
)];

fn crash<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let fields = reader.described(at, &CRASH)?;
    let (who, at) = (fields.member(reader, "who"), fields.word(reader, "at"));
    Some(Action::Crash { who: who?, at: at? })
}
