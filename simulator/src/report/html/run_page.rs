//! The page of `regrow run --html`: an overview of all files, and a section for each of them.

use std::io::{self, Write};

use maud::{Markup, html};

use super::{
    page::{Page, Section},
    scenario,
    table::{Cell, SortableTable},
    text::{count, left_out, outside},
};
use crate::{
    report::{
        CompromiseFigures, FileOutcome, RunResult,
        result::{Figures, Status},
        titles::Titles,
    },
    scenario::FileProblem,
};

/// The number of bytes after which the page gets no more details of scenarios that passed. A browser
/// opens such a page within seconds.
const MAX_DETAILS: usize = 24 << 20;

/// The number of bytes after which also failed scenarios get no more details.
const MAX_DETAILS_OF_FAILED: usize = 2 * MAX_DETAILS;

/// The largest number of links at the top to files that did not pass.
const LINKED_PROBLEMS: usize = 20;

/// The page of several runs. It takes the results one after the other, because a record is large.
pub struct RunPage {
    titles: Titles,
    overview: SortableTable,
    sections: Vec<Section>,
    details: usize,
    without_details: usize,
    /// The numbers of passed, failed and unusable files.
    counts: [usize; 3],
    /// Links to the first files that did not pass.
    problems: Vec<Markup>,
}

impl RunPage {
    /// A page without results. The titles are those of all scenarios that it will have.
    #[must_use]
    pub fn new(titles: Titles) -> Self {
        let mut overview = SortableTable::new("All scenarios");
        overview.text_column("result").text_column("scenario, file").number_column("members");
        overview.number_column("epochs").number_column("messages").number_column("exposed messages");
        overview.text_column("healed after (epochs)");
        let (sections, problems) = (Vec::new(), Vec::new());
        Self { titles, overview, sections, details: 0, without_details: 0, counts: [0; 3], problems }
    }

    /// Adds the result of a file.
    pub fn add(&mut self, result: &RunResult) {
        let status = result.status();
        self.counts[status as usize] += 1;
        let (id, badge) = (format!("s{}", self.sections.len() + 1), badge(status));
        let file = result.file.display().to_string();
        let section = match &result.outcome {
            FileOutcome::Unusable(problems) => {
                self.overview.row(
                    [Cell::markup(badge.clone()), Cell::markup(link(&id, &file))]
                        .into_iter()
                        .chain((0..5).map(|_| Cell::optional(None))),
                );
                Section::open(&id, file, unusable(problems))
            }
            FileOutcome::Ran { name, seed, outcome, transcript } => {
                let name = if name.trim().is_empty() { "(a scenario without a name)" } else { name };
                self.overview_row(&badge, &link(&id, name), &file, &outcome.figures);
                let most = if status == Status::Failed { MAX_DETAILS_OF_FAILED } else { MAX_DETAILS };
                let has_room = self.details < most;
                self.without_details += usize::from(!has_room);
                let run = scenario::ShownRun { id: &id, file: &file, seed: *seed, outcome, transcript };
                let content = if has_room { run.details() } else { run.head() };
                let title = self.titles.title(name, &result.file);
                if status == Status::Failed {
                    Section::open(&id, title, content)
                } else {
                    Section::closed(&id, title, content)
                }
            }
        };
        if status != Status::Passed && self.problems.len() < LINKED_PROBLEMS {
            self.problems.push(html! { (badge) " " (link(&id, section.title())) });
        }
        self.details += section.size();
        self.sections.push(section.with_badge(badge));
    }

    fn overview_row(&mut self, badge: &Markup, link: &Markup, file: &str, figures: &Figures) {
        let thieves = !figures.compromises.is_empty();
        self.overview.row([
            Cell::markup(badge.clone()),
            Cell::markup(html! { (link) " " small { (outside(file)) } }),
            Cell::number(figures.members),
            Cell::number(figures.epochs),
            Cell::number(figures.messages),
            Cell::optional(thieves.then_some(figures.exposed)),
            Cell::markup(healed(&figures.compromises)),
        ]);
    }

    /// Writes the page.
    ///
    /// # Errors
    ///
    /// Errors of the writer.
    pub fn write(mut self, out: &mut dyn Write) -> io::Result<()> {
        let [passed, failed, unusable] = self.counts;
        let single = self.sections.len() == 1;
        let lead = html! {
            p.summary {
                (count(self.sections.len(), "scenario")) ": " (passed) " passed, " (failed) " failed, "
                (unusable) " unusable."
            }
            @if !single && !self.problems.is_empty() { ul.problems {
                @for problem in &self.problems { li { (problem) } }
                @if failed + unusable > self.problems.len() { li { "and more: see the overview" } }
            } }
            @if self.without_details > 0 { (left_out(html! {
                "The page shows no details of " (count(self.without_details, "scenario")) ", because it already has "
                (MAX_DETAILS >> 20) " MB. Run these files alone."
            })) }
        };
        let mut page = Page::new(if single { "Scenario run" } else { "Scenario runs" }, lead);
        if !single {
            page.add(Section::open("overview", "Overview", self.overview.markup()));
        }
        for section in self.sections.drain(..) {
            page.add(if single { section.opened() } else { section });
        }
        page.write(out)
    }
}

fn link(id: &str, text: &str) -> Markup {
    html! { a href={ "#" (id) } { (outside(text)) } }
}

/// The result in a word and a sign. The sign differs in shape, not only in colour.
pub(super) fn badge(status: Status) -> Markup {
    let (class, sign, word) = match status {
        Status::Passed => ("passed", "✓", "passed"),
        Status::Failed => ("failed", "✗", "failed"),
        Status::Unusable => ("unusable", "!", "unusable"),
    };
    html! { span.badge.(class) { span aria-hidden="true" { (sign) " " } (word) } }
}

/// The healing of each thief: a number of epochs, or no.
fn healed(thieves: &[CompromiseFigures]) -> Markup {
    const SHOWN: usize = 4;
    let healed = |thief: &CompromiseFigures| thief.healed_after.map_or("no".to_owned(), |epochs| epochs.to_string());
    let mut texts: Vec<String> = thieves.iter().take(SHOWN).map(healed).collect();
    if thieves.len() > SHOWN {
        texts.push("…".to_owned());
    }
    html! { (texts.join(", ")) }
}

fn unusable(problems: &[FileProblem]) -> Markup {
    html! {
        p { "The file is no scenario, so nothing was run." }
        ul.problems { @for problem in problems { li { (outside(&problem.to_string())) } } }
    }
}
