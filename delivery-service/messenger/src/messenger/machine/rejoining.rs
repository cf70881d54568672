//! The way back into a group: the wait for a rollback, the group info, and the external commit.

use regrow_engine::{Error as EngineError, GroupId, JoinMessage, PendingCommit};

use super::state::Machine;
use crate::{
    api::{self, ReportAnswer},
    error::{ConnectionError, Error, is_of_device},
    messenger::{
        app_data::Changes,
        event::{Event, Rejoin},
        group::{Condition, RejoinStep},
        problem::decided,
        request::GroupRequest,
    },
};

impl Machine {
    /// Reports a commit that this device cannot follow, then waits for the rollback. This device
    /// rejoins if the service does not take the commit back.
    pub(super) fn next_request_after_bad_commit(&mut self, id: &GroupId) -> Result<Option<GroupRequest>, Error> {
        // A fetched entry may take the commit back already.
        if self.fetched.iter().any(|delivery| delivery.group == *id) {
            return Ok(None);
        }
        if let Condition::AwaitingRollback { bad, .. } = self.group(id).condition()
            && !bad.reported
        {
            return Ok(Some(GroupRequest::Report(bad.sequence)));
        }
        let (now, wall) = (self.monotonic(), self.now().0);
        let waited = self.group(id).waited_for_rollback(now, wall);
        if waited.is_none_or(|waited| waited.as_secs() < self.options.rollback_patience.as_secs()) {
            return Ok(None);
        }
        self.rejoin(id, Rejoin::BadCommit);
        self.save(&[id], Changes::default())?;
        self.next_request_of_rejoin(id)
    }

    /// The service has counted the report, or others have gone on from the commit.
    pub(super) fn reported(
        &mut self,
        id: &GroupId,
        response: Result<ReportAnswer, ConnectionError>,
    ) -> Result<(), Error> {
        match decided(response)? {
            Ok(_) => self.group(id).bad_commit_reported(),
            // The commit is no longer the last one: others have gone on from it.
            Err(_) => self.rejoin(id, Rejoin::BadCommit),
        }
        self.save(&[id], Changes::default())
    }

    /// Returns the pending external commit, or a request for the bytes that the commit needs.
    pub(super) fn next_request_of_rejoin(&mut self, id: &GroupId) -> Result<Option<GroupRequest>, Error> {
        let Condition::Rejoining { step, .. } = self.group(id).condition() else { return Ok(None) };
        let fetch = match step {
            RejoinStep::NeedsGroupInfo => GroupRequest::GroupInfo,
            RejoinStep::NeedsRatchetTree { epoch, .. } => GroupRequest::RatchetTree(*epoch),
            RejoinStep::Submitted | RejoinStep::Stranded => return Ok(None),
        };
        let pending = self.external_commit(id)?;
        Ok(Some(pending.map_or(fetch, |pending| GroupRequest::Commit(Box::new(pending)))))
    }

    /// The pending external commit of this device.
    pub(super) fn external_commit(&self, id: &GroupId) -> Result<Option<PendingCommit>, Error> {
        let mut pending = self.client.pending()?.into_iter();
        Ok(pending.find(|pending| pending.is_external() && pending.group() == id))
    }

    /// Takes in the group info.
    pub(super) fn group_info_read(
        &mut self,
        id: &GroupId,
        response: Result<api::GroupInfo, ConnectionError>,
    ) -> Result<(), Error> {
        match decided(response)? {
            Ok(info) => self.join_externally(id, info.group_info.0, None),
            Err(problem) => {
                self.strand(id, problem.to_string());
                Ok(())
            }
        }
    }

    /// Takes in the ratchet tree that the group info lacks.
    pub(super) fn ratchet_tree_read(
        &mut self,
        id: &GroupId,
        response: Result<api::RatchetTree, ConnectionError>,
    ) -> Result<(), Error> {
        let Some(info) = self.group(id).take_group_info() else { return Ok(()) };
        match decided(response)? {
            Ok(tree) => self.join_externally(id, info, Some(tree.ratchet_tree.0)),
            Err(problem) => {
                self.strand(id, problem.to_string());
                Ok(())
            }
        }
    }

    /// Makes the external commit, or finds that the device has to fetch the ratchet tree first.
    fn join_externally(&mut self, id: &GroupId, info: Vec<u8>, tree: Option<Vec<u8>>) -> Result<(), Error> {
        let message = match &tree {
            None => JoinMessage::from(&info),
            Some(tree) => JoinMessage::with_tree(&info, tree),
        };
        let reason = match self.client.join_external(message) {
            Ok(pending) if pending.group() == id => return Ok(()),
            Ok(pending) => {
                self.client.discard(pending)?;
                "the service has returned the group info of another group".to_owned()
            }
            Err(EngineError::NeedsRatchetTree { epoch, .. }) if tree.is_none() => {
                self.group(id).need_ratchet_tree(info, epoch);
                return Ok(());
            }
            Err(error) if is_of_device(&error) => return Err(error.into()),
            Err(error) => error.to_string(),
        };
        self.strand(id, reason);
        Ok(())
    }

    /// This device cannot rejoin for now. It tries again after the next entry of the group.
    pub(super) fn strand(&mut self, id: &GroupId, reason: String) {
        if self.group(id).strand() {
            self.events.push_back(Event::Stranded { group: id.clone(), reason });
        }
    }
}
