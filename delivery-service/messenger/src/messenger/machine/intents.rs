//! The intents of the groups: stored, withdrawn, taken over by the engine, or refused.

use regrow_engine::{Error as EngineError, GroupId, PendingCommit};

use super::state::Machine;
use crate::{
    error::{Error, is_of_device},
    messenger::{
        app_data::Changes,
        event::{Event, Rejoin},
        intent::Intent,
        request::GroupRequest,
        scope::FailureScope,
    },
};

impl Machine {
    /// The intents of a group that wait.
    pub(in crate::messenger) fn intents(&self, id: &GroupId) -> Vec<Intent> {
        self.groups.get(id).map(|group| group.facts().intents.iter().cloned().collect()).unwrap_or_default()
    }

    /// Stores an intent, and forgets the earlier intents that it takes back.
    pub(super) fn push_intent(&mut self, id: &GroupId, intent: Intent) {
        self.busy.insert(id.clone());
        let group = self.groups.entry(id.clone()).or_default();
        if group.facts().intents.contains(&intent) {
            return;
        }
        let facts = group.facts_mut();
        for void in facts.intents.iter().filter(|known| known.is_void_after(&intent)) {
            self.lanes.works(&FailureScope::Intent { group: id.clone(), intent: void.clone() });
        }
        facts.intents.retain(|known| !known.is_void_after(&intent));
        match &intent {
            Intent::AddDevice(device) => _ = facts.banned.remove(device),
            Intent::RemoveDevice(device) => _ = facts.banned.insert(device.clone()),
            _ => {}
        }
        facts.intents.push_back(intent);
    }

    /// Gives up an intent that waits. Returns true if there was one.
    pub(in crate::messenger) fn withdraw(&mut self, id: &GroupId, intent: &Intent) -> Result<bool, Error> {
        let Some(group) = self.groups.get_mut(id) else { return Ok(false) };
        let withdrawn = group.facts().intents.contains(intent);
        if withdrawn {
            group.facts_mut().intents.retain(|known| known != intent);
        }
        group.additions.retain(|target, _| target.intent() != *intent);
        self.lanes.works(&FailureScope::Intent { group: id.clone(), intent: intent.clone() });
        self.save(&[id], Changes::default())?;
        Ok(withdrawn)
    }

    /// Takes in the engine's result for an intent: a commit, nothing left to do, or a refusal.
    pub(super) fn commit_made(
        &mut self,
        id: &GroupId,
        intent: &Intent,
        made: Result<PendingCommit, EngineError>,
    ) -> Result<Option<GroupRequest>, Error> {
        let request = match made {
            Ok(pending) => Some(GroupRequest::Commit(Box::new(pending))),
            // The group is already as the intent wants it.
            Err(EngineError::NothingToCommit | EngineError::UnknownUser { .. } | EngineError::UnknownMember { .. }) => {
                None
            }
            // The intent stays for the time after the rejoin.
            Err(error @ EngineError::Restored { .. }) => return self.refuse(id, None, error).map(|()| None),
            Err(error) => {
                self.refuse(id, Some(intent.clone()), error)?;
                None
            }
        };
        self.intent_taken(id, intent, Changes::default())?;
        Ok(request)
    }

    /// Forgets an intent that the engine has taken over or that is void.
    ///
    /// An intent that waits for devices which can be added later stays.
    pub(super) fn intent_taken(&mut self, id: &GroupId, intent: &Intent, changes: Changes) -> Result<(), Error> {
        let lane = FailureScope::Intent { group: id.clone(), intent: intent.clone() };
        if self.lanes.is_ready(&lane, self.monotonic()) {
            self.lanes.works(&lane);
            self.group(id).facts_mut().intents.retain(|known| known != intent);
        }
        self.save(&[id], changes)
    }

    /// Reports that the engine refuses an intent.
    ///
    /// # Errors
    /// The error, if the device itself fails. Then the intent stays.
    pub(super) fn refuse(&mut self, id: &GroupId, intent: Option<Intent>, error: EngineError) -> Result<(), Error> {
        match error {
            error if is_of_device(&error) => Err(error.into()),
            EngineError::Restored { .. } => {
                self.rejoin(id, Rejoin::Restored);
                self.save(&[id], Changes::default())
            }
            error => {
                // The engine forgets an intent that it refuses, except in these two cases.
                if intent.is_none() || matches!(error, EngineError::Internal { .. }) {
                    self.client.group(id)?.abandon()?;
                }
                self.events.push_back(Event::Refused { group: id.clone(), intent, reason: error.to_string() });
                Ok(())
            }
        }
    }
}
