//! Random draws of a churn: one stream of the ChaCha generator for each parameter and entity.
//!
//! A draw depends on the seed, the parameter, the entity and the number of the draw, and on nothing
//! else. So a change of one parameter leaves the draws of the other parameters as they were. The
//! draws are the same on every machine: they use integers, IEEE 754 operations, and the functions
//! of the crate `libm`. This crate computes logarithms and powers in Rust, while the standard
//! library calls the functions of the platform.

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng as _},
};
use sha2::{Digest as _, Sha256};

use crate::choices::scaled;

/// The number of random bits in a uniform draw: all bits of a floating-point fraction.
const BITS: u32 = 53;

/// The draws for one parameter of a churn.
#[derive(Clone, Debug)]
pub(crate) struct Draws {
    key: [u8; 32],
}

impl Draws {
    /// The draws for a parameter of the churn with this number in its scenario.
    pub(crate) fn new(seed: u64, churn: u32, parameter: &str) -> Self {
        Self { key: Sha256::digest(format!("regrow churn {seed} {churn} {parameter}")).into() }
    }

    /// 64 random bits: the draw with this number, from 0, of an entity.
    pub(crate) fn bits(&self, entity: u64, number: u32) -> u64 {
        let mut rng = ChaCha20Rng::from_seed(self.key);
        rng.set_stream(entity);
        // A draw takes two words of 32 bits.
        rng.set_word_pos(u128::from(number) * 2);
        rng.next_u64()
    }

    /// A number below `end`; 0 if `end` is 0.
    pub(crate) fn below(&self, entity: u64, number: u32, end: u64) -> u64 {
        scaled(self.bits(entity, number), end)
    }

    /// A uniform number above 0 and up to 1.
    pub(crate) fn uniform(&self, entity: u64, number: u32) -> f64 {
        let bits = self.bits(entity, number) >> (u64::BITS - BITS);
        (bits + 1) as f64 / (1_u64 << BITS) as f64
    }

    /// A draw of the exponential distribution with the mean 1.
    pub(crate) fn exponential(&self, entity: u64, number: u32) -> f64 {
        -libm::log(self.uniform(entity, number))
    }

    /// A draw of the normal distribution with the mean 0 and the variance 1 (Box and Muller). It
    /// takes two uniform draws.
    pub(crate) fn normal(&self, entity: u64, number: u32) -> f64 {
        let radius = libm::sqrt(2.0 * self.exponential(entity, 2 * number));
        let angle = 2.0 * std::f64::consts::PI * self.uniform(entity, 2 * number + 1);
        radius * libm::cos(angle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mean of a number of draws.
    fn mean(draw: impl Fn(u64) -> f64) -> f64 {
        (0..20_000).map(draw).sum::<f64>() / 20_000.0
    }

    #[test]
    fn draws_are_the_same_on_every_machine() {
        let draws = Draws::new(7, 1, "stay");
        let drawn = [draws.bits(3, 0), draws.bits(3, 1), draws.bits(4, 0)];
        assert_eq!(drawn, KNOWN_BITS);
        let drawn = [draws.exponential(3, 0), draws.normal(3, 0), draws.uniform(3, 0)];
        assert_eq!(drawn.map(f64::to_bits), KNOWN_NUMBERS);
    }

    const KNOWN_BITS: [u64; 3] = [16_048_183_106_081_035_557, 3_437_750_168_044_233_232, 6_027_094_998_529_399_863];
    const KNOWN_NUMBERS: [u64; 3] = [4_594_186_552_163_835_588, 4_596_570_846_004_836_480, 4_606_011_246_452_542_547];

    #[test]
    fn streams_are_independent() {
        let (stay, joins) = (Draws::new(7, 1, "stay"), Draws::new(7, 1, "joins"));
        assert_ne!(stay.bits(0, 0), joins.bits(0, 0));
        assert_ne!(stay.bits(0, 0), stay.bits(1, 0));
        assert_ne!(stay.bits(0, 0), stay.bits(0, 1));
        assert_ne!(stay.bits(0, 0), Draws::new(8, 1, "stay").bits(0, 0));
        assert_ne!(stay.bits(0, 0), Draws::new(7, 2, "stay").bits(0, 0));
    }

    #[test]
    fn draws_have_their_distributions() {
        let draws = Draws::new(7, 1, "test");
        assert!((mean(|entity| draws.uniform(entity, 0)) - 0.5).abs() < 0.01);
        assert!((mean(|entity| draws.exponential(entity, 0)) - 1.0).abs() < 0.03);
        assert!(mean(|entity| draws.normal(entity, 0)).abs() < 0.03);
        assert!((mean(|entity| draws.normal(entity, 0).powi(2)) - 1.0).abs() < 0.05);
        assert!((mean(|entity| draws.below(entity, 0, 11) as f64) - 5.0).abs() < 0.1);
        assert_eq!(draws.below(1, 1, 0), 0);
    }
}
