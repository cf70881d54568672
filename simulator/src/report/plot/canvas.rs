//! The elements of a plot as SVG: lines, markers, areas and texts.

use std::fmt::Write as _;

use super::style::{FONT, INK, Marker, Style, WIDTH};
use crate::report::xml;

/// A position in the picture, in points from its upper left corner.
pub(super) type Spot = (f64, f64);

/// A picture that grows by elements.
#[derive(Debug, Default)]
pub(super) struct Canvas(String);

/// The end of a text that is at its position.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A coordinate with one decimal place, which is a thirtieth of a millimetre.
fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

fn points(spots: &[Spot]) -> String {
    let mut text = String::new();
    let mut last = String::new();
    for (x, y) in spots {
        let spot = format!("{},{}", number(*x), number(*y));
        // Many steps of a large sample fall on one position.
        if spot != last {
            let space = if text.is_empty() { "" } else { " " };
            // Writing to a String cannot fail.
            let _ = write!(text, "{space}{spot}");
            last = spot;
        }
    }
    text
}

impl Canvas {
    fn element(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{element}");
    }

    pub(super) fn text(&mut self, (x, y): Spot, anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let (x, y, text) = (number(x), number(y), xml::escaped(text));
        self.element(format_args!(r#"<text x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>"#));
    }

    /// A text that runs upwards, with its middle at this position.
    pub(super) fn vertical_text(&mut self, (x, y): Spot, text: &str) {
        let (x, y, text) = (number(x), number(y), xml::escaped(text));
        let turn = format!("translate({x} {y}) rotate(-90)");
        self.element(format_args!(r#"<text transform="{turn}" text-anchor="middle">{text}</text>"#));
    }

    /// A thin line of this colour.
    pub(super) fn rule(&mut self, from: Spot, to: Spot, colour: &str, width: f64) {
        let [x1, y1, x2, y2] = [from.0, from.1, to.0, to.1].map(number);
        self.element(format_args!(
            r#"<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}" stroke-width="{width}"/>"#
        ));
    }

    /// The line of a series.
    pub(super) fn line(&mut self, spots: &[Spot], style: Style) {
        let Style { colour, dashes, .. } = style;
        let dashes = if dashes.is_empty() { String::new() } else { format!(r#" stroke-dasharray="{dashes}""#) };
        let points = points(spots);
        self.element(format_args!(
            r#"<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.2" stroke-linejoin="round"{dashes}/>"#
        ));
    }

    /// A transparent area.
    pub(super) fn area(&mut self, spots: &[Spot], colour: &str) {
        let points = points(spots);
        self.element(format_args!(r#"<polygon points="{points}" fill="{colour}" fill-opacity=".2"/>"#));
    }

    /// A filled rectangle with a white edge, which separates it from its neighbours.
    pub(super) fn bar(&mut self, (x, y): Spot, width: f64, height: f64, colour: &str) {
        let [x, y, width, height] = [x, y, width, height].map(number);
        self.element(format_args!(
            r##"<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="{colour}" stroke="#ffffff" stroke-width=".4"/>"##
        ));
    }

    pub(super) fn marker(&mut self, (x, y): Spot, style: Style) {
        let Style { colour, marker, .. } = style;
        let look = format!(r##"fill="{colour}" stroke="#ffffff" stroke-width=".5""##);
        let shape: &[Spot] = match marker {
            Marker::Circle => {
                let (x, y) = (number(x), number(y));
                return self.element(format_args!(r#"<circle cx="{x}" cy="{y}" r="2.5" {look}/>"#));
            }
            Marker::Square => &[(-2.2, -2.2), (2.2, -2.2), (2.2, 2.2), (-2.2, 2.2)],
            Marker::Triangle => &[(0.0, -3.0), (2.8, 2.0), (-2.8, 2.0)],
            Marker::Diamond => &[(0.0, -3.2), (3.2, 0.0), (0.0, 3.2), (-3.2, 0.0)],
            Marker::Inverted => &[(0.0, 3.0), (2.8, -2.0), (-2.8, -2.0)],
        };
        let corners: Vec<Spot> = shape.iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
        let points = points(&corners);
        self.element(format_args!(r#"<polygon points="{points}" {look}/>"#));
    }

    /// The picture as the text of a file.
    pub(super) fn finish(self, title: &str, height: f64) -> String {
        let (width, height, title) = (number(WIDTH), number(height), xml::escaped(title));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}pt\" height=\"{height}pt\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"Helvetica, Arial, Liberation Sans, sans-serif\" font-size=\"{FONT}\" fill=\"{INK}\">\n<title>{title}</title>\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n{}</svg>\n",
            self.0
        )
    }
}
