//! The application's commands. Each is stored before the machine makes a request for it.

use regrow_engine::{DeviceId, GroupId};
use zeroize::Zeroizing;

use super::state::Machine;
use crate::{
    envelope::TextNonce,
    error::Error,
    messenger::{
        app_data::{self, Changes},
        group::{InvitationState, MessengerGroup},
        intent::Intent,
        records::{InvitationAnswer, ListIntent, OutboxItem, OutboxText},
    },
};

impl Machine {
    /// Makes a group on this device, for the service to create.
    pub(in crate::messenger) fn make_group(&mut self, id: &GroupId) -> Result<(), Error> {
        let now = self.now();
        let info = self.client.create_group(id.clone(), now)?.group_info()?;
        self.groups.insert(id.clone(), MessengerGroup::created_here(info));
        self.save(&[id], Changes::default())
    }

    /// Puts a text into the outbox of a group.
    pub(in crate::messenger) fn put_text(&mut self, id: &GroupId, text: &[u8]) -> Result<(), Error> {
        self.client.group(id)?;
        if self.is_suspended(id) {
            return Err(Error::Suspended { group: id.clone() });
        }
        self.accept_by_acting(id);
        let text = OutboxText { nonce: TextNonce::generate()?, bytes: Zeroizing::new(text.to_vec()) };
        let name = app_data::next_waiting(&self.client, id)?;
        let changes = Changes::default().outbox_item(&name, Some(&OutboxItem::unsealed(text)))?;
        self.save(&[id], changes)
    }

    /// Stores an intent of the application.
    pub(in crate::messenger) fn intend(&mut self, id: &GroupId, intent: Intent) -> Result<(), Error> {
        self.client.group(id)?;
        self.accept_by_acting(id);
        self.push_intent(id, intent);
        self.save(&[id], Changes::default())
    }

    /// Stores the intent to remove a device from all groups, and from the list if it is of this
    /// user.
    pub(in crate::messenger) fn intend_removal(&mut self, device: &DeviceId) -> Result<(), Error> {
        let groups = self.client.groups_of_device(device)?;
        for group in &groups {
            self.push_intent(group, Intent::RemoveDevice(device.clone()));
        }
        let groups: Vec<&GroupId> = groups.iter().collect();
        match device.user() == self.device().user() {
            true => self.intend_for_list(ListIntent::Remove(device.clone()), &groups),
            false => self.save(&groups, Changes::default()),
        }
    }

    /// The open invitations, each with the device that has added this one.
    pub(in crate::messenger) fn invitations(&self) -> Vec<(GroupId, DeviceId)> {
        let groups = self.groups.iter();
        let open = groups.filter_map(|(id, group)| match &group.facts().invitation {
            InvitationState::Open { by } => Some((id.clone(), by.clone())),
            InvitationState::None | InvitationState::Answered(_) => None,
        });
        open.collect()
    }

    /// Stores the answer to an invitation. Returns false if no invitation is open.
    pub(in crate::messenger) fn answer_invitation(
        &mut self,
        id: &GroupId,
        answer: InvitationAnswer,
    ) -> Result<bool, Error> {
        self.client.group(id)?;
        if !self.close_invitation(id, answer) {
            return Ok(false);
        }
        self.save(&[id], Changes::default())?;
        Ok(true)
    }

    /// Accepts an open invitation, because the application acts in the group. The service does the
    /// same.
    fn accept_by_acting(&mut self, id: &GroupId) {
        _ = self.close_invitation(id, InvitationAnswer::Accept);
    }

    fn close_invitation(&mut self, id: &GroupId, answer: InvitationAnswer) -> bool {
        let group = self.group(id);
        let is_open = matches!(group.facts().invitation, InvitationState::Open { .. });
        if is_open {
            group.facts_mut().invitation = InvitationState::Answered(answer);
        }
        is_open
    }

    /// Sends in the group again, although the service was caught in a lie there.
    pub(in crate::messenger) fn end_suspension(&mut self, id: &GroupId) -> Result<(), Error> {
        self.group(id).facts_mut().suspended = false;
        self.busy.insert(id.clone());
        self.save(&[id], Changes::default())
    }
}
