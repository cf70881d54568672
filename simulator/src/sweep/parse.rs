//! Reads a sweep file. Every problem is noted with its place, as in scenario files.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{
    format::{Axis, AxisValue, FORMAT, MAX_AXES, MAX_RUNS, MAX_THEFTS, MAX_VALUES, Sweep},
    parse_plot,
    path::FieldPath,
    range::{self, RangeScale},
};
use crate::scenario::{
    self, FileProblem, PlainText, Syntax, Unusable,
    fields::{At, Fields, FileReader, shown, unknown},
    json::SourceText,
};

const TOP: &[&str] = &["regrow_sweep", "name", "about", "base", "axes", "seeds", "from_epoch", "thefts", "plots"];
const AXIS: &[&str] = &["name", "path", "paths", "values", "range", "choices"];
const RANGE: &[&str] = &["from", "to", "points", "scale"];
const CHOICE: &[&str] = &["label", "set"];
const SCALES: &[&str] = &["linear", "log"];

/// The largest number in a range. Every whole number up to it has an exact floating-point value.
const MAX_NUMBER: u64 = 1 << 53;

/// Reads and checks a sweep file, and the scenario file that it names.
///
/// # Errors
///
/// All problems of the sweep file, or else all problems of the scenario file.
pub fn load(path: &Path) -> Result<Sweep, Unusable> {
    let unusable = |problems| Unusable { file: path.to_owned(), problems };
    let text = scenario::text(path).map_err(|problem| unusable(vec![problem]))?;
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let (mut sweep, base) = read_in(&text, folder).map_err(unusable)?;
    if let Some(base) = base {
        let file = folder.join(base);
        let unusable = |problems| Unusable { file: file.clone(), problems };
        scenario::load(&file)?;
        let text = scenario::text(&file).map_err(|problem| unusable(vec![problem]))?;
        let plain = PlainText::of(&text, Syntax::of(&file)).map_err(|problem| unusable(vec![problem]))?;
        sweep.base = serde_json::from_str(plain.json()).unwrap_or_default();
        sweep.folder = file.parent().unwrap_or_else(|| Path::new("")).to_owned();
    }
    Ok(sweep)
}

/// Reads a sweep from the text of a file, with the path of its base if the base is another file. A
/// trace of the base is in the folder.
fn read_in(text: &str, folder: &Path) -> Result<(Sweep, Option<PathBuf>), Vec<FileProblem>> {
    let (source, json) = SourceText::open(text).map_err(|problem| vec![problem])?;
    let mut reader = FileReader::new(source);
    let root = At { json, path: String::new() };
    let read = sweep(&mut reader, &root, text, folder);
    match read {
        Some(read) if reader.problems.is_empty() => Ok(read),
        _ => {
            reader.problems.sort_by_key(|problem| problem.position);
            Err(reader.problems)
        }
    }
}

/// Reads as much of the sweep as possible. `None` if its format is unknown.
fn sweep<'a>(
    reader: &mut FileReader<'a>,
    root: &At<'a>,
    text: &str,
    folder: &Path,
) -> Option<(Sweep, Option<PathBuf>)> {
    let top = reader.any_object(root.clone())?;
    let format = top.required(reader, "regrow_sweep")?;
    let number = format.json.number();
    if number != Some(FORMAT) {
        let found = number.map_or_else(|| format.json.kind().to_owned(), |number| number.to_string());
        reader.note(&format, format!("this version of regrow reads sweeps of format {FORMAT}, found {found}"));
        return None;
    }
    reader.refuse_others(&top, TOP);
    let name = top.required(reader, "name").and_then(|at| reader.line(&at));
    let about = top.get("about").and_then(|at| reader.line(&at));
    let base = top.required(reader, "base").and_then(|at| base(reader, root, &at, folder));
    let axes = top.required(reader, "axes").and_then(|at| axes(reader, &at));
    let seeds = top.required(reader, "seeds").and_then(|at| seeds(reader, &at)).unwrap_or_default();
    let from_epoch = top.get("from_epoch").and_then(|at| reader.number(&at, 0, MAX_NUMBER)).unwrap_or_default();
    let thefts = top.get("thefts").and_then(|at| {
        let count = reader.object(at, &["count"])?.required(reader, "count")?;
        reader.small_number(&count, 1, MAX_THEFTS)
    });
    let plots = match (&axes, top.get("plots")) {
        (Some(axes), Some(at)) => parse_plot::plots(reader, &at, axes, thefts.is_some()),
        _ => Vec::new(),
    };
    let axes = axes.unwrap_or_default();
    let runs = axes.iter().map(|axis| axis.values.len()).try_fold(seeds.len(), usize::checked_mul);
    if runs.is_none_or(|runs| runs > MAX_RUNS) {
        let found = runs.map_or_else(|| "more".to_owned(), |runs| runs.to_string());
        reader.note(root, format!("a sweep has at most {MAX_RUNS} runs, found {found}: the points times the seeds"));
    }
    let (base, file) = base.unwrap_or_default();
    let name = name.unwrap_or_default();
    let (folder, text) = (folder.to_owned(), text.to_owned());
    Some((Sweep { name, about, base, folder, axes, seeds, from_epoch, thefts, plots, text }, file))
}

fn base<'a>(
    reader: &mut FileReader<'a>,
    root: &At<'a>,
    at: &At<'a>,
    folder: &Path,
) -> Option<(Value, Option<PathBuf>)> {
    if at.json.text().is_some() {
        return reader.line(at).map(|file| (Value::Null, Some(file.into())));
    }
    if at.json.kind() != "an object" {
        let found = at.json.kind();
        reader.note(at, format!("expected the path of a scenario file or a scenario, found {found}"));
        return None;
    }
    scenario::read_inside(reader, root, at, &|file| scenario::history(folder, file));
    at.json.value().map(|base| (base, None))
}

fn axes<'a>(reader: &mut FileReader<'a>, at: &At<'a>) -> Option<Vec<Axis>> {
    let elements = list(reader, at, "axes", MAX_AXES)?;
    let before = reader.problems.len();
    let mut axes: Vec<Axis> = Vec::with_capacity(elements.len());
    for element in elements {
        let Some(axis) = axis(reader, &element) else { continue };
        if axes.iter().any(|other| other.name == axis.name) {
            reader.note(&element, format!("two axes have the name `{}`; give one of them another name", axis.name));
        }
        if let Some((path, other)) = overlap(&axes, &axis) {
            reader.note(&element, format!("this axis and the axis `{other}` both set `{path}`"));
        }
        axes.push(axis);
    }
    (reader.problems.len() == before).then_some(axes)
}

/// A field that this axis and one of the others set.
fn overlap(axes: &[Axis], axis: &Axis) -> Option<(FieldPath, String)> {
    let paths = |axis: &Axis| -> Vec<FieldPath> {
        axis.values.iter().flat_map(|value| &value.set).map(|(path, _)| path.clone()).collect()
    };
    let own = paths(axis);
    axes.iter().find_map(|other| {
        let theirs = paths(other);
        let path = own.iter().find(|path| theirs.iter().any(|their| path.overlaps(their)))?;
        Some((path.clone(), other.name.clone()))
    })
}

fn axis<'a>(reader: &mut FileReader<'a>, at: &At<'a>) -> Option<Axis> {
    let before = reader.problems.len();
    let fields = reader.object(at.clone(), AXIS)?;
    let name = fields.get("name").map(|at| reader.line(&at));
    let (kind, source) = one_of(reader, &fields, &["values", "range", "choices"])?;
    let paths = match kind {
        "choices" => {
            for (_, key, _) in fields.iter().filter(|(name, ..)| *name == "path" || *name == "paths") {
                reader.note(&key, "an axis with `choices` has its paths in each `set`");
            }
            Vec::new()
        }
        _ => paths(reader, &fields)?,
    };
    let values = match kind {
        "choices" => choices(reader, &source)?,
        "values" => values(reader, &source, &paths)?,
        _ => range(reader, &source, &paths)?,
    };
    let name = match name {
        Some(name) => name?,
        None => match paths.first() {
            Some(path) => path.to_string(),
            None => {
                fields.required(reader, "name");
                return None;
            }
        },
    };
    (reader.problems.len() == before).then_some(Axis { name, values })
}

/// The only one of these fields. Notes if there is none, and each one after the first.
fn one_of<'a>(
    reader: &mut FileReader<'a>,
    fields: &Fields<'a>,
    names: &[&'static str],
) -> Option<(&'static str, At<'a>)> {
    let mut present = names.iter().filter_map(|name| Some((*name, fields.get(name)?)));
    let Some(first) = present.next() else {
        reader.note(fields.at(), format!("expected one of the fields {}", names.join(", ")));
        return None;
    };
    for (name, at) in present {
        reader.note(&at, format!("`{name}` and `{}` exclude each other", first.0));
    }
    Some(first)
}

fn paths<'a>(reader: &mut FileReader<'a>, fields: &Fields<'a>) -> Option<Vec<FieldPath>> {
    let (kind, at) = one_of(reader, fields, &["path", "paths"])?;
    let elements = if kind == "path" { vec![at] } else { list(reader, &at, "paths", MAX_AXES)? };
    let mut paths: Vec<FieldPath> = Vec::with_capacity(elements.len());
    for element in &elements {
        let text = reader.text(element)?;
        let path = path(reader, element, &text)?;
        if paths.iter().any(|other| other.overlaps(&path)) {
            reader.note(element, format!("`{path}` occurs twice in one list"));
        }
        paths.push(path);
    }
    Some(paths)
}

fn path<'a>(reader: &mut FileReader<'a>, at: &At<'a>, text: &str) -> Option<FieldPath> {
    FieldPath::parse(text).map_err(|error| reader.note(at, error.to_string())).ok()
}

fn values<'a>(reader: &mut FileReader<'a>, at: &At<'a>, paths: &[FieldPath]) -> Option<Vec<AxisValue>> {
    let mut values = Vec::new();
    for element in list(reader, at, "values", MAX_VALUES)? {
        let kind = element.json.kind();
        let (label, value) = match element.json.value() {
            Some(Value::String(text)) => (reader.line(&element)?, Value::String(text)),
            Some(Value::Bool(truth)) => (truth.to_string(), Value::Bool(truth)),
            Some(Value::Number(number)) if number.is_u64() => (number.to_string(), Value::Number(number)),
            _ if kind == "a number" => {
                reader.note(&element, "expected a whole number, without fraction or exponent");
                continue;
            }
            _ => {
                let told = format!("expected a number, a text, true or false, found {kind}; `choices` can set others");
                reader.note(&element, told);
                continue;
            }
        };
        push_value(reader, &element, &mut values, label, set_all(paths, &value));
    }
    Some(values)
}

fn set_all(paths: &[FieldPath], value: &Value) -> Vec<(FieldPath, Value)> {
    paths.iter().map(|path| (path.clone(), value.clone())).collect()
}

/// Appends a value, unless its label occurs already.
fn push_value<'a>(
    reader: &mut FileReader<'a>,
    at: &At<'a>,
    values: &mut Vec<AxisValue>,
    label: String,
    set: Vec<(FieldPath, Value)>,
) {
    if values.iter().any(|value| value.label == label) {
        reader.note(at, format!("`{}` occurs twice in one axis", shown(&label)));
    } else {
        values.push(AxisValue { label, set });
    }
}

fn range<'a>(reader: &mut FileReader<'a>, at: &At<'a>, paths: &[FieldPath]) -> Option<Vec<AxisValue>> {
    let fields = reader.object(at.clone(), RANGE)?;
    let mut limit = |name, least, most| fields.required(reader, name).and_then(|at| reader.number(&at, least, most));
    let (from, to) = (limit("from", 0, MAX_NUMBER), limit("to", 0, MAX_NUMBER));
    let points = limit("points", 2, MAX_VALUES as u64);
    let scale = match fields.get("scale") {
        None => RangeScale::Linear,
        Some(at) => match reader.text(&at)?.as_str() {
            "linear" => RangeScale::Linear,
            "log" => RangeScale::Log,
            other => {
                let told = unknown("scale", other, SCALES);
                reader.note(&at, told);
                return None;
            }
        },
    };
    let (from, to, points) = (from?, to?, points?);
    if from >= to {
        reader.note(at, format!("expected `from` below `to`, found {from} and {to}"));
        return None;
    }
    if from == 0 && scale == RangeScale::Log {
        reader.note(at, "a range on a log scale begins at 1 or above, found 0");
        return None;
    }
    if points > to - from + 1 {
        let most = to - from + 1;
        reader.note(at, format!("there are only {most} whole numbers from {from} to {to}, and `points` is {points}"));
        return None;
    }
    let numbers = range::values(from, to, points, scale);
    let distinct: BTreeSet<u64> = numbers.iter().copied().collect();
    if distinct.len() < numbers.len() {
        let told =
            format!("{points} points on this scale round to {} different numbers; use fewer points", distinct.len());
        reader.note(at, told);
        return None;
    }
    let value = |number: u64| AxisValue { label: number.to_string(), set: set_all(paths, &Value::from(number)) };
    Some(numbers.into_iter().map(value).collect())
}

fn choices<'a>(reader: &mut FileReader<'a>, at: &At<'a>) -> Option<Vec<AxisValue>> {
    let mut values = Vec::new();
    for element in list(reader, at, "choices", MAX_VALUES)? {
        let Some(fields) = reader.object(element.clone(), CHOICE) else { continue };
        let label = fields.required(reader, "label").and_then(|at| reader.line(&at));
        let set = fields.required(reader, "set").and_then(|at| set(reader, at));
        if let (Some(label), Some(set)) = (label, set) {
            push_value(reader, &element, &mut values, label, set);
        }
    }
    Some(values)
}

/// Reads the fields that a choice sets: paths, each with a value.
fn set<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Vec<(FieldPath, Value)>> {
    let fields = reader.any_object(at)?;
    let mut set: Vec<(FieldPath, Value)> = Vec::new();
    for (name, key, value) in fields.iter() {
        let Some(path) = path(reader, &key, name) else { continue };
        if let Some((other, _)) = set.iter().find(|(other, _)| other.overlaps(&path)) {
            reader.note(&key, format!("`{path}` and `{other}` set the same field"));
        }
        match value.json.value() {
            Some(value) => set.push((path, value)),
            None => reader.note(&value, "this value has too many levels or too large a number"),
        }
    }
    Some(set)
}

fn seeds<'a>(reader: &mut FileReader<'a>, at: &At<'a>) -> Option<Vec<u64>> {
    if at.json.kind() == "a number" {
        return reader.number(at, 1, MAX_RUNS as u64).map(|count| (1..=count).collect());
    }
    let mut seeds = Vec::new();
    for element in list(reader, at, "seeds", MAX_RUNS)? {
        let seed = reader.number(&element, 0, u64::MAX)?;
        if seeds.contains(&seed) {
            reader.note(&element, format!("the seed {seed} occurs twice"));
        }
        seeds.push(seed);
    }
    Some(seeds)
}

/// Reads a list that has at least one element, and not too many.
pub(super) fn list<'a>(reader: &mut FileReader<'a>, at: &At<'a>, what: &str, most: usize) -> Option<Vec<At<'a>>> {
    match at.elements() {
        Some(elements) if elements.is_empty() => reader.note(at, format!("`{what}` has at least one element")),
        Some(elements) if elements.len() > most => {
            let found = elements.len();
            reader.note(at, format!("`{what}` has at most {most} elements, found {found}"));
        }
        Some(elements) => return Some(elements),
        None => {
            let found = at.json.kind();
            reader.note(at, format!("expected a list, found {found}"));
        }
    }
    None
}
