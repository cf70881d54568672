//! Counts the marked events after a moment.
//!
//! A Fenwick tree: a mark and a count take time that grows with the logarithm of the events.

/// Marks at moments of a clock that starts at 0.
#[derive(Clone, Debug)]
pub(crate) struct EventCounts {
    /// The sums of a Fenwick tree, from index 1. The number of sums is a power of two.
    sums: Vec<u32>,
    total: u64,
}

impl EventCounts {
    /// No marks.
    pub(crate) fn new() -> Self {
        Self { sums: vec![0, 0], total: 0 }
    }

    /// Marks a moment.
    pub(crate) fn mark(&mut self, moment: u64) {
        let index = moment as usize + 1;
        while index >= self.sums.len() {
            let top = 2 * (self.sums.len() - 1);
            self.sums.resize(top + 1, 0);
            self.sums[top] = self.total as u32;
        }
        self.change(index, |sum| *sum += 1);
        self.total += 1;
    }

    /// Takes the mark of a moment away.
    pub(crate) fn unmark(&mut self, moment: u64) {
        self.change(moment as usize + 1, |sum| *sum -= 1);
        self.total -= 1;
    }

    fn change(&mut self, mut index: usize, change: impl Fn(&mut u32)) {
        while let Some(sum) = self.sums.get_mut(index) {
            change(sum);
            index += index & index.wrapping_neg();
        }
    }

    /// The number of marks after a moment.
    pub(crate) fn after(&self, moment: u64) -> u64 {
        let mut index = (moment as usize + 1).min(self.sums.len() - 1);
        let mut until = 0;
        while index > 0 {
            until += u64::from(self.sums[index]);
            index &= index - 1;
        }
        self.total - until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_marks_after_each_moment() {
        let (mut counts, mut marked) = (EventCounts::new(), Vec::new());
        for moment in [0, 3, 4, 9, 40, 41, 7] {
            counts.mark(moment);
            marked.push(moment);
            if moment == 9 {
                counts.unmark(3);
                marked.retain(|known| *known != 3);
            }
            for after in 0..100 {
                let expected = marked.iter().filter(|known| **known > after).count() as u64;
                assert_eq!(counts.after(after), expected, "after {after}: {marked:?}");
            }
        }
    }
}
