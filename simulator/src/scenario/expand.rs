//! Turns the steps of a file into the steps of a run: `repeat` becomes its turns, expressions such
//! as `{i}` become numbers, `everybody` and `others` become names, and a trace and `churn` become the
//! steps that they generate.

use super::{
    at_turn::Turn,
    format::{Action, Expect, Place, Placed, Scenario, Step, WrittenStep},
    users::Users,
};
use crate::{
    churn::{Churn, ChurnSteps, Group, Roster},
    trace::ReplaySteps,
};

/// A step of a run, or a generator of such steps.
pub(crate) enum StepSource<'a> {
    /// One step.
    Written(Placed<Step>),
    /// The steps of a churn, and its place.
    Churn(Place, &'a Churn),
}

impl Scenario {
    /// The steps in the order of the run, with the scenario's own seed. The iterator is lazy: a
    /// `repeat` or a `churn` of a million steps needs no memory for them.
    pub fn expand(&self) -> impl Iterator<Item = Placed<Step>> + '_ {
        self.expand_with_seed(self.seed)
    }

    /// The steps in the order of a run with this seed. Only generated steps depend on the seed.
    pub fn expand_with_seed(&self, seed: u64) -> impl Iterator<Item = Placed<Step>> + '_ {
        Expansion::new(self, seed)
    }

    /// The steps as they are written, and the generators between them. Nothing is generated.
    pub(crate) fn sources(&self) -> impl Iterator<Item = StepSource<'_>> {
        let users = Users::of(&self.members);
        self.steps
            .iter()
            .flat_map(turns)
            .map(move |(node, turn)| node.source(Turn { number: turn, members: &self.members, users: &users }))
    }

    /// The steps that are written, without the generated ones.
    pub(crate) fn written_steps(&self) -> impl Iterator<Item = Placed<Step>> + '_ {
        self.sources().filter_map(|source| match source {
            StepSource::Written(step) => Some(step),
            StepSource::Churn(..) => None,
        })
    }

    /// True if an `expect` has limits of costs.
    pub(crate) fn expects_costs(&self) -> bool {
        asks(&self.steps, &|expect| expect.costs.is_some())
    }

    /// True if an `expect` asks for events.
    pub(crate) fn expects_events(&self) -> bool {
        asks(&self.steps, &|expect| !expect.events.is_empty())
    }

    /// The first step that the [cost model](crate::model) does not have, and its name.
    #[must_use]
    pub fn first_without_model(&self) -> Option<(Place, &'static str)> {
        self.written_steps().find_map(|step| match &step.item {
            Step::Do(action) if !action.has_model() => Some((step.place.clone(), action.name())),
            _ => None,
        })
    }

    /// The number of written actions in a run. Each action of a race counts, and a churn counts as
    /// one. The number saturates.
    #[must_use]
    pub fn expanded_len(&self) -> u64 {
        expanded_len(&self.steps)
    }
}

/// True if one of the expectations asks for something.
fn asks(nodes: &[Placed<WrittenStep>], for_it: &dyn Fn(&Expect) -> bool) -> bool {
    nodes.iter().any(|node| match &node.item {
        WrittenStep::Do(action) => action.expect().is_some_and(for_it),
        WrittenStep::Race(nodes) | WrittenStep::Repeat { steps: nodes, .. } => asks(nodes, for_it),
        WrittenStep::Churn(_) => false,
    })
}

fn expanded_len(nodes: &[Placed<WrittenStep>]) -> u64 {
    nodes.iter().fold(0, |sum, node| {
        sum.saturating_add(match &node.item {
            WrittenStep::Do(_) | WrittenStep::Churn(_) => 1,
            WrittenStep::Race(contenders) => expanded_len(contenders),
            WrittenStep::Repeat { times, steps } => u64::from(*times).saturating_mul(expanded_len(steps)),
        })
    })
}

/// Returns the node itself or, for a `repeat`, its inner nodes once for each turn.
fn turns(node: &Placed<WrittenStep>) -> Box<dyn Iterator<Item = (&Placed<WrittenStep>, Option<u32>)> + '_> {
    match &node.item {
        WrittenStep::Repeat { times, steps } => {
            Box::new((1..=*times).flat_map(move |turn| steps.iter().map(move |step| (step, Some(turn)))))
        }
        WrittenStep::Do(_) | WrittenStep::Race(_) | WrittenStep::Churn(_) => {
            Box::new(std::iter::once((node, node.place.turn)))
        }
    }
}

impl Placed<WrittenStep> {
    /// This node as the source of a given turn. The parser allows no `repeat` inside of another.
    /// Therefore a node with other nodes is a race.
    fn source(&self, turn: Turn<'_>) -> StepSource<'_> {
        let place = self.place.at_turn(turn.number);
        let item = match &self.item {
            WrittenStep::Do(action) => Step::Do(action.at_turn(turn)),
            WrittenStep::Race(nodes) | WrittenStep::Repeat { steps: nodes, .. } => Step::Race(contenders(nodes, turn)),
            WrittenStep::Churn(churn) => return StepSource::Churn(place, churn),
        };
        StepSource::Written(Placed { place, item })
    }
}

/// The steps of a run. Generators need the membership that the steps before them have made.
struct Expansion<'a> {
    scenario: &'a Scenario,
    seed: u64,
    sources: Box<dyn Iterator<Item = StepSource<'a>> + 'a>,
    /// The membership. Not set if the scenario has no generator.
    roster: Option<Roster<'a>>,
    churns: u32,
    generator: Option<Generator<'a>>,
}

/// The generator whose steps come next.
enum Generator<'a> {
    Churn(Box<ChurnSteps<'a>>),
    Replay(Box<ReplaySteps<'a>>),
}

impl Generator<'_> {
    fn next(&mut self, group: &mut Group) -> Option<Placed<Step>> {
        match self {
            Self::Churn(steps) => steps.next(group),
            Self::Replay(steps) => steps.next(group),
        }
    }
}

impl<'a> Expansion<'a> {
    fn new(scenario: &'a Scenario, seed: u64) -> Self {
        let replay = scenario.trace.as_ref().map(|replay| ReplaySteps::new(replay, seed));
        let generates = scenario.steps.iter().any(|step| matches!(step.item, WrittenStep::Churn(_)));
        let roster = (generates || replay.is_some()).then(|| Roster::new(&scenario.members));
        let generator = replay.map(|replay| Generator::Replay(Box::new(replay)));
        Self { scenario, seed, sources: Box::new(scenario.sources()), roster, churns: 0, generator }
    }
}

impl Iterator for Expansion<'_> {
    type Item = Placed<Step>;

    fn next(&mut self) -> Option<Placed<Step>> {
        loop {
            if let (Some(generator), Some(roster)) = (&mut self.generator, &mut self.roster) {
                if let Some(step) = generator.next(&mut roster.group) {
                    return Some(step);
                }
                self.generator = None;
            }
            match self.sources.next()? {
                StepSource::Written(step) => {
                    if let Some(roster) = &mut self.roster {
                        roster.apply(&step.item);
                    }
                    return Some(step);
                }
                StepSource::Churn(place, churn) => {
                    self.churns += 1;
                    let Scenario { members, .. } = self.scenario;
                    let steps = ChurnSteps::new(churn, self.churns, members, self.seed, place);
                    self.generator = Some(Generator::Churn(Box::new(steps)));
                }
            }
        }
    }
}

fn contenders(nodes: &[Placed<WrittenStep>], outer: Turn<'_>) -> Vec<Placed<Action>> {
    nodes
        .iter()
        .flat_map(turns)
        .filter_map(|(node, inner)| {
            let turn = Turn { number: inner.or(outer.number), ..outer };
            match &node.item {
                WrittenStep::Do(action) => {
                    Some(Placed { place: node.place.at_turn(turn.number), item: action.at_turn(turn) })
                }
                WrittenStep::Race(_) | WrittenStep::Repeat { .. } | WrittenStep::Churn(_) => None,
            }
        })
        .collect()
}

impl Place {
    fn at_turn(&self, turn: Option<u32>) -> Self {
        Self { turn, ..self.clone() }
    }
}
