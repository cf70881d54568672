//! Cargo reads `[build-dependencies]` only if a crate has a build script.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
