//! Compares Regrow with mls-rs and with OpenMLS alone: `cargo bench -p regrow-engine --bench peers`.
//!
//! The comparison is the program in `benches/peers/`, a workspace of its own, so that no other
//! build compiles mls-rs. This target builds and runs that program and passes its arguments on.

#![allow(missing_docs, clippy::unwrap_used)]

use std::{
    path::Path,
    process::{Command, ExitCode},
};

fn main() -> ExitCode {
    // `cargo test --all-targets` runs this program too, but not to measure.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let status = Command::new(env!("CARGO"))
        .args(["run", "--release", "--locked", "--manifest-path"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/Cargo.toml"))
        // Dependencies that both workspaces have are compiled only once.
        .arg("--target-dir")
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap())
        .arg("--")
        .args(std::env::args().skip(1).filter(|argument| argument != "--bench"))
        .status()
        .unwrap();
    ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1))
}
