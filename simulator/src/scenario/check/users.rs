//! Checks the steps about users and their devices.

use super::{Check, told};
use crate::scenario::{
    fields::{nearest, shown},
    format::{Action, Place},
    name::{MemberName, UserName},
};

impl Check<'_, '_, '_> {
    /// Checks a step about a user: the user exists.
    pub(super) fn of_user(&mut self, place: &Place, action: &Action, by: &MemberName, who: &UserName) {
        let name = action.name();
        self.member(place, &format!("{name}.by"), by);
        let is_known = self.users.devices(who.as_str()).is_some();
        let is_device = self.members.contains(who.as_str());
        let is_alone = is_device && MemberName::new(who.as_str()).device().is_none();
        if is_known || is_alone || !self.complete.members {
            return;
        }
        self.note(place, &format!("{name}.who"), |check| {
            if is_device {
                let user = MemberName::new(who.as_str()).user().to_owned();
                return format!("`{}` is a device; name its user `{}`", shown(who.as_str()), shown(&user));
            }
            let alone = check.members.iter().copied().filter(|name| MemberName::new(*name).device().is_none());
            let near = nearest(who.as_str(), check.users.names().chain(alone));
            told("no user is called", who.as_str(), near)
        });
    }

    /// Checks a step about another device.
    pub(super) fn of_device(&mut self, place: &Place, action: &Action, by: &MemberName, who: &MemberName) {
        let name = action.name();
        self.member(place, &format!("{name}.by"), by);
        self.member(place, &format!("{name}.who"), who);
        let links = matches!(action, Action::LinkDevice { .. });
        if by == who {
            self.note(place, &format!("{name}.who"), |_| {
                format!("`{}` cannot do this for itself; name another device", shown(by.as_str()))
            });
        } else if links && by.user() != who.user() {
            self.note(place, &format!("{name}.who"), |_| {
                let (device, user) = (shown(who.as_str()), shown(by.user()));
                format!("`{device}` is no device of the user `{user}`; name another device of this user, or use `add`")
            });
        }
        if links {
            self.any_group(place, name);
        }
    }
}
