//! What a generator draws, from a seed: the same on any machine.

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng as _},
};
use sha2::{Digest as _, Sha256};

/// A stream of choices.
pub(super) struct Dice(ChaCha20Rng);

impl Dice {
    /// The stream of one of a search's scenarios.
    pub(super) fn new(seed: u64, number: u64) -> Self {
        Self(ChaCha20Rng::from_seed(Sha256::digest(format!("regrow explore {seed} {number}")).into()))
    }

    /// A number below this one; 0 below 0.
    pub(super) fn below(&mut self, end: u32) -> u32 {
        // The high half of a product is as even as 64 bits against 32 can be.
        let product = u128::from(self.0.next_u64()) * u128::from(end);
        (product >> u64::BITS) as u32
    }

    /// A number from one to another, both included.
    pub(super) fn between(&mut self, least: u32, most: u32) -> u32 {
        least + self.below(most.saturating_sub(least) + 1)
    }

    /// True once in so many times.
    pub(super) fn once_in(&mut self, times: u32) -> bool {
        self.below(times) == 0
    }

    /// One of these, if there is any.
    pub(super) fn one<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        of.get(self.below(of.len() as u32) as usize).cloned()
    }

    /// Some of these, at least one and at most so many, in their order.
    pub(super) fn some<T: Clone>(&mut self, of: &[T], most: usize) -> Vec<T> {
        let mut wanted = self.between(1, most.min(of.len()) as u32) as usize;
        let mut some = Vec::with_capacity(wanted);
        for (index, item) in of.iter().enumerate() {
            if (self.below((of.len() - index) as u32) as usize) < wanted {
                some.push(item.clone());
                wanted -= 1;
            }
        }
        some
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_are_distinct_and_in_order() {
        let mut dice = Dice::new(1, 1);
        for _ in 0..1000 {
            let some = dice.some(&[1, 2, 3, 4, 5], 3);
            assert!((1..=3).contains(&some.len()), "{some:?}");
            assert!(some.is_sorted_by(|one, next| one < next), "{some:?}");
        }
        assert!(dice.some::<u8>(&[], 3).is_empty());
        assert_eq!(dice.below(0), 0);
    }
}
