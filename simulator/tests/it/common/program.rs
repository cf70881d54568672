//! The program `regrow`, and the text of its output.

use std::{
    path::Path,
    process::{Command, Output},
};

/// A command of `regrow` in a folder.
pub fn command(arguments: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_regrow"));
    command.args(arguments).current_dir(folder);
    command
}

/// Runs `regrow` in a folder to its end.
pub fn regrow(arguments: &[&str], folder: &Path) -> Output {
    command(arguments, folder).output().unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
