//! Reads the rows of a trace, one after the other. Memory grows with the names, not with the rows.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustc_hash::FxHashMap;

use super::{
    error::{TraceError, TraceMistake},
    row::{TraceEvent, TraceName, TraceRow},
};
use crate::scenario::{MAX_NAME_LENGTH, MAX_WAIT};

/// The first line of a trace.
pub const HEADER: &str = "time,event,member,by";

/// The size of the largest trace, in bytes. It has room for the largest number of rows.
pub const MAX_TRACE_SIZE: u64 = 256 * 1024 * 1024;

/// The largest number of rows. Their replay as real devices would take days.
pub const MAX_TRACE_ROWS: u32 = 5_000_000;

/// The largest number of names, of members and of other authors. It equals the largest number of
/// members of a scenario.
pub const MAX_TRACE_NAMES: usize = 1_000_000;

/// The length of the longest line, in bytes. Two names of the longest kind fit into it.
pub const MAX_TRACE_LINE: usize = 1_200;

/// The latest time, in seconds. It is the longest `wait` of a scenario.
pub const MAX_TRACE_TIME: u64 = MAX_WAIT.as_secs();

/// Opens a trace.
///
/// # Errors
/// A [`TraceError`] if the path is not a file, or if the file is too large.
pub fn open(path: &Path) -> Result<TraceReader<BufReader<File>>, TraceError> {
    let whole = |mistake| TraceError { file: path.to_owned(), line: None, mistake };
    // The check comes before the opening, because to open a pipe would wait for its other end.
    let metadata = path.metadata().map_err(|error| whole(TraceMistake::Unreadable(error)))?;
    if !metadata.is_file() {
        return Err(whole(TraceMistake::NotAFile));
    }
    if metadata.len() > MAX_TRACE_SIZE {
        return Err(whole(TraceMistake::TooLarge));
    }
    let file = File::open(path).map_err(|error| whole(TraceMistake::Unreadable(error)))?;
    Ok(TraceReader::new(path, BufReader::new(file)))
}

/// Reads the rows of a trace, and checks each row against the membership before it. The iterator
/// ends after the first mistake.
#[derive(Debug)]
pub struct TraceReader<R> {
    file: PathBuf,
    input: R,
    line: u32,
    bytes: u64,
    text: Vec<u8>,
    time: u64,
    numbers: FxHashMap<Arc<str>, TraceName>,
    names: Vec<Arc<str>>,
    /// Tells for each name if it is in the group.
    in_group: Vec<bool>,
    ended: bool,
}

impl<R: BufRead> TraceReader<R> {
    /// Reads a trace from any input. The path is only for error messages.
    pub fn new(path: &Path, input: R) -> Self {
        Self {
            file: path.to_owned(),
            input,
            line: 0,
            bytes: 0,
            text: Vec::new(),
            time: 0,
            numbers: FxHashMap::default(),
            names: Vec::new(),
            in_group: Vec::new(),
            ended: false,
        }
    }

    /// The names that have appeared so far, in order of first appearance.
    #[must_use]
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// True if the name is in the group after the rows that were read so far.
    #[must_use]
    pub fn is_member(&self, name: TraceName) -> bool {
        self.in_group[name.index()]
    }

    fn next_row(&mut self) -> Result<Option<TraceRow>, TraceMistake> {
        if self.line == 0 {
            let found = if self.read_line()? { text(&self.text)? } else { "" };
            // A byte order mark comes from spreadsheets. It says nothing in UTF-8.
            if found.trim_start_matches('\u{feff}') != HEADER {
                return Err(TraceMistake::NoHeader { found: shown(found) });
            }
        }
        if !self.read_line()? {
            return Ok(None);
        }
        if self.line > MAX_TRACE_ROWS.saturating_add(1) {
            return Err(TraceMistake::TooManyRows);
        }
        let line = std::mem::take(&mut self.text);
        let row = self.row(text(&line)?);
        self.text = line;
        row.map(Some)
    }

    /// Reads the next line into `text`, without its end. False at the end of the file.
    fn read_line(&mut self) -> Result<bool, TraceMistake> {
        self.text.clear();
        let most = MAX_TRACE_LINE as u64 + 2;
        let read = (&mut self.input).take(most).read_until(b'\n', &mut self.text);
        let read = read.map_err(TraceMistake::Unreadable)?;
        if read == 0 {
            return Ok(false);
        }
        self.line += 1;
        self.bytes += read as u64;
        if self.bytes > MAX_TRACE_SIZE {
            return Err(TraceMistake::TooLarge);
        }
        for end in [b'\n', b'\r'] {
            if self.text.last() == Some(&end) {
                self.text.pop();
            }
        }
        if self.text.len() > MAX_TRACE_LINE {
            return Err(TraceMistake::LineTooLong);
        }
        Ok(true)
    }

    fn row(&mut self, line: &str) -> Result<TraceRow, TraceMistake> {
        let columns: Vec<&str> = line.split(',').take(HEADER.len()).collect();
        let [time, event, member, by] = columns[..] else {
            return Err(TraceMistake::Columns { found: columns.len() });
        };
        let time = self.check_time(time)?;
        let event = TraceEvent::ALL.iter().find(|(word, _)| *word == event).map(|(_, event)| *event);
        let event = event.ok_or_else(|| TraceMistake::UnknownEvent { found: shown(columns[1]) })?;
        let member = self.name("member", member)?;
        let by = if by.is_empty() { None } else { Some(self.name("by", by)?) };
        self.apply(event, member, by)?;
        Ok(TraceRow { line: self.line, time, event, member, by })
    }

    fn check_time(&mut self, found: &str) -> Result<u64, TraceMistake> {
        let wrong = || TraceMistake::Time { found: shown(found) };
        if found.is_empty() || !found.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let time = found.parse().ok().filter(|time| *time <= MAX_TRACE_TIME).ok_or_else(wrong)?;
        if time < self.time {
            return Err(TraceMistake::TimeGoesBack { time, before: self.time });
        }
        self.time = time;
        Ok(time)
    }

    fn name(&mut self, column: &'static str, name: &str) -> Result<TraceName, TraceMistake> {
        if let Some(known) = self.numbers.get(name) {
            return Ok(*known);
        }
        let is_wrong = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '\u{feff}');
        if name.is_empty() || name.contains(is_wrong) || name.chars().count() > MAX_NAME_LENGTH {
            return Err(TraceMistake::Name { column, found: shown(name) });
        }
        if self.names.len() >= MAX_TRACE_NAMES {
            return Err(TraceMistake::TooManyNames);
        }
        let number = TraceName(u32::try_from(self.names.len()).map_err(|_| TraceMistake::TooManyNames)?);
        let name: Arc<str> = Arc::from(name);
        self.numbers.insert(name.clone(), number);
        self.names.push(name);
        self.in_group.push(false);
        Ok(number)
    }

    /// Checks an event against the membership, and changes the membership.
    fn apply(&mut self, event: TraceEvent, member: TraceName, by: Option<TraceName>) -> Result<(), TraceMistake> {
        let name = || self.names[member.index()].to_string();
        match (event, self.in_group[member.index()]) {
            (TraceEvent::Join, true) => return Err(TraceMistake::JoinOfMember { member: name() }),
            (TraceEvent::Leave, false) => return Err(TraceMistake::LeaveOfNonMember { member: name() }),
            (TraceEvent::Message, false) => return Err(TraceMistake::MessageOfNonMember { member: name() }),
            (TraceEvent::Message, true) => {
                if let Some(by) = by.filter(|by| *by != member) {
                    let by = self.names[by.index()].to_string();
                    return Err(TraceMistake::MessageByAnother { member: name(), by });
                }
            }
            (TraceEvent::Join, false) => self.in_group[member.index()] = true,
            (TraceEvent::Leave, true) => self.in_group[member.index()] = false,
        }
        Ok(())
    }
}

impl<R: BufRead> Iterator for TraceReader<R> {
    type Item = Result<TraceRow, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let row = self.next_row().map_err(|mistake| {
            let whole = matches!(mistake, TraceMistake::Unreadable(_) | TraceMistake::TooLarge);
            // An empty file has no first line, but its mistake is there.
            let line = (!whole).then_some(self.line.max(1));
            TraceError { file: self.file.clone(), line, mistake }
        });
        self.ended = !matches!(row, Ok(Some(_)));
        row.transpose()
    }
}

fn text(line: &[u8]) -> Result<&str, TraceMistake> {
    std::str::from_utf8(line).map_err(|_| TraceMistake::NotUtf8)
}

/// A text from a file, safe for a terminal and not too long.
fn shown(text: &str) -> String {
    /// Enough characters to recognise the text.
    const MOST: usize = 80;
    let mut shown: String = text.chars().take(MOST).flat_map(char::escape_debug).collect();
    if text.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn read(rows: impl AsRef<[u8]>) -> Result<Vec<TraceRow>, TraceError> {
        let bytes = [format!("{HEADER}\n").as_bytes(), rows.as_ref()].concat();
        TraceReader::new(Path::new("t.csv"), Cursor::new(bytes)).collect()
    }

    #[track_caller]
    fn assert_told(rows: impl AsRef<[u8]>, told: &str) {
        assert_eq!(read(rows).unwrap_err().to_string(), told);
    }

    #[test]
    fn members_leave_and_come_back() {
        let rows = read("0,join,a,\n0,join,b,\r\n5,message,a,a\n7,leave,b,a\n9,join,b,x").unwrap();
        let (a, b, x) = (TraceName(0), TraceName(1), TraceName(2));
        let row = |line, time, event, member, by| TraceRow { line, time, event, member, by };
        assert_eq!(
            rows,
            [
                row(2, 0, TraceEvent::Join, a, None),
                row(3, 0, TraceEvent::Join, b, None),
                row(4, 5, TraceEvent::Message, a, Some(a)),
                row(5, 7, TraceEvent::Leave, b, Some(a)),
                row(6, 9, TraceEvent::Join, b, Some(x)),
            ]
        );
    }

    #[test]
    fn mistakes_have_their_line() {
        for (rows, told) in [
            ("0,join,a,\n0,join,a,", "t.csv:3: `a` joins, but is a member already; add its leave before this row"),
            ("0,leave,a,", "t.csv:2: `a` leaves, but is not a member; add its join before this row"),
            ("0,message,a,", "t.csv:2: `a` sends a message, but is not a member; add its join before this row"),
            ("5,join,a,\n4,join,b,", "t.csv:3: the time goes back from 5 to 4; sort the rows by time"),
            ("0,part,a,", "t.csv:2: unknown event `part`; the events are join, leave and message"),
            ("0,join,a", "t.csv:2: a row has the four columns `time,event,member,by`, found 3"),
            ("0,join,a,b,c", "t.csv:2: a row has the four columns `time,event,member,by`, found 5"),
            ("\n", "t.csv:2: a row has the four columns `time,event,member,by`, found 1"),
        ] {
            assert_told(rows, told);
        }
        assert_told(
            "0,join,a,\n1,message,a,b",
            "t.csv:3: a message of `a` has `b` in the column `by`; leave the \
             column empty, or name the sender",
        );
        assert_told(b"0,join,a,\n0,join,\xff,", "t.csv:3: the line is not UTF-8 text");
    }

    #[test]
    fn times_are_whole_seconds_within_their_limit() {
        for time in ["", "-1", "+1", "1.5", "3153600001", "99999999999999999999", "x"] {
            let error = read(format!("{time},join,a,")).unwrap_err();
            assert!(matches!(error.mistake, TraceMistake::Time { .. }), "{time}: {error}");
        }
        assert!(read("3153600000,join,a,").is_ok());
    }

    #[test]
    fn names_are_names_of_scenarios() {
        for name in ["", "a b", "\"a\"", "a\u{7}", &"x".repeat(129)] {
            let error = read(format!("0,join,{name},")).unwrap_err();
            assert!(matches!(error.mistake, TraceMistake::Name { column: "member", .. }), "{name}: {error}");
        }
        assert!(read(format!("0,join,{},", "é".repeat(128))).is_ok());
    }

    #[test]
    fn first_line_is_the_header() {
        for text in ["", "0,join,a,\n", "time,event,member\n"] {
            let error = TraceReader::new(Path::new("t.csv"), Cursor::new(text)).next().unwrap().unwrap_err();
            assert_eq!(error.line, Some(1));
            assert!(matches!(error.mistake, TraceMistake::NoHeader { .. }), "{error}");
        }
    }

    /// An input without end, of the same bytes again and again.
    fn endless(bytes: &'static [u8]) -> TraceReader<impl BufRead> {
        let header = Cursor::new(format!("{HEADER}\n0,join,a,\n"));
        TraceReader::new(Path::new("t.csv"), header.chain(BufReader::new(Endless(bytes, 0))))
    }

    struct Endless(&'static [u8], usize);

    impl std::io::Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            for byte in buffer.iter_mut() {
                *byte = self.0[self.1 % self.0.len()];
                self.1 += 1;
            }
            Ok(buffer.len())
        }
    }

    #[test]
    fn endless_line_is_not_read_to_its_end() {
        let error = endless(b"0").nth(1).unwrap().unwrap_err();
        assert!(matches!(error.mistake, TraceMistake::LineTooLong), "{error}");
        assert_eq!(error.line, Some(3));
    }

    #[test]
    fn rows_have_a_limit() {
        let error = endless(b"0,message,a,\n").find_map(Result::err).unwrap();
        assert!(matches!(error.mistake, TraceMistake::TooManyRows), "{error}");
        assert_eq!(error.line, Some(MAX_TRACE_ROWS + 2));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_give_rows_or_a_mistake(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(bytes);
        }

        /// The reader accepts exactly the rows that a set of members accepts.
        #[test]
        fn rows_are_accepted_as_a_set_of_members_accepts_them(
            rows in prop::collection::vec((0_u64..3, 0_usize..3, 0_u32..4), 0..20),
        ) {
            let mut members = std::collections::BTreeSet::new();
            let (mut time, mut text, mut good) = (0, String::new(), 0);
            let mut all_good = true;
            for (passed, event, member) in &rows {
                time += passed;
                text += &format!("{time},{},m{member},\n", TraceEvent::ALL[*event].0);
                all_good &= match event {
                    0 => members.insert(*member),
                    1 => members.remove(member),
                    _ => members.contains(member),
                };
                good += usize::from(all_good);
            }
            let read: Vec<_> = TraceReader::new(Path::new("t.csv"), Cursor::new(format!("{HEADER}\n{text}"))).collect();
            prop_assert_eq!(read.iter().filter(|row| row.is_ok()).count(), good);
            prop_assert_eq!(read.iter().any(Result::is_err), !all_good);
        }
    }
}
