//! The stolen key packages with which a thief opens welcomes, in words and with the remedy.

use serde::Serialize;

use crate::scenario::{GroupName, MemberName};

/// The largest number of welcomes in a sentence.
const LISTED_WELCOMES: usize = 6;

/// A key package whose stolen private key opens welcomes (RFC 9420, 12.4.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StolenKeyPackage {
    /// The member that owns the key package.
    pub who: MemberName,
    /// The number of the key package among those of its owner, from 1.
    pub number: u32,
    /// True if its keys stay on the device after a welcome has used them.
    pub last_resort: bool,
    /// The welcomes, at least one.
    pub opens: Vec<OpenedWelcome>,
}

/// A welcome that a thief can open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpenedWelcome {
    /// The group, if its steps have to name it.
    pub group: Option<GroupName>,
    /// The epoch to which the welcome leads.
    pub epoch: u64,
    /// True if the welcome was made after the theft.
    pub after_theft: bool,
}

impl StolenKeyPackage {
    /// The fact in a sentence, without a full stop.
    #[must_use]
    pub fn seen(&self) -> String {
        let welcomes: Vec<_> = self.opens.iter().take(LISTED_WELCOMES).map(OpenedWelcome::words).collect();
        let welcomes = match self.opens.len() {
            1 => format!("the welcome {}", welcomes.concat()),
            count if count > LISTED_WELCOMES => {
                format!("the welcomes {} and {} more", welcomes.join(", "), count - LISTED_WELCOMES)
            }
            _ => format!("the welcomes {}", welcomes.join(", ")),
        };
        format!("the stolen {} opens {welcomes} (RFC 9420, 12.4.3.1)", self.words())
    }

    /// The change that takes the key package away from a thief, in a sentence without a full stop.
    #[must_use]
    pub fn remedy(&self) -> String {
        let Self { who, last_resort, .. } = self;
        let is_used_after_theft = self.opens.iter().any(|welcome| welcome.after_theft);
        match (is_used_after_theft, last_resort) {
            (true, _) => format!(
                "renew key packages after a theft, with a step `key_packages` of {who}: nobody can be added with a \
                 withdrawn one (RFC 9420, {})",
                if *last_resort { "16.8" } else { "10" }
            ),
            (false, true) => format!(
                "renew a last-resort key package after its use, with a step `key_packages` of {who}: the device then \
                 erases its keys (RFC 9420, 16.8)"
            ),
            (false, false) => format!(
                "remove {who} from the group, or let {who} `update` after it has joined: the device was stolen before \
                 it had opened the welcome (RFC 9420, 16.6)"
            ),
        }
    }

    /// The key package in words.
    pub(crate) fn words(&self) -> String {
        let kind = if self.last_resort { "last-resort key package" } else { "key package" };
        format!("{kind} {} of {}", self.number, self.who)
    }
}

impl OpenedWelcome {
    fn words(&self) -> String {
        let group = self.group.as_ref().map(|group| format!(" of {group}")).unwrap_or_default();
        format!("to epoch {}{group}", self.epoch)
    }
}

impl Serialize for StolenKeyPackage {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Told<'a> {
            number: u32,
            last_resort: bool,
            opens: &'a [OpenedWelcome],
            seen: String,
            remedy: String,
        }
        let Self { number, last_resort, ref opens, .. } = *self;
        Told { number, last_resort, opens, seen: self.seen(), remedy: self.remedy() }.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stolen(last_resort: bool, epochs: impl IntoIterator<Item = (u64, bool)>) -> StolenKeyPackage {
        let opens = epochs.into_iter().map(|(epoch, after_theft)| OpenedWelcome { group: None, epoch, after_theft });
        StolenKeyPackage { who: MemberName::new("bob"), number: 3, last_resort, opens: opens.collect() }
    }

    #[test]
    fn lists_of_welcomes_are_bounded() {
        let seen = |count: u64| stolen(true, (1..=count).map(|epoch| (epoch, true))).seen();
        assert_eq!(
            seen(1),
            "the stolen last-resort key package 3 of bob opens the welcome to epoch 1 (RFC 9420, 12.4.3.1)"
        );
        assert!(seen(2).contains("opens the welcomes to epoch 1, to epoch 2 (RFC"));
        assert!(seen(9).contains("to epoch 6 and 3 more (RFC"));
    }

    #[test]
    fn remedy_depends_on_the_use() {
        let remedy = |last_resort, epochs: &[(u64, bool)]| stolen(last_resort, epochs.iter().copied()).remedy();
        assert!(remedy(false, &[(1, true)]).starts_with("renew key packages after a theft"));
        assert!(remedy(true, &[(1, false), (3, true)]).starts_with("renew key packages after a theft"));
        assert!(remedy(true, &[(1, false)]).starts_with("renew a last-resort key package after its use"));
        assert!(remedy(false, &[(1, false)]).starts_with("remove bob from the group"));
    }
}
