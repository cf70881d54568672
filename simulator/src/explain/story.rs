//! A run with its scenario: the places, epochs and messages that an explanation names.

use crate::{
    report::{
        Failure, RunOutcome, RunRecord, StolenKeyPackage,
        record::{EpochRecord, MessageRecord, StepEvent, StepRecord, ThiefRecord},
    },
    scenario::{CompromiseId, GroupName, MemberName, MessageId, Place, Scenario, Step},
};

/// A run with its scenario.
pub(super) struct Story<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) seed: u64,
    pub(super) outcome: &'a RunOutcome,
    pub(super) record: &'a RunRecord,
}

impl<'a> Story<'a> {
    /// The story of a run. [`None`] if the run has no record.
    pub(super) fn of(scenario: &'a Scenario, seed: u64, outcome: &'a RunOutcome) -> Option<Self> {
        let record = outcome.record.as_deref()?;
        Some(Self { scenario, seed, outcome, record })
    }

    /// The failures that are explained.
    pub(super) fn failures(&self) -> impl Iterator<Item = &'a Failure> + use<'a> {
        self.outcome.failures.iter().take(super::MAX_FAILURES)
    }

    /// The position of the step at this place.
    pub(super) fn position(&self, place: &Place) -> Option<usize> {
        self.record.steps.iter().rposition(|step| step.place == *place)
    }

    pub(super) fn step_record(&self, position: usize) -> Option<&'a StepRecord> {
        self.record.steps.get(position)
    }

    /// The step of the scenario at this place.
    pub(super) fn step(&self, place: &Place) -> Option<Step> {
        self.scenario.expand_with_seed(self.seed).find(|step| step.place == *place).map(|step| step.item)
    }

    /// The step at a position in words: `step 2 (line 8)`.
    pub(super) fn step_words(&self, position: Option<usize>) -> String {
        let step = position.and_then(|position| self.step_record(position));
        step.map_or_else(|| "an unknown step".to_owned(), |step| step.place.to_string())
    }

    /// The events of interest with their places, until the step at this position; without it, until
    /// the end.
    pub(super) fn events(&self, last: Option<usize>, is_wanted: impl Fn(&StepEvent) -> bool) -> Vec<String> {
        let steps = self.record.steps.iter().take(last.map_or(usize::MAX, |last| last + 1));
        let told = steps.flat_map(|step| {
            let wanted = step.events.iter().filter(|event| is_wanted(event));
            wanted.map(|event| format!("{}: {}.", step.place, event.text)).collect::<Vec<_>>()
        });
        told.collect()
    }

    pub(super) fn thief(&self, id: &CompromiseId) -> Option<&'a ThiefRecord> {
        self.record.thieves.iter().find(|thief| thief.id == *id)
    }

    /// The stolen key packages with which a thief opens welcomes.
    pub(super) fn stolen_key_packages(&self, thief: &ThiefRecord) -> &'a [StolenKeyPackage] {
        let figures = self.outcome.figures.compromises.iter().find(|figures| figures.id == thief.id);
        figures.map(|figures| &figures.key_packages[..]).unwrap_or_default()
    }

    /// A message that the delivery service has ordered, with its index.
    pub(super) fn message(&self, id: &MessageId) -> Option<(usize, &'a MessageRecord)> {
        self.record.messages.iter().enumerate().find(|(_, message)| message.id == *id)
    }

    /// The group in words. Only a run with several groups names it: ``the group `team` ``.
    pub(super) fn group_words(&self, group: &GroupName) -> String {
        if self.record.has_several_groups() { format!("the group `{group}`") } else { "the group".to_owned() }
    }

    /// The group as the end of a phrase, if the run has several groups: `` of the group `team` ``.
    pub(super) fn of_group(&self, group: &GroupName) -> String {
        if self.record.has_several_groups() { format!(" of {}", self.group_words(group)) } else { String::new() }
    }

    /// The only group of the run. A run without a group has the default one.
    pub(super) fn only_group(&self) -> Option<GroupName> {
        match self.record.has_several_groups() {
            true => None,
            false => Some(self.record.groups.keys().next().cloned().unwrap_or_default()),
        }
    }

    /// The epoch of a group at the end of the run.
    pub(super) fn epoch(&self, group: &GroupName) -> u64 {
        self.record.steps.last().and_then(|step| step.epochs.get(group)).copied().unwrap_or_default()
    }

    /// The ordered epochs of a group.
    pub(super) fn epochs(&self, group: &GroupName) -> &'a [EpochRecord] {
        self.record.groups.get(group).map(Vec::as_slice).unwrap_or_default()
    }

    /// True if a member has a leaf in the tree of an epoch.
    pub(super) fn is_member(&self, group: &GroupName, epoch: u64, who: &MemberName) -> bool {
        let made = usize::try_from(epoch).ok().and_then(|epoch| self.epochs(group).get(epoch));
        let leaves = made.into_iter().flat_map(|made| made.tree.leaves().iter().flatten());
        leaves.into_iter().any(|leaf| self.record.members.get(leaf.device.0) == Some(who))
    }

    /// The commit that made an epoch, in words: `alice's commit`.
    pub(super) fn commit_words(&self, group: &GroupName, epoch: u64) -> String {
        let made = usize::try_from(epoch).ok().and_then(|epoch| self.epochs(group).get(epoch));
        match made.and_then(|made| made.commit.as_ref()) {
            Some(commit) => match &commit.forged_by {
                Some(thief) => format!("the commit that the thief of {thief} made in {}'s name", commit.by),
                None => format!("{}'s commit", commit.by),
            },
            None => "a commit".to_owned(),
        }
    }

    /// The change that made an epoch, in a sentence.
    pub(super) fn epoch_sentence(&self, group: &GroupName, epoch: u64) -> Option<String> {
        let made = self.epochs(group).get(usize::try_from(epoch).ok()?)?;
        let step = made.step.map(|step| format!(" in {}", self.step_words(Some(step)))).unwrap_or_default();
        let Some(commit) = &made.commit else { return Some(format!("The group began in epoch 0{step}.")) };
        let changes: Vec<_> = [("added", &commit.adds), ("removed", &commit.removes), ("updated", &commit.updates)]
            .into_iter()
            .filter(|(_, who)| !who.is_empty())
            .map(|(what, who)| format!("{what} {}", names(who)))
            .collect();
        let changes = if changes.is_empty() { "gave the committer new keys".to_owned() } else { changes.join(" and ") };
        Some(format!("Epoch {epoch}: {}{step} {changes}.", self.commit_words(group, epoch)))
    }

    /// A message in words: `alice sent m1 in step 2 (line 8), in epoch 1`.
    pub(super) fn sent_words(&self, message: &MessageRecord) -> String {
        let MessageRecord { id, group, sender, epoch, step, forged } = message;
        let sender = if *forged { format!("a thief, in {sender}'s name,") } else { sender.to_string() };
        format!("{sender} sent {id} in {}, in epoch {epoch}{}", self.step_words(*step), self.of_group(group))
    }
}

/// The largest number of names in a list.
const LISTED_NAMES: usize = 12;

/// A list of names. A long list ends with the number of names that it leaves out.
pub(super) fn names<N: ToString>(names: impl IntoIterator<Item = N>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    match names.len() {
        0 => "nobody".to_owned(),
        count if count > LISTED_NAMES + 1 => {
            format!("{} and {} more", names[..LISTED_NAMES].join(", "), count - LISTED_NAMES)
        }
        _ => names.join(", "),
    }
}

/// The text with a capital letter at its start.
pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_names_are_bounded() {
        assert_eq!(names(["a", "b"]), "a, b");
        assert_eq!(names(Vec::<String>::new()), "nobody");
        assert!(names(0..14).ends_with("11 and 2 more"));
        assert!(names(0..13).ends_with("11, 12"));
    }
}
