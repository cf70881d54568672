//! Writes an explanation for a person.

use std::{
    io::{self, Write},
    path::Path,
};

use super::explanation::{Answer, ExplainedFailure, ExplainedMember, ExplainedThief, Explanation, Way};
use crate::report::{result::Status, terminal::plain};

/// The width of the text. It does not depend on the terminal, so that the output is always the same.
const WIDTH: usize = 100;

/// The width of the labels of a state.
const LABEL: usize = 17;

/// Writes an explanation.
///
/// # Errors
/// Errors of the writer.
pub fn write(out: &mut dyn Write, file: &Path, explanation: &Explanation) -> io::Result<()> {
    let mut page = Page { out };
    page.line(0, &format!("{}: {}", file.display(), explanation.name))?;
    page.line(0, &result(explanation))?;
    for (number, failure) in explanation.failures.iter().enumerate() {
        page.failure(number + 1, failure)?;
    }
    let left_out = explanation.failed.saturating_sub(explanation.failures.len());
    if !explanation.failures.is_empty() && left_out > 0 {
        page.blank()?;
        page.line(
            0,
            &format!("{left_out} more failures are not explained. Correct the first ones, and run the command again."),
        )?;
    }
    for answer in &explanation.answers {
        page.answer(answer)?;
    }
    for thief in &explanation.thieves {
        page.thief(thief)?;
    }
    if let Some((thief, read)) =
        explanation.thieves.iter().find_map(|thief| Some((thief, thief.messages.iter().find(|it| it.read)?)))
    {
        page.blank()?;
        let command =
            format!("regrow explain {} --message {} --compromise {}", file.display(), read.message, thief.thief);
        page.line(0, "To see each step of a thief's way to a message:")?;
        page.line(4, &command)?;
    }
    page.out.flush()
}

fn result(explanation: &Explanation) -> String {
    let (failed, answers) = (explanation.failed, !explanation.answers.is_empty());
    match explanation.status {
        Status::Passed if answers => "passed".to_owned(),
        Status::Passed if explanation.thieves.is_empty() => {
            "passed: every expectation holds, and nothing was stolen. There is nothing to explain.".to_owned()
        }
        Status::Passed => "passed: every expectation holds. This is what each thief can read, and why:".to_owned(),
        _ if failed == 1 => "FAILED: 1 expectation does not hold".to_owned(),
        _ => format!("FAILED: {failed} expectations do not hold"),
    }
}

struct Page<'w> {
    out: &'w mut dyn Write,
}

impl Page<'_> {
    fn blank(&mut self) -> io::Result<()> {
        writeln!(self.out)
    }

    /// Writes a text with this indent, wrapped. Names of a file cannot control the terminal.
    fn line(&mut self, indent: usize, text: &str) -> io::Result<()> {
        self.labelled(indent, "", text)
    }

    /// Writes a label and a text beside it, wrapped.
    fn labelled(&mut self, indent: usize, label: &str, text: &str) -> io::Result<()> {
        let start = indent + label.chars().count();
        for (number, line) in wrapped(&plain(text), WIDTH.saturating_sub(start)).iter().enumerate() {
            match number {
                0 => writeln!(self.out, "{:indent$}{label}{line}", "")?,
                _ => writeln!(self.out, "{:start$}{line}", "")?,
            }
        }
        Ok(())
    }

    fn failure(&mut self, number: usize, failure: &ExplainedFailure) -> io::Result<()> {
        self.blank()?;
        self.line(0, &format!("{number}. {}", failure.place))?;
        if let Some(step) = &failure.step {
            self.labelled(3, "step      ", step)?;
        }
        self.labelled(3, "expected  ", &failure.expected)?;
        self.labelled(3, "seen      ", &failure.seen)?;
        if !failure.words.is_empty() {
            self.blank()?;
        }
        for words in &failure.words {
            self.line(3, words)?;
        }
        for member in &failure.members {
            self.member(member)?;
        }
        if failure.more_members > 0 {
            self.blank()?;
            self.line(3, &format!("{} more members are not shown.", failure.more_members))?;
        }
        if failure.more_groups > 0 {
            self.blank()?;
            self.line(3, &format!("{} more groups are not shown.", failure.more_groups))?;
        }
        for way in &failure.ways {
            self.way(3, way)?;
        }
        if !failure.events.is_empty() {
            self.blank()?;
            self.line(3, "The last events before it:")?;
            for event in &failure.events {
                self.line(6, event)?;
            }
            for note in &failure.notes {
                self.line(6, &format!("({note})"))?;
            }
        }
        Ok(())
    }

    fn member(&mut self, member: &ExplainedMember) -> io::Result<()> {
        self.blank()?;
        let group = member.group.as_ref().map(|group| format!(" in the group `{group}`")).unwrap_or_default();
        self.line(3, &format!("{}{group}, {}:", member.who, member.moment))?;
        for line in &member.lines {
            let mut value = line.before.clone();
            if let Some(after) = &line.after {
                value += &format!("; then {after}");
            }
            if let Some(note) = &line.note {
                value += &format!(" ({note})");
            }
            self.labelled(6, &format!("{:LABEL$}", line.label), &value)?;
        }
        Ok(())
    }

    fn way(&mut self, indent: usize, way: &Way) -> io::Result<()> {
        self.blank()?;
        self.line(indent, &format!("{}:", way.title))?;
        self.line(indent, &way.theft)?;
        for step in &way.steps {
            let label = format!("{:>4}  ", format!("[{}]", step.number));
            self.labelled(indent, &label, &format!("{} (RFC 9420, {})", step.text, step.rfc9420))?;
            if let Some(left_out) = way.left_out.filter(|left_out| left_out.after == step.number) {
                let count = left_out.steps;
                self.line(indent + 6, &format!("… {count} steps are left out: the same for each epoch between."))?;
            }
        }
        if let Some(remedy) = &way.remedy {
            self.line(indent, &format!("Remedy: {}", sentence(remedy)))?;
        }
        Ok(())
    }

    fn answer(&mut self, answer: &Answer) -> io::Result<()> {
        self.blank()?;
        self.line(0, &answer.sent)?;
        for member in &answer.members {
            self.line(3, member)?;
        }
        for hidden in &answer.hidden {
            self.line(3, hidden)?;
        }
        for way in &answer.ways {
            self.way(3, way)?;
        }
        Ok(())
    }

    fn thief(&mut self, thief: &ExplainedThief) -> io::Result<()> {
        self.blank()?;
        self.line(0, &thief.theft)?;
        for reading in &thief.messages {
            let verb = if reading.read { "reads" } else { "cannot read" };
            self.line(3, &format!("{verb} {}: {}. {}", reading.message, reading.sent, sentence(&reading.why)))?;
        }
        if thief.more_messages > 0 {
            self.line(3, &format!("{} more messages are not listed.", thief.more_messages))?;
        }
        for stolen in &thief.key_packages {
            self.line(3, stolen)?;
        }
        self.line(3, &thief.healing)
    }
}

/// The text as a sentence.
fn sentence(text: &str) -> String {
    if text.is_empty() || text.ends_with('.') { text.to_owned() } else { format!("{text}.") }
}

/// The text in lines of at most this many characters. A longer word has a line of its own.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_at_spaces() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("a longword b", 4), ["a", "longword", "b"]);
        assert_eq!(wrapped("", 4), [""]);
    }

    #[test]
    fn a_hostile_name_cannot_control_the_terminal() {
        let mut out = Vec::new();
        Page { out: &mut out }.line(2, "a \u{1b}[31m\nname").unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "  a  [31m name\n");
    }
}
