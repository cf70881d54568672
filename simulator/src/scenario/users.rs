//! The users of a scenario that have devices with names, such as `alice/phone`.

use std::collections::BTreeMap;

use regrow_engine::{DeviceId, UserId};

use super::{
    fields::shown,
    name::{MemberName, UserName},
    parse::MAX_IDENTIFIER_BYTES,
};

/// The devices of each user that has devices with names, in the order of the members.
#[derive(Debug, Default)]
pub(super) struct Users<'s>(BTreeMap<&'s str, Vec<&'s MemberName>>);

impl<'s> Users<'s> {
    /// The users among these members.
    pub(super) fn of(members: &'s [MemberName]) -> Self {
        let mut users: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for member in members.iter().filter(|member| member.device().is_some()) {
            users.entry(member.user()).or_default().push(member);
        }
        Self(users)
    }

    /// The devices of a user, if it has devices with names.
    pub(super) fn devices(&self, user: &str) -> Option<&[&'s MemberName]> {
        self.0.get(user).map(Vec::as_slice)
    }

    /// The names of the users.
    pub(super) fn names(&self) -> impl Iterator<Item = &'s str> {
        self.0.keys().copied()
    }
}

/// All devices of a user among these members.
pub(crate) fn devices_of<'s>(members: &'s [MemberName], user: &UserName) -> impl Iterator<Item = &'s MemberName> {
    members.iter().filter(move |member| member.user() == user.as_str())
}

/// The problem with a name that is not the name of a user or of a device.
pub(crate) fn problem_of(name: &str) -> Option<String> {
    if name.len() > MAX_IDENTIFIER_BYTES {
        return Some(format!("the name of a member has at most {MAX_IDENTIFIER_BYTES} bytes, found {}", name.len()));
    }
    let member = MemberName::new(name);
    let user = member.user();
    if let Err(error) = UserId::from_normal(user) {
        return Some(format!("`{}` is not the name of a user: {error}", shown(user)));
    }
    let device = member.device()?;
    match DeviceId::new(user, device) {
        Ok(id) if id.device() == device => None,
        Ok(id) => Some(format!("the name of the device `{}` is written `{}`", shown(device), shown(id.device()))),
        Err(error) => Some(format!("`{}` is not the name of a device: {error}", shown(device))),
    }
}

/// A member without a device name whose user has other devices with names, and one of these.
pub(crate) fn ambiguous(members: &[MemberName]) -> Option<(&MemberName, &MemberName)> {
    let users = Users::of(members);
    members.iter().find_map(|member| Some((member, *users.devices(member.as_str())?.first()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(names: &[&str]) -> Vec<MemberName> {
        names.iter().map(|name| MemberName::new(*name)).collect()
    }

    #[test]
    fn name_has_a_user_and_a_device() {
        let phone = MemberName::new("alice/phone");
        assert_eq!((phone.user(), phone.device()), ("alice", Some("phone")));
        let alice = MemberName::new("alice");
        assert_eq!((alice.user(), alice.device()), ("alice", None));
        let nested = MemberName::new("alice/work/phone");
        assert_eq!((nested.user(), nested.device()), ("alice", Some("work/phone")));
    }

    #[test]
    fn wrong_names_are_told() {
        assert_eq!(problem_of("alice/phone"), None);
        assert!(problem_of("/phone").unwrap().contains("is not the name of a user"));
        assert!(problem_of("alice/").unwrap().contains("is not the name of a device"));
        assert!(problem_of("alice/..").unwrap().contains("is not the name of a device"));
        assert!(problem_of(&"a".repeat(201)).unwrap().contains("at most 200 bytes"));
    }

    #[test]
    fn user_with_named_devices_is_no_device_itself() {
        assert_eq!(ambiguous(&members(&["alice/phone", "alice/laptop", "bob", "al"])), None);
        let both = members(&["bob", "alice", "alice/phone"]);
        assert_eq!(ambiguous(&both), Some((&both[1], &both[2])));
    }
}
