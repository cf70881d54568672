//! The page of a sweep: its plots, a table for each figure, and its manifest.

use std::{
    collections::BTreeSet,
    io::{self, Write},
};

use maud::{Markup, PreEscaped, html};
use serde_json::Value;

use super::{Cell, Page, Section, SortableTable};
use crate::sweep::{FinishedSweep, SummaryRow};

/// The fields of a manifest that the page shows, with their titles.
const SHOWN: [(&str, &str); 9] = [
    ("/started", "started"),
    ("/finished", "finished"),
    ("/runs", "runs"),
    ("/failed", "failed runs"),
    ("/points", "points"),
    ("/program/version", "version of regrow"),
    ("/program/sha256", "SHA-256 of the program"),
    ("/sweep_file", "sweep file"),
    ("/sweep_sha256", "SHA-256 of the sweep file"),
];

/// Writes the page of a finished sweep.
///
/// # Errors
///
/// Errors of the writer.
pub fn write_sweep(out: &mut dyn Write, sweep: &FinishedSweep) -> io::Result<()> {
    let about = sweep.manifest.pointer("/sweep/about").and_then(Value::as_str);
    let lead = html! { @if let Some(about) = about { p { bdi { (about) } } } };
    let title = sweep.manifest["name"].as_str().unwrap_or("a sweep");
    let mut page = Page::new(title, lead);
    if !sweep.plots.is_empty() {
        page.add(Section::open("plots", "Plots", plots(sweep)));
    }
    for (number, figure) in shown_figures(sweep).into_iter().enumerate() {
        page.add(Section::closed(format!("figure{number}"), figure, table(sweep, figure)));
    }
    page.add(Section::closed("manifest", "Manifest", manifest(&sweep.manifest)));
    page.write(out)
}

/// The plots. The program wrote them, and the page's policy stops a script in a changed one.
fn plots(sweep: &FinishedSweep) -> Markup {
    html! {
        div.plots {
            @for (name, svg) in &sweep.plots {
                figure { (PreEscaped(svg)) figcaption { (name) } }
            }
        }
    }
}

/// The figures that are not 0 at every point, in the order of the summary.
fn shown_figures(sweep: &FinishedSweep) -> Vec<&str> {
    let mut seen = BTreeSet::new();
    let is_zero = |figure: &str| {
        let rows = sweep.summary.iter().filter(|row| row.figure == figure);
        rows.into_iter().all(|row| row.numbers[1].is_none_or(|mean| mean == 0.0))
    };
    let figures = sweep.summary.iter().map(|row| row.figure.as_str()).filter(|figure| seen.insert(*figure));
    figures.filter(|figure| !is_zero(figure)).collect()
}

fn table(sweep: &FinishedSweep, figure: &str) -> Markup {
    let mut table = SortableTable::new(format!("{figure}: means over the seeds, with 95 % confidence intervals"));
    for (number, axis) in sweep.axes.iter().enumerate() {
        let is_number = sweep.summary.iter().all(|row| number_of(&row.labels[number]).is_some());
        if is_number {
            table.number_column(axis)
        } else {
            table.text_column(axis)
        };
    }
    for column in ["n", "mean", "median", "95th percentile", "interval from", "interval to"] {
        table.number_column(column);
    }
    for row in sweep.summary.iter().filter(|row| row.figure == figure) {
        table.row(cells(row));
    }
    table.markup()
}

fn cells(row: &SummaryRow) -> Vec<Cell> {
    let label = |label: &String| match number_of(label) {
        Some(number) => Cell::number(number),
        None => Cell::text(label),
    };
    let number = |number: &Option<f64>| match number {
        // The bits of two numbers that are not negative have the order of the numbers.
        Some(number) => Cell::text(&rounded(*number)).sorted_by(number.max(0.0).to_bits()),
        None => Cell::text(""),
    };
    row.labels.iter().map(label).chain(row.numbers.iter().map(number)).collect()
}

fn number_of(label: &str) -> Option<u64> {
    label.parse().ok()
}

/// A number with at most two decimal places.
fn rounded(number: f64) -> String {
    let text = format!("{number:.2}");
    text.strip_suffix(".00").map_or(text.clone(), str::to_owned)
}

fn manifest(manifest: &Value) -> Markup {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let words = |pointer: &str| -> Vec<String> {
        let list = manifest.pointer(pointer).and_then(Value::as_array);
        list.map(|list| list.iter().map(text).collect()).unwrap_or_default()
    };
    let machine = manifest.get("machine").map(|machine| {
        format!("{} cores, {}, {}", text(&machine["cores"]), text(&machine["os"]), text(&machine["arch"]))
    });
    let shown = SHOWN.iter().filter_map(|(pointer, title)| Some((*title, text(manifest.pointer(pointer)?))));
    let more = [
        ("machine", machine.unwrap_or_default()),
        ("command", words("/command").join(" ")),
        ("seeds", words("/seeds").join(", ")),
    ];
    html! {
        table {
            tbody { @for (title, value) in shown.chain(more) { tr { th scope="row" { (title) } td { bdi { (value) } } } } }
        }
    }
}
