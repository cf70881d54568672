//! Members with weights, from which one is picked in proportion to its weight: a Fenwick tree.

/// A weight for each member. A change and a pick take logarithmic time.
#[derive(Clone, Debug)]
pub(crate) struct Weights {
    /// The sums of ranges of weights; index 0 is not used.
    sums: Vec<u64>,
    weights: Vec<u64>,
    total: u64,
}

impl Weights {
    /// Weights of 0 for this number of members.
    pub(crate) fn new(members: usize) -> Self {
        Self { sums: vec![0; members + 1], weights: vec![0; members], total: 0 }
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    pub(crate) fn set(&mut self, member: u32, weight: u64) {
        let member = member as usize;
        let old = std::mem::replace(&mut self.weights[member], weight);
        if old == weight {
            return;
        }
        self.total = self.total - old + weight;
        let mut place = member + 1;
        while place < self.sums.len() {
            self.sums[place] = self.sums[place] - old + weight;
            place += place & place.wrapping_neg();
        }
    }

    /// The member in whose part of the total the position is. [`None`] if the position is not below
    /// the total.
    pub(crate) fn pick(&self, position: u64) -> Option<u32> {
        if position >= self.total {
            return None;
        }
        let (mut place, mut left) = (0, position);
        let mut step = (self.sums.len() - 1).next_power_of_two();
        while step > 0 {
            if let Some(sum) = self.sums.get(place + step).filter(|sum| **sum <= left) {
                left -= sum;
                place += step;
            }
            step /= 2;
        }
        u32::try_from(place).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn pick_agrees_with_a_walk(
            members in 1_usize..40,
            changes in prop::collection::vec((any::<u32>(), 0_u64..5), 0..60),
        ) {
            let mut weights = Weights::new(members);
            let mut plain = vec![0; members];
            for (member, weight) in changes {
                let member = member % members as u32;
                weights.set(member, weight);
                plain[member as usize] = weight;
            }
            let walk: Vec<u32> = plain
                .iter()
                .zip(0..)
                .flat_map(|(weight, member)| std::iter::repeat_n(member, *weight as usize))
                .collect();
            prop_assert_eq!(weights.total(), walk.len() as u64);
            for (position, member) in walk.iter().enumerate() {
                prop_assert_eq!(weights.pick(position as u64), Some(*member));
            }
            prop_assert_eq!(weights.pick(walk.len() as u64), None);
        }
    }
}
