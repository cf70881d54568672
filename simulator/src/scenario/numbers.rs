//! Reads a JSON object of known names and whole numbers, with the same checks as scenarios.

use super::{
    fields::{At, FileReader},
    json::SourceText,
    problem::FileProblem,
};

/// Reads the numbers of an object that has only known names, each at most once, and no number above
/// `most`.
///
/// # Errors
///
/// Every problem that was found, in the order of the text.
pub(crate) fn numbers<'k>(text: &str, known: &[&'k str], most: u32) -> Result<Vec<(&'k str, u32)>, Vec<FileProblem>> {
    let (source, json) = SourceText::open(text).map_err(|problem| vec![problem])?;
    let mut reader = FileReader::new(source);
    let mut numbers = Vec::new();
    if let Some(fields) = reader.object(At { json, path: String::new() }, known) {
        for name in known {
            let number = fields.get(name).and_then(|at| reader.small_number(&at, 0, most));
            numbers.extend(number.map(|number| (*name, number)));
        }
    }
    if reader.problems.is_empty() {
        return Ok(numbers);
    }
    reader.problems.sort_by_key(|problem| problem.position);
    Err(reader.problems)
}
