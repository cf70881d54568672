//! The figures of a trace, for a person.

use std::io::{self, Write};

use crate::trace::TraceStats;

/// Writes the figures of a trace, one on each line.
///
/// # Errors
/// An error of the output.
pub fn write(out: &mut dyn Write, stats: &TraceStats) -> io::Result<()> {
    let mut line = |name: &str, value: String| writeln!(out, "{name:<28}{value}");
    line("initial members", stats.initial_members.to_string())?;
    line("joins after", stats.joins.to_string())?;
    line("leaves", stats.leaves.to_string())?;
    line("messages", stats.messages.to_string())?;
    line("changes", stats.changes.to_string())?;
    line("members at the peak", stats.peak_members.to_string())?;
    line("members at the end", stats.end_members.to_string())?;
    line("span", duration(stats.span_seconds))?;
    line("largest joins", list(&stats.largest_joins))?;
    line("largest leaves", list(&stats.largest_leaves))?;
    for sizes in &stats.batch_sizes {
        let rows = match sizes.least {
            1 => "1 row".to_owned(),
            least => format!("{least} to {} rows", sizes.most),
        };
        line(&format!("changes of {rows}"), sizes.changes.to_string())?;
    }
    line("stays that ended", stats.stays.completed.to_string())?;
    if let (Some(median), Some(p95)) = (stats.stays.median_seconds, stats.stays.p95_seconds) {
        line("  median", duration(median))?;
        line("  95th percentile", duration(p95))?;
    }
    line("stays to the end", stats.stays.open.to_string())?;
    if let Some(top) = &stats.concentration {
        line("members that send", format!("{} of {}", top.senders, top.members))?;
        line("  messages of the top 1 %", share(top.top_1_percent, stats.messages))?;
        line("  messages of the top 10 %", share(top.top_10_percent, stats.messages))?;
    }
    line("authors of changes", stats.authors.to_string())?;
    line("  never members", stats.authors_never_members.to_string())?;
    line("changes by non-members", stats.changes_by_non_members.to_string())?;
    line("changes without author", stats.changes_without_author.to_string())
}

fn list(numbers: &[u64]) -> String {
    match numbers {
        [] => "0".to_owned(),
        numbers => numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// A part of a whole as a percentage with one decimal.
fn share(part: u64, whole: u64) -> String {
    let permille = (part * 1000 + whole / 2) / whole.max(1);
    format!("{part} ({}.{} %)", permille / 10, permille % 10)
}

/// The two largest units of a duration.
fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units() {
        let of = [59, 60, 3725, 90_000].map(duration);
        assert_eq!(of, ["59 s", "1 min 0 s", "1 h 2 min", "1 d 1 h"]);
    }

    #[test]
    fn shares_are_rounded() {
        assert_eq!(share(2, 3), "2 (66.7 %)");
        assert_eq!(share(3, 3), "3 (100.0 %)");
    }
}
