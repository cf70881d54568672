//! The settings of a scenario that do not change its group: tags, timeouts and strictness.

use std::time::Duration;

use super::{
    describe::{Described, Field, Kind, Object, Rule},
    fields::FileReader,
};

/// The largest number of tags of a scenario.
pub const MAX_TAGS: usize = 32;

/// The settings of a scenario that do not change its group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunSettings {
    /// The names by which a run selects scenarios, each once.
    pub tags: Vec<String>,
    /// The longest times that the scenario may take.
    pub timeout: Timeout,
    /// True if each warning of the run is a failure.
    pub strict: bool,
}

/// The longest times that a scenario may take. A time that is not set has no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeout {
    /// The longest time on the clock of the machine.
    pub real: Option<Duration>,
    /// The longest time on the clock of the scenario.
    pub virtual_time: Option<Duration>,
}

pub(super) const TAGS: Kind = Kind::NameList(0, MAX_TAGS);

pub(super) const TIMEOUT: Object = Object::new(&[
    Field::optional("real", Kind::Duration, "The longest time of a run on the clock of the machine."),
    Field::optional(
        "virtual",
        Kind::Duration,
        "The longest time on the clock of the scenario. The first step that ends later fails the scenario.",
    ),
])
.about("The longest times that the scenario may take.")
.rules(&[Rule::NotEmpty("a time is missing")]);

/// Reads the settings from the top of a file.
pub(super) fn run_settings<'a>(reader: &mut FileReader<'a>, top: &Described<'a>) -> RunSettings {
    let tags = top.name_list(reader, "tags").unwrap_or_default();
    let timeout = top.get("timeout").and_then(|at| {
        let fields = reader.described(at, &TIMEOUT)?;
        Some(Timeout { real: fields.duration(reader, "real"), virtual_time: fields.duration(reader, "virtual") })
    });
    let strict = top.truth(reader, "strict").unwrap_or_default();
    RunSettings { tags, timeout: timeout.unwrap_or_default(), strict }
}
