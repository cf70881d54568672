//! Starters: commented scenario files for questions that every product has.
//!
//! A QA engineer writes one of them to a file, changes it, and keeps it with the product's own
//! scenarios. Each starter passes as it is.

use crate::scenario::fields;

/// A commented scenario file for one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Starter {
    /// The name on the command line, and of the file.
    pub name: &'static str,
    /// The question of the product, in a sentence.
    pub question: &'static str,
    /// The content of the file.
    pub text: &'static str,
}

/// The name that a user gave is not that of a starter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", fields::unknown("starter", name, &known()))]
pub struct UnknownStarter {
    name: String,
}

macro_rules! starters {
    ($($name:literal: $question:literal;)*) => {
        /// All starters, in the order of the list.
        pub const STARTERS: &[Starter] = &[
            $(Starter { name: $name, question: $question, text: include_str!(concat!("../starters/", $name, ".jsonc")) },)*
        ];
    };
}

starters! {
    "stolen-phone": "Somebody copied a phone. Which messages do they read, and what ends it?";
    "lost-laptop": "A laptop is lost. Does its disk alone tell anything?";
    "employee-leaves": "An employee leaves. From when on does their device read nothing?";
    "two-admins": "Two admins change the group at the same moment. Does each change happen once?";
    "flaky-network": "The network delays, repeats and loses messages. Which of them can a user read?";
    "service-down": "The service fails at a bad moment. Does a change get lost, or happen twice?";
    "restored-backup": "A user lost the phone and installs the app again. Does the user get back in?";
    "long-offline": "A user comes back after weeks. Do they read everything, and what did it cost?";
    "new-device": "A user links a new device. What can it read?";
    "key-packages-run-out": "Others used up a user's key packages. Can the user still be added?";
}

/// The starter with this name.
///
/// # Errors
/// There is none; the error has the nearest name.
pub fn find(name: &str) -> Result<&'static Starter, UnknownStarter> {
    STARTERS.iter().find(|starter| starter.name == name).ok_or_else(|| UnknownStarter { name: name.to_owned() })
}

fn known() -> Vec<&'static str> {
    STARTERS.iter().map(|starter| starter.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_name_gets_the_nearest_one() {
        assert_eq!(find("two-admins").unwrap().name, "two-admins");
        let error = find("stolen-phon").unwrap_err().to_string();
        assert_eq!(error, "unknown starter `stolen-phon`; did you mean `stolen-phone`?");
        assert!(find("x").unwrap_err().to_string().contains("known are stolen-phone, lost-laptop"));
    }

    #[test]
    fn every_starter_says_its_question_and_what_to_change() {
        for starter in STARTERS {
            assert!(starter.text.starts_with("{\n  // Question: "), "{}", starter.name);
            assert!(starter.text.contains("  // For your product, change:\n  // - "), "{}", starter.name);
            assert!(starter.question.ends_with('?'), "{}", starter.name);
        }
    }
}
