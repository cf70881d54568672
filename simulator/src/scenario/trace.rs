//! Reads the field `trace`: the history that a scenario replays before its steps.

use std::{
    path::{Component, Path},
    sync::Arc,
};

use super::{
    describe::{Field, Kind, Object},
    fields::{At, FileReader},
    format::Place,
    step::churn::{UPDATES, updates},
};
use crate::trace::{History, Replay};

pub(super) const TRACE: Object = Object::new(&[
    Field::required("file", Kind::Line, "The path of the CSV file, in the folder of the scenario or below it."),
    Field::with_default("true", "messages", Kind::Truth, "False: the messages of the trace are not sent."),
    Field::optional("updates", Kind::Object(&UPDATES), "The updates of the members, as in a churn."),
]);

/// Loads the history of a trace by its path in the scenario, or tells the mistake.
pub(crate) type Traces<'t> = dyn Fn(&str) -> Result<Arc<History>, String> + 't;

/// Reads the path of a trace, or an object with the path and settings.
pub(super) fn trace<'a>(reader: &mut FileReader<'a>, at: At<'a>, traces: &Traces<'_>) -> Option<Replay> {
    let line = reader.source.line(at.json);
    let place = Place { number: Arc::from("trace"), path: Arc::from("trace"), line, turn: None };
    let (file, messages, rules) = if at.json.text().is_some() {
        (Some(at), None, None)
    } else {
        let fields = reader.described(at, &TRACE)?;
        let messages = fields.truth(reader, "messages");
        (fields.get("file"), messages, fields.get("updates").and_then(|at| updates(reader, at)))
    };
    let file = file?;
    let path = path(reader, &file)?;
    let history = traces(&path).map_err(|mistake| reader.note(&file, mistake)).ok()?;
    Some(Replay {
        file: Arc::from(path),
        messages: messages.unwrap_or(true),
        updates: rules.unwrap_or_default(),
        history,
        place,
    })
}

/// Reads a path that stays in the folder of the scenario. A scenario from elsewhere cannot make its
/// reader open other files.
fn path<'a>(reader: &mut FileReader<'a>, at: &At<'a>) -> Option<String> {
    let text = reader.line(at)?;
    let stays = Path::new(&text).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !stays {
        reader.note(at, "a trace is in the folder of its scenario or below it; give a relative path without `..`");
    }
    stays.then_some(text)
}
