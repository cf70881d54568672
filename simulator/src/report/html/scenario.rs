//! The section of one scenario.

use maud::{Markup, html};

use super::{
    costs, exposure, failures,
    page::generator,
    text::{count, grouped, outside},
    timeline, tree,
};
use crate::{
    report::{RunOutcome, RunRecord},
    scenario::GroupName,
};

/// A run of a scenario.
pub(super) struct ShownRun<'r> {
    /// The prefix of all ids in the section.
    pub(super) id: &'r str,
    pub(super) file: &'r str,
    pub(super) seed: u64,
    pub(super) outcome: &'r RunOutcome,
    /// The hash of the transcript.
    pub(super) transcript: &'r str,
}

impl ShownRun<'_> {
    /// The part of the section that every run has: the facts about the run, and its failures.
    pub(super) fn head(&self) -> Markup {
        let figures = &self.outcome.figures;
        let record = self.outcome.record.as_deref();
        let about = record.and_then(|record| record.about.as_deref());
        let groups = record.map(|record| record.groups.len()).filter(|groups| *groups > 1);
        html! {
            @if let Some(about) = about { p.about { (outside(about)) } }
            (failures::list(self.id, &self.outcome.failures, self.outcome.record.as_deref()))
            (failures::warnings(self.id, &self.outcome.warnings, self.outcome.record.as_deref()))
            dl.facts {
                div { dt { "File" } dd { (outside(self.file)) } }
                div { dt { "Seed" } dd { (self.seed) } }
                div { dt { "Version" } dd { (generator()) } }
                div { dt { "At the end" } dd {
                    @if let Some(groups) = groups { (count(groups, "group")) ", " }
                    (count(figures.members as usize, "member")) ", " (count(figures.epochs as usize, "commit")) ", "
                    (count(figures.messages as usize, "message"))
                    @if !figures.compromises.is_empty() { ", " (grouped(figures.exposed)) " of them exposed" }
                } }
                @if !self.transcript.is_empty() {
                    div.wide { dt { "Transcript" } dd { code { "sha256 " (self.transcript) } } }
                }
                div.wide { dt { "Command" } dd { code.command { (outside(&self.command())) } } }
            }
        }
    }

    /// The whole section.
    pub(super) fn details(&self) -> Markup {
        let Some(record) = &self.outcome.record else { return self.head() };
        let parts = [
            ("steps", "Steps", timeline::section(self.id, record, &self.outcome.failures)),
            ("trees", "Ratchet tree", tree::section(self.id, record)),
            ("exposure", "Exposure", exposure::section(self.id, record, &self.outcome.figures)),
            ("costs", "Costs", costs::section(&self.outcome.costs, record.has_several_groups())),
        ];
        let parts: Vec<_> = parts.into_iter().filter_map(|(part, title, shown)| Some((part, title, shown?))).collect();
        html! {
            (self.head())
            @if parts.len() > 1 {
                nav.parts aria-label="Parts of this scenario" {
                    @for (part, title, _) in &parts { a href={ "#" (self.id) "-" (part) } { (title) } }
                }
            }
            @for (part, title, shown) in &parts {
                section.part id={ (self.id) "-" (part) } { h3 { (title) } (shown) }
            }
        }
    }

    /// The command that repeats the run.
    fn command(&self) -> String {
        format!("regrow run {} --seed {}", quoted(self.file), self.seed)
    }
}

/// A path as a word of a shell's command.
fn quoted(path: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if path.chars().all(is_plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

/// The id of a step in a page.
pub(super) fn step_id(id: &str, step: usize) -> String {
    format!("{id}-step-{step}")
}

/// A link to a step: its number, with its turn.
pub(super) fn step_link(id: &str, record: &RunRecord, step: Option<usize>) -> Markup {
    let place = step.and_then(|step| Some((step, &record.steps.get(step)?.place)));
    html! { @if let Some((step, place)) = place { a href={ "#" (step_id(id, step)) } { (step_number(place)) } } }
}

/// The number of a step, with its turn if the step is repeated: `5.2/3`.
pub(super) fn step_number(place: &crate::scenario::Place) -> String {
    place.turn.map_or_else(|| place.number.to_string(), |turn| format!("{}/{turn}", place.number))
}

/// The id of a group in a page. The number of the group counts from 1.
pub(super) fn group_id(id: &str, record: &RunRecord, group: &GroupName) -> String {
    let number = record.groups.keys().take_while(|known| *known != group).count() + 1;
    format!("{id}-group-{number}")
}

/// The id of an epoch in a page. With several groups, it begins with the id of the group.
pub(super) fn epoch_id(id: &str, record: &RunRecord, group: &GroupName, epoch: u64) -> String {
    match record.has_several_groups() {
        true => format!("{}-epoch-{epoch}", group_id(id, record, group)),
        false => format!("{id}-epoch-{epoch}"),
    }
}

/// The mark of a thief: A for the first thief, and T27 for the thief after Z.
pub(super) fn thief_mark(number: usize) -> String {
    match u8::try_from(number) {
        Ok(number) if number < 26 => char::from(b'A' + number).to_string(),
        _ => format!("T{}", number + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_quotes_a_path_that_a_shell_would_read() {
        assert_eq!(quoted("scenarios/a_b-1.json"), "scenarios/a_b-1.json");
        assert_eq!(quoted("it's $(here)"), r"'it'\''s $(here)'");
    }

    #[test]
    fn every_thief_has_its_own_mark() {
        assert_eq!([0, 25, 26, 1_000].map(thief_mark), ["A", "Z", "T27", "T1001"]);
    }
}
