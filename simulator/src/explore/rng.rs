//! Draws the generator's random choices from a seed. A seed gives the same choices on every
//! machine.

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng as _},
};
use sha2::{Digest as _, Sha256};

/// A stream of random choices.
pub(super) struct ScenarioRng(ChaCha20Rng);

impl ScenarioRng {
    /// The stream for one scenario of a search.
    pub(super) fn new(seed: u64, number: u64) -> Self {
        Self(ChaCha20Rng::from_seed(Sha256::digest(format!("regrow explore {seed} {number}")).into()))
    }

    /// A number below `end`; 0 if `end` is 0.
    pub(super) fn below(&mut self, end: u32) -> u32 {
        // The high half of the product of a random 64-bit number and a 32-bit limit is nearly
        // uniform.
        let product = u128::from(self.0.next_u64()) * u128::from(end);
        (product >> u64::BITS) as u32
    }

    /// A number from `least` to `most`, both included.
    pub(super) fn between(&mut self, least: u32, most: u32) -> u32 {
        least + self.below(most.saturating_sub(least) + 1)
    }

    /// True with a probability of one in `times`.
    pub(super) fn once_in(&mut self, times: u32) -> bool {
        self.below(times) == 0
    }

    /// One of the items, if there are any.
    pub(super) fn one<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        of.get(self.below(of.len() as u32) as usize).cloned()
    }

    /// At least one and at most `most` of the items, in their order.
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
        let mut rng = ScenarioRng::new(1, 1);
        for _ in 0..1000 {
            let some = rng.some(&[1, 2, 3, 4, 5], 3);
            assert!((1..=3).contains(&some.len()), "{some:?}");
            assert!(some.is_sorted_by(|one, next| one < next), "{some:?}");
        }
        assert!(rng.some::<u8>(&[], 3).is_empty());
        assert_eq!(rng.below(0), 0);
    }
}
