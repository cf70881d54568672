//! The cryptography of Regrow's devices, service and simulator.
//!
//! Two providers implement OpenMLS's trait
//! [`OpenMlsCrypto`](openmls_traits::crypto::OpenMlsCrypto):
//!
//! | provider | feature | implementations | needs |
//! | --- | --- | --- | --- |
//! | `AwsLc` | `aws-lc` (default) | AWS-LC, and RustCrypto where it is as fast | a C compiler |
//! | `RustCrypto` | `rust-crypto` | RustCrypto | only Rust |
//!
//! [`DefaultCrypto`] is `AwsLc`, or `RustCrypto` in a build without the feature `aws-lc`. Both
//! support the same ciphersuites, and give the same bytes and the same errors for the same input
//! and randomness. So the members of a group may use different providers. `tests/providers.rs`
//! compares the two.
//!
//! HPKE (RFC 9180) is `hpke-rs` over the primitives of the provider.
//!
//! The feature `post-quantum` adds the KEM X-Wing. `Provider::post_quantum` makes a
//! provider that also supports the ciphersuite `MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519`.
//!
//! # Randomness
//!
//! A provider takes each random byte from its [`RandomSource`]. [`SystemRandom`] asks the operating
//! system each time, so a device keeps no generator whose state would reveal its keys. A simulation
//! supplies a source that follows from a seed.
//!
//! ```
//! use openmls_traits::{crypto::OpenMlsCrypto as _, types::SignatureScheme};
//! use regrow_crypto::DefaultCrypto;
//!
//! let crypto = DefaultCrypto::default();
//! let (private, public) = crypto.signature_key_gen(SignatureScheme::ED25519)?;
//! let signature = crypto.sign(SignatureScheme::ED25519, b"text", &private)?;
//! crypto.verify_signature(SignatureScheme::ED25519, b"text", &public, &signature)?;
//! # Ok::<(), openmls_traits::types::CryptoError>(())
//! ```

#![forbid(unsafe_code)]

#[cfg(not(any(feature = "aws-lc", feature = "rust-crypto")))]
compile_error!("regrow-crypto needs one of its features `aws-lc` and `rust-crypto`");

#[cfg(feature = "aws-lc")]
mod aws_lc;
mod hpke;
mod info_hash;
#[cfg(feature = "memory-provider")]
mod memory_provider;
mod primitives;
mod provider;
mod random;
#[cfg(feature = "rust-crypto")]
mod rust_crypto;
#[cfg(feature = "post-quantum")]
mod x_wing;

#[cfg(feature = "aws-lc")]
pub use aws_lc::AwsLc;
#[cfg(feature = "memory-provider")]
pub use memory_provider::MemoryProvider;
pub use provider::Provider;
pub use random::{RandomSource, SystemRandom};
#[cfg(feature = "rust-crypto")]
pub use rust_crypto::RustCrypto;

/// The provider of this build: [`AwsLc`] with the feature `aws-lc`, and `RustCrypto` without it.
#[cfg(feature = "aws-lc")]
pub type DefaultCrypto<R = SystemRandom> = AwsLc<R>;

/// The provider of this build: `AwsLc` with the feature `aws-lc`, and [`RustCrypto`] without it.
#[cfg(all(feature = "rust-crypto", not(feature = "aws-lc")))]
pub type DefaultCrypto<R = SystemRandom> = RustCrypto<R>;
