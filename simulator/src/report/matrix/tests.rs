//! Small matrices in the format of each writer.

#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::scenario::{MemberName, MessageId};

fn step(number: usize, what: &str) -> MatrixStep {
    let number = number.to_string();
    let place = Place { number: number.as_str().into(), path: "".into(), line: 10, turn: None };
    MatrixStep { place, what: what.into(), group: None }
}

fn column(message: &str, sender: &str, epoch: u64, step: usize) -> Column {
    Column { message: MessageId::new(message), sender: MemberName::new(sender), epoch, step }
}

/// A row. In `cells`, `x` is an exposed message and `.` one that is not exposed. A space is a
/// message of an epoch in which the device was not a member.
fn row(member: &str, after_step: usize, epoch: Option<u64>, cells: &str, healed_after: Option<u64>) -> Row {
    let cells = cells.chars().map(|c| Cell { exposed: c == 'x', member: c != ' ' });
    Row { member: MemberName::new(member), after_step, epoch, cells: cells.collect(), healed_after }
}

/// A group of Alice and Bob, to which Carol comes later. Bob keeps a past epoch, and heals in the
/// last step.
fn matrix() -> Matrix {
    Matrix {
        scenario: "an example".into(),
        seed: 7,
        method: "by a test",
        steps: vec![
            step(1, "create alice"),
            step(2, "send m1"),
            step(3, "add carol"),
            step(4, "hold m10"),
            step(5, "send m10"),
            step(6, "update bob"),
        ],
        groups: vec![GroupMatrix {
            name: GroupName::default(),
            columns: vec![column("m1", "alice", 1, 1), column("m10", "alice", 2, 4)],
            rows: vec![
                row("bob", 0, Some(1), "xx", Some(2)),
                row("bob", 1, Some(1), "xx", Some(2)),
                row("bob", 2, Some(2), "xx", Some(1)),
                row("bob", 3, Some(2), "xx", Some(1)),
                row("bob", 4, Some(2), "x.", Some(1)),
                row("bob", 5, Some(3), "..", None),
                row("carol", 0, None, " x", None),
                row("carol", 1, None, " x", None),
                row("carol", 2, Some(2), " x", None),
                row("carol", 3, Some(2), " x", None),
                row("carol", 4, Some(2), " x", None),
                row("carol", 5, Some(3), " .", None),
            ],
        }],
    }
}

/// A matrix with names that contain markup, separators and control characters.
fn hostile() -> Matrix {
    let mut matrix = matrix();
    matrix.scenario = "a, \"b\" & <c>\u{1b}[31m".into();
    matrix.groups[0].columns[0].message = MessageId::new("</text><script>");
    matrix.groups[0].columns[1].sender = MemberName::new("a\"b,c");
    matrix.steps[1].what = "send <m1>&\u{1b}[2J".into();
    for row in &mut matrix.groups[0].rows[..6] {
        row.member = MemberName::new("<bob>&\u{7}");
    }
    matrix
}

fn written(write: impl Fn(&mut Vec<u8>) -> std::io::Result<()>) -> String {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn table_of(matrix: &Matrix) -> String {
    written(|out| table::write(out, matrix, false))
}

fn csv_of(matrix: &Matrix) -> String {
    written(|out| csv::write(out, matrix))
}

fn svg_of(matrix: &Matrix) -> String {
    written(|out| svg::write(out, matrix))
}

#[test]
fn exposure_is_counted_on_both_sides_of_the_theft() {
    let matrix = matrix();
    let group = &matrix.groups[0];
    let counts = |row: usize| (group.fs_window(&group.rows[row]), group.exposed_after(&group.rows[row]));
    assert_eq!([0, 1, 4, 5].map(counts), [(0, 2), (1, 1), (1, 0), (0, 0)]);
    assert_eq!(matrix.extent(), "2 members, 6 steps, 2 messages");
}

#[test]
fn table_has_a_line_for_each_different_snapshot() {
    let expected = "\
an example
seed 7, 2 members, 6 steps, 2 messages; exposed: readable by a test

#  exposed, sent before the snapshot      .  not exposed
+  exposed, sent after the snapshot   blank  not exposed; the device was not a member then

               sent in epoch  1 2
                                m
                              m 1
                       epoch  1 0    FS  after  healed
bob
    1  create alice        1  + +     0      2       2
    2  send m1             1  # +     1      1       2
  3-4  add carol …         2  # +     1      1       1
    5  send m10            2  # .     1      0       1
    6  update bob          3  . .     0      0      no
carol
  1-2  create alice …      -    +     0      1      no
  3-4  add carol …         2    +     0      1      no
    5  send m10            2    #     1      0      no
    6  update bob          3    .     0      0      no

FS      exposed messages that were sent before the snapshot (the FS window)
after   exposed messages that were sent after the snapshot
healed  epochs from the snapshot until the group healed, or no
";
    assert_eq!(table_of(&matrix()), expected);
}

#[test]
fn csv_has_a_line_for_each_snapshot_and_message() {
    let csv = csv_of(&matrix());
    let lines: Vec<_> = csv.lines().collect();
    assert_eq!(lines.len(), 1 + 12 * 2);
    assert_eq!(lines[0], csv::HEADER);
    assert_eq!(lines[5], "an example,7,bob,3,10,,2,m1,alice,2,,1,true,true,true,1,1,1");
    assert_eq!(lines[6], "an example,7,bob,3,10,,2,m10,alice,5,,2,false,true,true,1,1,1");
    assert_eq!(lines[13], "an example,7,carol,1,10,,,m1,alice,2,,1,false,false,false,0,1,");
    let columns = |line: &str| line.matches(',').count();
    assert!(lines.iter().all(|line| columns(line) == columns(csv::HEADER)));
}

#[test]
fn csv_quotes_special_texts_and_contains_turns() {
    let mut matrix = hostile();
    matrix.steps[4].place.turn = Some(3);
    let csv = csv_of(&matrix);
    let line = csv.lines().nth(10).unwrap();
    let start = "\"a, \"\"b\"\" & <c>\u{1b}[31m\",7,<bob>&\u{7},5,10,3,2,m10,\"a\"\"b,c\",5,3,2,true,";
    assert!(line.starts_with(start), "{line}");
}

/// The elements of a document with their depths, or the reason why the document is not well-formed.
/// The function knows only the XML that the writer uses: elements, attributes in double quotes, and
/// texts with the five entities.
fn elements(xml: &str) -> Result<Vec<(usize, String)>, String> {
    let mut open: Vec<String> = Vec::new();
    let mut found = Vec::new();
    let mut rest = xml;
    while let Some(at) = rest.find('<') {
        check_text(&rest[..at])?;
        let end = rest[at..].find('>').ok_or("a tag that does not end")? + at;
        let tag = &rest[at + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            let opened = open.pop();
            if opened.as_deref() != Some(name) {
                return Err(format!("</{name}> closes {opened:?}"));
            }
            continue;
        }
        let name = tag.split([' ', '/']).next().unwrap_or_default();
        let attributes = tag[name.len()..].trim_end_matches('/');
        let parts: Vec<_> = attributes.split('"').collect();
        if parts.len() % 2 == 0 || tag.contains('<') {
            return Err(format!("<{tag}>"));
        }
        for pair in parts.chunks_exact(2) {
            if !pair[0].starts_with(' ') || !pair[0].ends_with('=') {
                return Err(format!("an attribute in <{tag}>"));
            }
            check_text(pair[1])?;
        }
        found.push((open.len(), name.to_owned()));
        if !tag.ends_with('/') {
            open.push(name.to_owned());
        }
    }
    if rest.trim().is_empty() && open.is_empty() { Ok(found) } else { Err(format!("left: {open:?} {rest}")) }
}

fn check_text(text: &str) -> Result<(), String> {
    let entity = |text: &str| ["lt;", "gt;", "amp;", "quot;"].iter().any(|entity| text.starts_with(entity));
    let bare = text.split('&').skip(1).any(|after| !entity(after));
    let control = text.chars().any(|c| c.is_control() && c != '\n');
    if bare || control { Err(format!("not a text: {text:?}")) } else { Ok(()) }
}

/// The number of squares with this colour, without the one in the legend.
fn squares(svg: &str, fill: &str) -> usize {
    svg.matches(&format!(r#"fill="{fill}""#)).count() - 1
}

#[test]
fn the_picture_is_well_formed_and_has_every_cell() {
    let svg = svg_of(&matrix());
    let elements = elements(&svg).unwrap();
    assert_eq!(elements.first(), Some(&(0, "svg".to_owned())));
    assert!(elements.iter().skip(1).all(|(depth, _)| *depth > 0), "one root");
    let counts = [svg::EXPOSED_BEFORE, svg::EXPOSED_AFTER, svg::HIDDEN, svg::OUTSIDE].map(|fill| squares(&svg, fill));
    assert_eq!(counts, [5, 9, 4, 6]);
    assert_eq!(counts.iter().sum::<usize>(), 12 * 2);
}

#[test]
fn exposed_square_has_a_tooltip() {
    let svg = svg_of(&matrix());
    let told = "m10 of alice, epoch 2: exposed, sent after the snapshot\n\
                bob after step 4 (hold m10), in epoch 2. FS window: 1, exposed later: 1, healed after 1 epoch";
    assert!(svg.contains(&format!("<title>{told}</title>")), "{svg}");
    assert!(svg.contains("<title>carol after step 1 (create alice), not in the group. FS window: 0, "), "{svg}");
}

#[test]
fn names_cannot_add_markup_to_the_picture() {
    let svg = svg_of(&hostile());
    assert_eq!(elements(&svg).unwrap().len(), elements(&svg_of(&matrix())).unwrap().len());
    assert!(!svg.contains("<script"), "{svg}");
    assert!(svg.contains("&lt;bob&gt;&amp;"), "{svg}");
}

#[test]
fn names_cannot_control_the_terminal() {
    let table = table_of(&hostile());
    assert!(!table.contains(|c: char| c.is_control() && c != '\n'), "{table:?}");
}

#[test]
fn colours_change_nothing_else() {
    let coloured = written(|out| table::write(out, &matrix(), true));
    assert!(coloured.contains("\u{1b}[31m#\u{1b}[0m"));
    let mut plain = coloured;
    for code in ["\u{1b}[31m", "\u{1b}[36m", "\u{1b}[2m", "\u{1b}[0m"] {
        plain = plain.replace(code, "");
    }
    assert_eq!(plain, table_of(&matrix()));
}

/// A matrix with these numbers of members, steps and messages. The first steps send one message
/// each.
fn large(members: usize, steps: usize, messages: usize) -> Matrix {
    let names: Vec<_> = (0..members).map(|number| format!("member{number}")).collect();
    Matrix {
        steps: (0..steps).map(|number| step(number + 1, "a step")).collect(),
        groups: vec![GroupMatrix {
            name: GroupName::default(),
            columns: (0..messages)
                .map(|number| column(&format!("m{number}"), "a", number as u64 / 3, number))
                .collect(),
            rows: names
                .iter()
                .flat_map(|name| (0..steps).map(|number| row(name, number, Some(0), &"x".repeat(messages), None)))
                .collect(),
        }],
        ..matrix()
    }
}

#[test]
fn large_and_empty_matrices_fit_a_page() {
    let size = |matrix: &Matrix| {
        let svg = svg_of(matrix);
        elements(&svg).unwrap();
        let number = |name: &str| {
            let (_, rest) = svg.split_once(&format!(r#" {name}=""#)).unwrap();
            rest.split('"').next().unwrap().parse::<u32>().unwrap()
        };
        (number("width"), number("height"))
    };
    let (width, height) = size(&large(10, 60, 40));
    assert!((1000..=1500).contains(&width) && (700..=1150).contains(&height), "{width} x {height}");
    let (width, height) = size(&large(0, 0, 0));
    assert!(width < 700 && height < 300, "{width} x {height}");
    assert!(table_of(&large(0, 0, 0)).contains("0 members, 0 steps, 0 messages"));
    assert_eq!(csv_of(&large(2, 2, 0)).lines().count(), 1);
}

/// Counts the cells of each colour that the paths of small cells draw.
fn small_cells(svg: &str, fill: &str, side: usize, gap: usize) -> usize {
    let ending = format!(r#"" fill="{fill}"/>"#);
    let paths = svg.lines().filter_map(|line| line.strip_prefix("<path d=\"")?.strip_suffix(&ending));
    let runs = paths.flat_map(|path| path.split('M').filter_map(|run| run.split_once('h')?.1.split_once('v')));
    runs.filter(|(_, rest)| rest.starts_with(&format!("{side}H")))
        .map(|(width, _)| (width.parse::<usize>().unwrap() + gap) / (side + gap))
        .sum()
}

#[test]
fn picture_of_small_cells_has_every_cell_and_few_bytes() {
    for (members, side, gap) in [(12, 7, 1), (100, 4, 0)] {
        let mut matrix = large(members, 46, 18);
        for (number, row) in matrix.groups[0].rows.iter_mut().enumerate() {
            row.cells = self::row("", 0, None, ["xxxxxxxxx.........", "...xxxx    ..x...."][number % 2], None).cells;
        }
        let svg = svg_of(&matrix);
        elements(&svg).unwrap();
        let cells = members * 46 * 18;
        let counts =
            [svg::EXPOSED_BEFORE, svg::EXPOSED_AFTER, svg::HIDDEN].map(|fill| small_cells(&svg, fill, side, gap));
        assert_eq!(counts[0] + counts[1], members * 23 * (9 + 5));
        assert_eq!(counts.iter().sum::<usize>(), cells - members * 23 * 4, "all but the cells outside");
        assert!(svg.len() < 25 * cells, "{} bytes for {cells} cells", svg.len());
        let told = "member1 after step 2 (a step), in epoch 0. FS window: 0, exposed later: 5, not healed; \
                    exposed: m3 to m6, m13</title>";
        assert!(svg.contains(told), "{svg}");
        // A line between the columns keeps the squares of a run apart.
        assert_eq!(svg.matches(r#"pointer-events="none""#).count(), if gap > 0 { members } else { 0 });
    }
}

#[test]
fn table_cuts_long_names_and_omits_epochs_without_room() {
    let mut matrix = large(1, 3, 3);
    matrix.groups[0].columns[0].message = MessageId::new("a_message_with_a_long_name");
    for (number, column) in matrix.groups[0].columns.iter_mut().enumerate() {
        column.epoch = 100 + number as u64;
    }
    let table = table_of(&matrix);
    assert!(table.contains(" sent in epoch  100 102\n"), "{table}");
    // The first column from top to bottom, up to the line with the titles of the others.
    let head = table.lines().skip_while(|line| !line.contains("sent in epoch")).skip(1);
    let id: String = head.take(11).filter_map(|line| line.trim_start().chars().next()).collect();
    assert_eq!(id, "…a_long_nam");
}

/// The group of the example, and a second one with only Bob and one message.
fn two_groups() -> Matrix {
    let mut matrix = matrix();
    matrix.groups[0].name = GroupName::new("team");
    matrix.steps[4].group = Some(GroupName::new("team"));
    matrix.groups.push(GroupMatrix {
        name: GroupName::new("fa,mily"),
        columns: vec![column("f1", "bob", 7, 2)],
        rows: (0..6).map(|number| row("bob", number, Some(7), if number < 2 { "x" } else { "." }, Some(1))).collect(),
    });
    matrix
}

#[test]
fn table_has_a_part_for_each_group() {
    let table = table_of(&two_groups());
    assert!(table.contains("seed 7, 2 groups, 2 members, 6 steps, 3 messages; exposed"), "{table}");
    assert!(table.contains("    5  send m10 (team)      2  # .     1      0       1\n"), "{table}");
    let (_, family) = table.split_once("group fa,mily: 1 member, 1 message\n").unwrap();
    let expected = "
                sent in epoch  7
                               f
                        epoch  1    FS  after  healed
bob
  1-2  create alice …       7  +     0      1       1
  3-6  add carol …          7  .     0      0       1

FS ";
    assert!(family.starts_with(expected), "{family}");
}

#[test]
fn csv_of_several_groups_ends_with_the_group() {
    let csv = csv_of(&two_groups());
    let lines: Vec<_> = csv.lines().collect();
    assert_eq!(lines[0], format!("{},group", csv::HEADER));
    assert_eq!(lines.len(), 1 + 12 * 2 + 6);
    assert_eq!(lines[5], "an example,7,bob,3,10,,2,m1,alice,2,,1,true,true,true,1,1,1,team");
    assert_eq!(lines[25], "an example,7,bob,1,10,,7,f1,bob,3,,7,false,true,true,0,1,1,\"fa,mily\"");
}

#[test]
fn picture_has_panels_for_each_group() {
    let svg = svg_of(&two_groups());
    elements(&svg).unwrap();
    for (name, panels) in [("bob in team", 1), ("carol in team", 1), ("bob in fa,mily", 1), ("carol in fa,mily", 0)] {
        assert_eq!(svg.matches(&format!(">{name}</text>")).count(), panels, "{name}");
    }
    assert!(svg.contains("bob in fa,mily after step 5 (send m10 (team)), in epoch 7."), "{svg}");
    // The second group begins a new line of panels, at the left margin.
    let place = |name: &str| {
        let (before, _) = svg.split_once(&format!(">{name}</text>")).unwrap();
        let (_, place) = before.rsplit_once("<g transform=\"translate(").unwrap();
        let (x, rest) = place.split_once(' ').unwrap();
        (x.parse::<u32>().unwrap(), rest.split(')').next().unwrap().parse::<u32>().unwrap())
    };
    let [bob, carol, family] = ["bob in team", "carol in team", "bob in fa,mily"].map(place);
    assert_eq!((bob.0, bob.1), (family.0, carol.1));
    assert!(carol.0 > bob.0 && family.1 > bob.1);
}
