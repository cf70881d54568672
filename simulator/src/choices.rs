//! Draws random choices from a seed. A seed gives the same choices on every machine.

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng as _},
};
use sha2::{Digest as _, Sha256};

/// A stream of random choices.
pub(crate) struct Choices(ChaCha20Rng);

/// The number below `end` that 64 random bits choose; 0 if `end` is 0.
pub(crate) fn scaled(bits: u64, end: u64) -> u64 {
    // The high half of the product of random bits and a limit is nearly uniform.
    ((u128::from(bits) * u128::from(end)) >> u64::BITS) as u64
}

impl Choices {
    /// The stream with this label, which contains the seed.
    pub(crate) fn new(label: &str) -> Self {
        Self(ChaCha20Rng::from_seed(Sha256::digest(label).into()))
    }

    /// The index of an item in a list of this length; 0 if the list is empty.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        scaled(self.0.next_u64(), length as u64) as usize
    }

    /// A number below `end`; 0 if `end` is 0.
    pub(crate) fn below(&mut self, end: u32) -> u32 {
        scaled(self.0.next_u64(), end.into()) as u32
    }

    /// A number from `least` to `most`, both included.
    pub(crate) fn between(&mut self, least: u32, most: u32) -> u32 {
        least + self.below(most.saturating_sub(least) + 1)
    }

    /// True with a probability of one in `times`.
    pub(crate) fn once_in(&mut self, times: u32) -> bool {
        self.below(times) == 0
    }

    /// One of the items, if there are any.
    pub(crate) fn one<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        of.get(self.index(of.len())).cloned()
    }

    /// At least one and at most `most` of the items, in their order.
    pub(crate) fn some<T: Clone>(&mut self, of: &[T], most: usize) -> Vec<T> {
        let mut wanted = self.between(1, most.min(of.len()) as u32) as usize;
        let mut some = Vec::with_capacity(wanted);
        for (index, item) in of.iter().enumerate() {
            if self.index(of.len() - index) < wanted {
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
        let mut rng = Choices::new("test");
        for _ in 0..1000 {
            let some = rng.some(&[1, 2, 3, 4, 5], 3);
            assert!((1..=3).contains(&some.len()), "{some:?}");
            assert!(some.is_sorted_by(|one, next| one < next), "{some:?}");
        }
        assert!(rng.some::<u8>(&[], 3).is_empty());
        assert_eq!(rng.below(0), 0);
    }
}
