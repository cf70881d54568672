//! The stock of key packages in the generator's model, and the steps that change it.

use super::{generator::Generator, model::MemberNumber};
use crate::scenario::{Action, KeyPackageChange, KeyPackagePublication};

/// The number of key packages that the service has of each member by the default policy.
const BY_POLICY: usize = 2;

/// The key packages of a member at the service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stock {
    /// The number of one-time key packages.
    left: usize,
    /// The number that the member keeps there while it is connected.
    kept: usize,
    last_resort: bool,
}

impl Default for Stock {
    fn default() -> Self {
        Self { left: BY_POLICY, kept: BY_POLICY, last_resort: false }
    }
}

impl Stock {
    /// The number of additions for which the service has a key package.
    pub(super) fn additions(self) -> usize {
        if self.last_resort { usize::MAX } else { self.left }
    }

    /// The service hands out a key package.
    pub(super) fn claim(&mut self) {
        self.left = self.left.saturating_sub(1);
    }

    /// The member replaces used and expired key packages.
    pub(super) fn replenish(&mut self) {
        self.left = self.left.max(self.kept);
    }

    /// The member changes its key packages.
    pub(super) fn change(&mut self, change: KeyPackageChange) {
        let KeyPackageChange::Publish(KeyPackagePublication { renew, count, last_resort, .. }) = change else {
            *self = Self { left: 0, kept: 0, last_resort: false };
            return;
        };
        let count = count.map(|count| count as usize);
        if renew {
            self.kept = count.unwrap_or(BY_POLICY);
            self.left = self.kept;
            self.last_resort = last_resort.unwrap_or(self.last_resort);
        } else {
            let more = count.unwrap_or_default();
            (self.left, self.kept) = (self.left + more, self.kept + more);
            self.last_resort |= last_resort == Some(true);
        }
    }
}

impl Generator<'_> {
    /// Adds a change of a member's key packages.
    pub(super) fn key_packages(&mut self) -> Option<()> {
        let connected: Vec<MemberNumber> = self.model.online.iter().copied().collect();
        // A change matters most for a device that others can add.
        let outside: Vec<_> = connected.iter().copied().filter(|member| !self.model.group.contains(member)).collect();
        let anybody = outside.is_empty() || self.rng.once_in(2);
        let who = self.rng.one(if anybody { &connected } else { &outside })?;
        let plain = KeyPackagePublication::default();
        let publication = match self.rng.below(6) {
            0 => return self.change_key_packages(who, KeyPackageChange::Withdraw),
            1 => KeyPackagePublication { count: Some(self.rng.between(1, 2)), ..plain },
            2 => KeyPackagePublication { last_resort: Some(true), ..plain },
            3 => KeyPackagePublication { renew: true, count: Some(0), last_resort: Some(true), ..plain },
            4 => KeyPackagePublication { renew: true, count: Some(self.rng.between(1, 3)), ..plain },
            _ => return self.change_key_packages(who, KeyPackageChange::RENEWAL),
        };
        self.change_key_packages(who, KeyPackageChange::Publish(publication))
    }

    fn change_key_packages(&mut self, who: MemberNumber, change: KeyPackageChange) -> Option<()> {
        self.act_if_permitted(Action::KeyPackages { who: vec![self.name(who)], change })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stock_follows_the_changes() {
        let mut stock = Stock::default();
        stock.claim();
        stock.change(KeyPackageChange::Publish(KeyPackagePublication { count: Some(3), ..Default::default() }));
        assert_eq!(stock.additions(), 4);
        stock.replenish();
        assert_eq!(stock.additions(), 5);
        stock
            .change(KeyPackageChange::Publish(KeyPackagePublication { last_resort: Some(true), ..Default::default() }));
        assert_eq!(stock.additions(), usize::MAX);
        stock.change(KeyPackageChange::RENEWAL);
        assert_eq!(stock.additions(), usize::MAX, "a renewal keeps a last-resort key package");
        stock.change(KeyPackageChange::Withdraw);
        stock.replenish();
        assert_eq!(stock.additions(), 0);
    }
}
