//! The predicted time of counted operations: each count times the time of one call.

use super::UnitTimes;

/// The size of the AEAD calls whose time a prediction uses, in bytes. The counts have no sizes, and
/// most handshakes and short messages are near this one.
const AEAD_SIZE: usize = 256;

impl UnitTimes {
    /// The predicted seconds of operations, with their counts in the order of
    /// [`CostCounts::named`](crate::cost::CostCounts::named). [`None`] if there are operations that
    /// no real device makes, because a calibration does not measure them.
    #[must_use]
    pub fn predict(&self, counts: [f64; 16]) -> Option<f64> {
        let aead = |times: &std::collections::BTreeMap<usize, f64>| times.get(&AEAD_SIZE).copied().unwrap_or_default();
        let times = [
            self.hpke_seal,
            self.hpke_open,
            self.hpke_export,
            self.key_pair,
            self.signature_key,
            self.signature,
            self.verification,
            self.kdf,
            self.mac,
            aead(&self.aead_seal),
            aead(&self.aead_open),
            self.hash_call,
            self.hash_byte,
            self.random_byte,
        ];
        let (measured, others) = counts.split_at(times.len());
        let is_measured = others.iter().all(|count| *count == 0.0);
        is_measured.then(|| times.iter().zip(measured).map(|(time, count)| time * count).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::CostCounts;

    #[test]
    fn each_count_is_multiplied_by_its_own_time() {
        let times = UnitTimes {
            hpke_seal: 1.0,
            verification: 10.0,
            aead_open: [(32, 5.0), (AEAD_SIZE, 100.0)].into(),
            hash_byte: 1000.0,
            random_byte: 10_000.0,
            ..UnitTimes::default()
        };
        let counts = CostCounts {
            hpke_seals: 2,
            verifications: 3,
            aead_opens: 4,
            hashed_bytes: 5,
            random_bytes: 6,
            hpke_opens: 9,
            ..CostCounts::default()
        };
        let predicted = |counts: CostCounts| times.predict(counts.named().map(|(_, count)| count as f64));
        assert_eq!(predicted(counts), Some(65_432.0));
        assert_eq!(predicted(CostCounts { dh: 1, ..counts }), None);
        assert_eq!(predicted(CostCounts { kem: 1, ..counts }), None);
    }
}
