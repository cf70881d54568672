//! Checks the steps about backups: a backup is made before it is stolen, and before it is restored to
//! another device of its user.

use super::{Check, not_before};
use crate::scenario::{
    fields::shown,
    format::Place,
    name::{BackupId, MemberName},
};

impl Check<'_, '_, '_> {
    /// Checks that the member has made a backup that a thief can steal.
    pub(super) fn stolen_backup(&mut self, index: usize, place: &Place, who: &MemberName) {
        let is_before = |id: &BackupId| self.backups.get(id).is_some_and(|defined| defined.index < index);
        let has_one = self.backed_up.iter().any(|(id, of)| of == who && is_before(id));
        if !has_one && self.complete.steps {
            self.note(place, "compromise.scope", |_| {
                format!("until here `{}` has made no backup: `backup` comes first", shown(who.as_str()))
            });
        }
    }

    pub(super) fn restore(&mut self, index: usize, place: &Place, who: &MemberName, from: &BackupId) {
        self.member(place, "restore.who", who);
        let problem = not_before(index, &self.backups, from, "backup", "made");
        if let Some(problem) = problem.filter(|_| self.complete.steps) {
            self.note(place, "restore.from", |_| problem);
            return;
        }
        let Some(of) = self.backed_up.get(from).cloned() else { return };
        if of == *who {
            self.note(place, "restore.who", |_| {
                let (device, user) = (shown(who.as_str()), shown(who.user()));
                format!("`{device}` made this backup itself; name another device of the user `{user}`")
            });
        } else if of.user() != who.user() {
            self.note(place, "restore.who", |_| {
                let (device, user) = (shown(who.as_str()), shown(of.user()));
                format!("`{device}` is no device of the user `{user}`, whose backup this is; name another one")
            });
        }
    }
}
