//! The program that runs a sweep, and the machine on which it runs.

use std::{
    env,
    fs::File,
    io::{self, Read as _},
    num::NonZero,
    thread,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The identity of the program. A result is only reused by the program that made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// The version of the crate.
    pub version: String,
    /// SHA-256 of the executable file. A new build with other code has another hash.
    pub sha256: String,
}

/// The machine, as far as it may explain times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The number of threads that run at the same time.
    pub cores: usize,
    /// The operating system.
    pub os: String,
    /// The architecture of the processor.
    pub arch: String,
}

impl Program {
    /// The program of this process.
    ///
    /// # Errors
    ///
    /// Errors of reading the executable file.
    pub fn current() -> io::Result<Self> {
        let mut file = File::open(env::current_exe()?)?;
        let mut hash = Sha256::new();
        let mut part = vec![0; 1 << 20];
        loop {
            let read = file.read(&mut part)?;
            if read == 0 {
                break;
            }
            hash.update(&part[..read]);
        }
        Ok(Self { version: env!("CARGO_PKG_VERSION").to_owned(), sha256: hex::encode(hash.finalize()) })
    }
}

impl Machine {
    /// The machine of this process.
    #[must_use]
    pub fn current() -> Self {
        Self {
            cores: thread::available_parallelism().map_or(1, NonZero::get),
            os: env::consts::OS.to_owned(),
            arch: env::consts::ARCH.to_owned(),
        }
    }
}
