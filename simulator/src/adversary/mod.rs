//! Finds the messages that a thief can read, from the stolen state and the recorded traffic.
//!
//! There are three independent answers:
//!
//! | answer | source | module |
//! | --- | --- | --- |
//! | predicted | RFC 9420 and the policy, applied to the operations | [`crate::oracle`] |
//! | observed | the secrets that follow from the stolen bytes | `evidence` |
//! | replayed | the messages that the engine reads with the stolen state | [`replay`] |
//!
//! The observed answer has to equal the predicted answer, message by message. The replayed answer
//! has to be a part of the observed answer. The replay alone says less than the truth: the engine
//! refuses messages that its records call its own or too old, although the keys may exist.
//!
//! The observed answer uses all values that the devices computed. It takes the calls from the
//! [`tape`](Taped) of each device's cryptography, and makes a `graph` of them. Each edge of the
//! graph says that a secret follows from other secrets. Then it looks in the stolen bytes for every
//! secret of the graph (`search`), and computes the closure over the graph (`closure`). `closure`
//! also finds and prints the path from the stolen bytes to a key. `derivation` finds all steps to it.
//! `naming` names the secrets on a path.
//!
//! A thief that acts uses the replayed device: see [`active`].

pub mod active;
mod closure;
mod derivation;
mod disk;
mod evidence;
mod forging_crypto;
mod graph;
mod held;
mod naming;
pub mod replay;
mod run_stolen;
mod search;
mod stolen_state;
mod tape;
mod thief;
mod traffic;
mod without_device;

pub use closure::Path;
pub(crate) use derivation::{Derivation, DerivationStep, Source};
pub use disk::BreakInError;
pub(crate) use evidence::Goal;
pub use evidence::{Evidence, Exposure, StolenBytes};
pub(crate) use graph::How;
pub(crate) use held::HeldSecrets;
pub(crate) use naming::SecretKind;
pub use replay::Adversary;
pub use run_stolen::run_stolen;
pub use stolen_state::{StolenFile, StolenState};
pub(crate) use tape::Mark;
pub use tape::{CallLog, Taped};
pub(crate) use thief::{Answers, Disagreement, GroupAtTheft, Thief};
pub use traffic::{Traffic, TrafficKind};
