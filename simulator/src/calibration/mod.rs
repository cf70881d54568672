//! The time of each crypto operation on this machine, and the predicted times of counted
//! operations.
//!
//! A measurement depends on the machine, so its results never enter a deterministic file.
//!
//! | module | content |
//! | --- | --- |
//! | this one | a calibration as a file |
//! | `measure` | measures the operations of a provider |
//! | `stopwatch` | the time of one call, as the median of several batches |
//! | `predict` | the predicted time of counted operations |
//! | `prediction` | predicted times beside the times of real clients |

mod measure;
mod predict;
mod prediction;
mod stopwatch;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

pub use self::{
    measure::{AEAD_SIZES, MeasureError, measure},
    prediction::{GROUP_SIZES, Prediction},
};
use crate::sweep::{Machine, Program};

/// The only format that this version reads.
pub const FORMAT: u64 = 1;

/// The file that `regrow calibrate` writes and `regrow sweep` looks for, in the current folder.
pub const DEFAULT_FILE: &str = "regrow-calibration.json";

/// The times of the operations of this machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The format of the file.
    pub regrow_calibration: u64,
    /// The program that measured.
    pub program: Program,
    /// The machine.
    pub machine: Machine,
    /// The time of the measurement, in UTC.
    pub measured: String,
    /// The times of each provider of the build. The devices of the simulation use the first one.
    pub providers: Vec<ProviderTimes>,
    /// Predicted times of the first provider beside measured times, for groups of several sizes.
    #[serde(default)]
    pub predictions: Vec<Prediction>,
}

/// The times of one provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProviderTimes {
    /// The name of the provider's feature: `aws-lc` or `rust-crypto`.
    pub provider: String,
    /// The times by ciphersuite.
    pub ciphersuites: BTreeMap<String, UnitTimes>,
}

/// The seconds of one call of each operation, in one ciphersuite.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UnitTimes {
    /// An HPKE encryption of a path secret.
    pub hpke_seal: f64,
    /// An HPKE decryption of a path secret.
    pub hpke_open: f64,
    /// An HPKE secret export by the sender.
    pub hpke_export: f64,
    /// The derivation of an HPKE key pair.
    pub key_pair: f64,
    /// The generation of a signature key pair.
    pub signature_key: f64,
    /// A signature.
    pub signature: f64,
    /// The verification of a signature.
    pub verification: f64,
    /// An HKDF extraction or expansion: the mean of both.
    pub kdf: f64,
    /// An HMAC of 64 bytes.
    pub mac: f64,
    /// An AEAD encryption, by the bytes of the plaintext.
    pub aead_seal: BTreeMap<usize, f64>,
    /// An AEAD decryption, by the bytes of the plaintext.
    pub aead_open: BTreeMap<usize, f64>,
    /// A hash, without its bytes.
    pub hash_call: f64,
    /// Each byte that a hash reads.
    pub hash_byte: f64,
    /// Each random byte, drawn in pieces of 32 bytes.
    pub random_byte: f64,
}

/// The reason why a calibration cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        error: io::Error,
    },
    /// The file has another content.
    #[error("{}: {error}; make the file again with `regrow calibrate`", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The problem, with its place.
        error: serde_json::Error,
    },
    /// The file has another format.
    #[error("{}: regrow_calibration: this version reads format {FORMAT}, found {found}; make the file again with `regrow calibrate`", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The format of the file.
        found: u64,
    },
    /// The file has no times for a ciphersuite.
    #[error("the calibration has no times for {0}; make the file again with `regrow calibrate`")]
    Ciphersuite(String),
}

impl Calibration {
    /// Reads a calibration.
    ///
    /// # Errors
    ///
    /// [`CalibrationError`].
    pub fn load(path: &Path) -> Result<Self, CalibrationError> {
        let text = fs::read(path).map_err(|error| CalibrationError::Read { path: path.to_owned(), error })?;
        let calibration: Self = serde_json::from_slice(&text)
            .map_err(|error| CalibrationError::Content { path: path.to_owned(), error })?;
        match calibration.regrow_calibration {
            FORMAT => Ok(calibration),
            found => Err(CalibrationError::Format { path: path.to_owned(), found }),
        }
    }

    /// The smallest and the largest quotient of measured and predicted time. [`None`] if the file
    /// has no predictions.
    #[must_use]
    pub fn quotients(&self) -> Option<(f64, f64)> {
        let quotients = self.predictions.iter().map(|prediction| prediction.measured_s / prediction.predicted_s);
        quotients.fold(None, |range, quotient| {
            let (least, most) = range.unwrap_or((quotient, quotient));
            Some((least.min(quotient), most.max(quotient)))
        })
    }

    /// The times of the provider that the devices of a simulation use, for a ciphersuite.
    ///
    /// # Errors
    ///
    /// [`CalibrationError::Ciphersuite`].
    pub fn of_devices(&self, ciphersuite: &str) -> Result<&UnitTimes, CalibrationError> {
        let times = self.providers.first().and_then(|provider| provider.ciphersuites.get(ciphersuite));
        times.ok_or_else(|| CalibrationError::Ciphersuite(ciphersuite.to_owned()))
    }
}
