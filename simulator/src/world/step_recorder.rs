//! Records the steps of a run and their events, if a report asks for them.

use std::collections::BTreeMap;

use super::{event::TranscriptEvent, state::World};
use crate::{
    adversary::TrafficKind,
    report::{
        Focus, MemberState, MemberStates,
        record::{DeliveryRecord, StepEvent, StepEventKind, StepRecord},
    },
    scenario::{GroupName, MemberName, MessageId, Place, Placed, Step, write_step},
};

/// The meaning of a delivery that a device gets back from the service after it has sent it.
const ECHO: &str = "its own";

/// For each epoch of each group, the members that entered it, each with the step in which it did.
type EnteredEpochs = BTreeMap<(GroupName, u64), BTreeMap<MemberName, usize>>;

/// The steps so far.
#[derive(Default)]
pub(super) struct StepRecorder {
    /// True if a report asks for the steps.
    active: bool,
    /// The steps and members whose states are recorded.
    focus: Focus,
    steps: Vec<StepRecord>,
    entered: EnteredEpochs,
    /// For each message, the step that sent it.
    sent: BTreeMap<MessageId, usize>,
    /// The step of each theft, in the order of the thefts.
    thefts: Vec<usize>,
}

/// The complete steps, and the positions in them that other parts of a record name.
pub(super) struct RecordedSteps {
    pub(super) steps: Vec<StepRecord>,
    pub(super) entered: EnteredEpochs,
    pub(super) sent: BTreeMap<MessageId, usize>,
    pub(super) thefts: Vec<usize>,
}

impl StepRecorder {
    /// An empty recorder. An inactive recorder records nothing.
    pub(super) fn new(active: bool, focus: &Focus) -> Self {
        Self { active, focus: focus.clone(), ..Self::default() }
    }

    /// The steps and members whose states are recorded.
    pub(super) fn focus(&self) -> &Focus {
        &self.focus
    }

    fn begin(&mut self, step: &Placed<Step>, states: Vec<(MemberName, MemberState)>) {
        let states = states.into_iter();
        let members = states.map(|(who, before)| MemberStates { who, after: before.clone(), before }).collect();
        self.steps.push(StepRecord {
            place: step.place.clone(),
            text: write_step(&step.item),
            time: 0,
            epochs: BTreeMap::new(),
            offline: Vec::new(),
            events: Vec::new(),
            deliveries: Vec::new(),
            members,
        });
    }

    /// All expectations of the present step held.
    pub(super) fn expectations_held(&mut self) {
        if let Some(step) = self.steps.last_mut() {
            step.events.push(StepEvent { kind: StepEventKind::Held, text: "the expectations hold".to_owned() });
        }
    }

    /// The expectations of an earlier step have become true in the present step.
    pub(super) fn became_true(&mut self, expect: &Place) {
        if let Some(step) = self.steps.last_mut() {
            let text = format!("the expectations of {expect} have become true");
            step.events.push(StepEvent { kind: StepEventKind::Held, text });
        }
    }

    /// Adds an event to the present step.
    pub(super) fn tell(&mut self, event: &TranscriptEvent) {
        let Some(number) = self.steps.len().checked_sub(1) else { return };
        let Some(step) = self.steps.last_mut() else { return };
        match event {
            TranscriptEvent::Group { by, group, .. } => {
                let epoch = (group.clone().unwrap_or_default(), 0);
                self.entered.entry(epoch).or_default().insert(by.clone(), number);
            }
            TranscriptEvent::Epoch { who, group, epoch, .. } => {
                let epoch = (group.clone().unwrap_or_default(), *epoch);
                self.entered.entry(epoch).or_default().entry(who.clone()).or_insert(number);
            }
            TranscriptEvent::Delivered { to, kind, group, id, sequence, meaning } if meaning != ECHO => {
                let group = group.clone().unwrap_or_default();
                let entry = id.as_ref().map_or_else(|| format!("{kind} {sequence}"), |id| format!("{kind} {id}"));
                let is_same = |known: &&mut DeliveryRecord| {
                    known.entry == entry && known.group == group && known.meaning == *meaning
                };
                match step.deliveries.iter_mut().find(is_same) {
                    Some(known) => known.to.push(to.clone()),
                    None => {
                        let (meaning, to) = (meaning.clone(), vec![to.clone()]);
                        step.deliveries.push(DeliveryRecord { group, entry, meaning, to });
                    }
                }
            }
            TranscriptEvent::Submitted { id: Some(id), .. } | TranscriptEvent::Impersonated { id: Some(id), .. } => {
                self.sent.insert(id.clone(), number);
            }
            TranscriptEvent::Compromised { .. } => self.thefts.push(number),
            _ => {}
        }
        if let (Some(kind), Some(text)) = (kind(event), event.line()) {
            step.events.push(StepEvent { kind, text });
        }
    }
}

/// The kind of an event; [`None`] for an event that a step does not list.
fn kind(event: &TranscriptEvent) -> Option<StepEventKind> {
    Some(match event {
        TranscriptEvent::Group { .. } => StepEventKind::Created,
        TranscriptEvent::Submitted { answer: "stale", .. } => StepEventKind::Stale,
        TranscriptEvent::Submitted { kind: TrafficKind::Message, .. } => StepEventKind::Message,
        TranscriptEvent::Submitted { .. } => StepEventKind::Accepted,
        TranscriptEvent::Crashed { .. } | TranscriptEvent::Service { .. } | TranscriptEvent::Unanswered { .. } => {
            StepEventKind::Crash
        }
        TranscriptEvent::LostDevice { .. } => StepEventKind::Accepted,
        TranscriptEvent::Again { .. } => StepEventKind::Again,
        TranscriptEvent::Locked { .. }
        | TranscriptEvent::Unlocked { .. }
        | TranscriptEvent::BackedUp { .. }
        | TranscriptEvent::Restored { .. }
        | TranscriptEvent::Compared { .. }
        | TranscriptEvent::KeyPackagesWithdrawn { .. }
        | TranscriptEvent::Answers { .. } => StepEventKind::Device,
        TranscriptEvent::Compromised { .. } => StepEventKind::Theft,
        TranscriptEvent::Impersonated { .. } => StepEventKind::Forgery,
        TranscriptEvent::Detected { .. } | TranscriptEvent::Found { .. } => StepEventKind::Detected,
        TranscriptEvent::Failed { .. } => StepEventKind::Failed,
        TranscriptEvent::Waits { .. } => StepEventKind::Again,
        TranscriptEvent::KeyPackagesRefused { .. }
        | TranscriptEvent::Delivered { .. }
        | TranscriptEvent::KeyPackages { .. }
        | TranscriptEvent::Epoch { .. }
        | TranscriptEvent::Unordered { .. }
        | TranscriptEvent::Exposed { .. }
        | TranscriptEvent::Cost { .. } => return None,
    })
}

impl World<'_> {
    /// Begins the record of a step.
    pub(super) fn record_step(&mut self, step: &Placed<Step>) {
        if self.recorder.steps.active {
            self.record_state();
            let states = self.focused_states(self.recorder.steps.steps.len());
            self.recorder.steps.begin(step, states);
        }
    }

    /// Ends the record of the last step, and takes all steps.
    pub(super) fn take_steps(&mut self) -> RecordedSteps {
        self.record_state();
        let StepRecorder { steps, entered, sent, thefts, .. } = std::mem::take(&mut self.recorder.steps);
        RecordedSteps { steps, entered, sent, thefts }
    }

    /// Records the state of the world after the last step.
    fn record_state(&mut self) {
        let groups = self.service.groups.values();
        let epochs = groups.map(|group| (group.name.clone(), group.epoch())).collect();
        let offline =
            self.devices.iter().filter(|device| !device.is_connected()).map(|device| device.name.clone()).collect();
        let time = self.recorder.elapsed();
        let Some(last) = self.recorder.steps.steps.len().checked_sub(1) else { return };
        let states = self.focused_states(last);
        if let Some(step) = self.recorder.steps.steps.last_mut() {
            (step.epochs, step.offline, step.time) = (epochs, offline, time);
            for (member, (_, after)) in step.members.iter_mut().zip(states) {
                member.after = after;
            }
        }
    }
}
