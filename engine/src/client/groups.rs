//! The groups of a device: creating, joining and opening them.

use openmls::prelude::MlsMessageBodyIn;

use super::Client;
use crate::{
    Group, JoinMessage, PendingCommit,
    error::Error,
    group::{
        GroupState, create, external,
        record::{GroupRecord, member_states},
        rejoin, welcome,
    },
    key_erasure,
    mls_message::other_kind,
    names::{GroupId, Timestamp},
    storage::{RecordKind, RecordScope},
};

impl Client {
    /// Returns the groups of which this device is a member.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn groups(&self) -> Result<Vec<GroupId>, Error> {
        let scopes = member_states(&self.records()?)?.into_iter().map(|(scope, _)| scope);
        Ok(scopes.filter_map(|scope| if let RecordScope::Group(id) = scope { Some(id) } else { None }).collect())
    }

    /// Returns a group of this device.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`] if this device was never in the group; [`Error::Removed`] if it was
    /// removed from the group.
    pub fn group(&mut self, id: &GroupId) -> Result<Group<'_>, Error> {
        let call = self.call(RecordScope::Group(id.clone()))?;
        if !self.groups.contains_key(id) {
            let group = GroupState::load(&call, id)?;
            drop(call);
            self.groups.insert(id.clone(), group);
        }
        Ok(Group::new(self, id.clone()))
    }

    /// Drops all groups from memory, and erases their secrets there. The groups stay in the store.
    ///
    /// A client keeps the 32 groups that were used last in memory, as OpenMLS decoded them: about
    /// 1.4 MB for each thousand members. The next call on a group decodes it again, which takes
    /// less time than to process a commit. Call this function when memory is short: when the
    /// operating system asks an app to give up memory, or in a process that runs many devices.
    ///
    /// The call changes nothing else: a pending commit stays pending. It does not protect the
    /// device like a [lock](Self::lock), because the store stays open.
    pub fn unload_groups(&mut self) {
        self.groups.clear();
    }

    /// Returns the number of groups in memory.
    pub fn loaded_groups(&self) -> usize {
        self.groups.len()
    }

    /// Creates a group with this device as its only member, in epoch 0 (RFC 9420, 11). A delivery
    /// service starts the group from its [group info](Group::group_info).
    ///
    /// # Errors
    /// [`Error::GroupExists`] if this device is already in a group with that identifier.
    pub fn create_group(&mut self, id: GroupId, now: Timestamp) -> Result<Group<'_>, Error> {
        self.used(now)?;
        let scope = RecordScope::Group(id.clone());
        let call = self.call(scope.clone())?;
        if let Some(GroupRecord::Member(_)) = call.records.get(&scope.key(RecordKind::Group), RecordKind::Group)? {
            return Err(Error::GroupExists { group: id });
        }
        let mut group = self.whole(&call, |call| create::create(call, &self.device, &self.policy, &id, now))?;
        group.finish(&call)?;
        self.apply(call)?;
        self.groups.insert(id.clone(), group);
        Ok(Group::new(self, id))
    }

    /// Joins a group by its welcome (RFC 9420, 12.4.3.1). A successful join consumes the key
    /// package of the welcome. A failed join does not.
    ///
    /// # Errors
    /// [`Error::NotInvited`] if the welcome is for another device; [`Error::GroupExists`];
    /// [`Error::Malformed`] if the message is not a welcome; [`Error::Invalid`] if the welcome is
    /// not valid; [`Error::NeedsRatchetTree`]; [`Error::Refused`] if the group is not acceptable.
    pub fn join<'m>(&mut self, welcome: impl Into<JoinMessage<'m>>, now: Timestamp) -> Result<GroupId, Error> {
        self.used(now)?;
        let (message, tree) = welcome.into().parse("a welcome")?;
        let MlsMessageBodyIn::Welcome(message) = message else {
            return Err(other_kind("a welcome"));
        };
        let call = self.call(RecordScope::Device)?;
        let (id, mut group) = self.whole(&call, |call| welcome::join(call, &self.policy, message, tree, now))?;
        group.finish(&call)?;
        self.apply(call)?;
        self.groups.insert(id.clone(), group);
        Ok(id)
    }

    /// Creates the external commit by which this device joins a group (RFC 9420, 12.4.3.2). A
    /// device that has lost its group state rejoins in the same way, and replaces its own leaf.
    /// Nothing changes until the commit is [confirmed](Self::confirm).
    ///
    /// `group_info` is the current group info.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the message is not a group info; [`Error::Invalid`] if the group
    /// info is not valid; [`Error::NeedsRatchetTree`]; [`Error::Refused`] if the group has a leaf
    /// of this device whose signature key this device does not have. [`Error::Refused`] also if
    /// the [authentication service](Self::with_authentication) does not accept a member or does
    /// not permit this device to join.
    pub fn join_external<'m>(&mut self, group_info: impl Into<JoinMessage<'m>>) -> Result<PendingCommit, Error> {
        let call = self.call(RecordScope::Device)?;
        let (message, tree) = group_info.into().parse("a group info")?;
        let MlsMessageBodyIn::GroupInfo(group_info) = message else {
            return Err(other_kind("a group info"));
        };
        let pending = self.whole(&call, |call| external::join(call, &self.device, &self.policy, group_info, tree))?;
        self.apply(call)?;
        Ok(pending)
    }

    /// Erases all records of a group, as if this device had never been in it. The other members do
    /// not learn of it.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn forget(&mut self, id: &GroupId) -> Result<(), Error> {
        self.groups.remove(id);
        let call = self.call(RecordScope::Device)?;
        for scope in [RecordScope::Group(id.clone()), RecordScope::Joining(id.clone())] {
            call.records.delete_all(&scope.prefix())?;
        }
        rejoin::forget(&call.records, id);
        key_erasure::sweep_signature_keys(&call.records)?;
        self.apply(call)
    }
}
