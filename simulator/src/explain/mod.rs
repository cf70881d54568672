//! Explains a run to a reader who does not know MLS: each failure with the states around it, and the
//! way from stolen bytes to a message.
//!
//! [`explain`] runs a scenario twice. The first run shows the failures. The second run records the
//! states of the members that they concern, and the derivations of the thieves.
//!
//! | module | content |
//! | --- | --- |
//! | `explanation` | the parts of an explanation |
//! | `question` | the message and the thief that a reader asks about |
//! | `story` | a run with its scenario: places, epochs, messages |
//! | `located` | the step, the members and the secrets that a failure concerns |
//! | `failure` | explains a failure |
//! | `expectation` | an expectation in words, with the reason why it does not hold |
//! | `costs`, `events` | a figure of the costs, and an event, in words |
//! | `other_fields` | the fields of an `expect` about due work, verified members and the service |
//! | `fail_code` | the cause and the remedy of a step that failed |
//! | `member` | the state of a member in words |
//! | `way` | the way from a stolen record to a key, with the sections of RFC 9420 |
//! | `thief` | the messages that a thief can read |
//! | `terms` | the meaning of a word at its first use |
//! | [`text`] | writes an explanation for a person |
//!
//! Nothing here decides if a scenario passed.

mod costs;
mod events;
mod expectation;
mod explanation;
mod fail_code;
mod failure;
mod located;
mod member;
mod other_fields;
mod question;
mod story;
mod terms;
pub mod text;
mod thief;
mod way;

use crate::{
    report::{Focus, RunOptions, RunOutcome},
    scenario::{Fidelity, Scenario},
};

pub use self::{
    explanation::{
        Answer, ExplainedFailure, ExplainedMember, ExplainedReading, ExplainedThief, Explanation, LeftOut, StateLine,
        Way, WayStep,
    },
    question::{CannotExplain, Question},
};
use self::{located::Located, story::Story, terms::Terms};

/// The largest number of explained failures. The first ones usually tell everything.
pub const MAX_FAILURES: usize = 10;

/// Runs a scenario, and explains its failures, or the answer to a question. `run` runs the scenario
/// with these options.
///
/// # Errors
/// The scenario has only costs, or the question names something that the run does not have.
pub fn explain(
    scenario: &Scenario,
    question: &Question,
    seed: Option<u64>,
    run: &dyn Fn(&RunOptions) -> RunOutcome,
) -> Result<Explanation, CannotExplain> {
    if scenario.fidelity == Fidelity::Model {
        return Err(CannotExplain::Model);
    }
    let options = RunOptions { seed, record: true, ..RunOptions::default() };
    let seed = options.seed_of(scenario);
    let mut outcome = run(&options);
    if let Some(story) = Story::of(scenario, seed, &outcome) {
        let focus = focus(&story, question)?;
        if focus != Focus::default() {
            outcome = run(&RunOptions { focus, ..options });
        }
    }
    let explanation = Explanation::begin(scenario, seed, &outcome);
    // A run that could not begin has failures, and no record of anything.
    let Some(story) = Story::of(scenario, seed, &outcome) else { return Ok(explanation) };
    Ok(told(&story, question, explanation))
}

/// The parts of the run that the explanation needs in full detail.
fn focus(story: &Story<'_>, question: &Question) -> Result<Focus, CannotExplain> {
    let mut focus = Focus::default();
    question.add_to(story, &mut focus)?;
    if question.is_open() {
        story.failures().for_each(|failure| Located::new(story, failure).add_to(story, &mut focus));
        if story.outcome.failures.is_empty() {
            thief::add_to(story, &mut focus);
        }
    }
    Ok(focus)
}

fn told(story: &Story<'_>, question: &Question, explanation: Explanation) -> Explanation {
    let mut terms = Terms::default();
    let mut told = explanation;
    if !question.is_open() {
        told.answers = question.answers(story, &mut terms);
        return told;
    }
    let mut shown = failure::Shown::default();
    told.failures =
        story.failures().map(|failure| failure::explained(story, &mut terms, &mut shown, failure)).collect();
    if story.outcome.failures.is_empty() {
        told.thieves = story.record.thieves.iter().map(|thief| thief::summary(story, &mut terms, thief)).collect();
    }
    told
}
