//! The frame of a plot: legend, axes, ticks and labels around a panel with the data, or around
//! several panels one above the other.

use super::{
    canvas::{Anchor, Canvas, Spot},
    scale::{Scale, label},
    style::{FONT, GRID, INK, MARGIN, PANEL, Style, WIDTH, width},
};

/// The length of the sample of a line in a legend.
const SAMPLE: f64 = 20.0;

/// The distance between two entries of a legend.
const GAP: f64 = 9.0;

/// The height of a line of text.
const LINE: f64 = FONT + 3.0;

/// The distance between two panels: the ticks of the upper panel, and some space.
const BETWEEN: f64 = FONT + 10.0;

/// The vertical axis of a panel.
#[derive(Clone, Debug)]
pub(super) struct Vertical {
    pub(super) scale: Scale,
    pub(super) label: String,
}

/// The horizontal axis of a plot.
#[derive(Clone, Debug)]
pub(super) enum Horizontal {
    /// Numbers.
    Numbers(Scale),
    /// Labels with equal distances.
    Labels(Vec<String>),
}

/// One entry of a legend.
#[derive(Clone, Debug)]
pub(super) struct LegendEntry {
    pub(super) text: String,
    pub(super) sample: Sample,
}

/// The picture beside the text of an entry.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sample {
    /// A line with a marker.
    Line(Style),
    /// A line without a marker.
    Plain(Style),
    /// A marker.
    Marker(Style),
    /// A filled square.
    Fill(&'static str),
}

/// A frame around panels, with the positions of values in the selected panel.
pub(super) struct Frame {
    pub(super) canvas: Canvas,
    horizontal: Horizontal,
    panels: Vec<Vertical>,
    selected: usize,
    left: f64,
    /// The upper end of the first panel.
    top: f64,
}

impl Frame {
    /// Draws a frame with one panel.
    pub(super) fn draw(
        horizontal: Horizontal,
        vertical: Scale,
        (x_label, y_label): (&str, &str),
        legend: &[LegendEntry],
    ) -> Self {
        let panel = Vertical { scale: vertical, label: y_label.to_owned() };
        Self::with_panels(horizontal, vec![panel], x_label, legend)
    }

    /// Draws a frame with these panels, and selects the first one.
    pub(super) fn with_panels(
        horizontal: Horizontal,
        panels: Vec<Vertical>,
        x_label: &str,
        legend: &[LegendEntry],
    ) -> Self {
        let mut canvas = Canvas::default();
        let top = draw_legend(&mut canvas, legend);
        let ticks = panels.iter().flat_map(|panel| &panel.scale.ticks);
        let widest = ticks.map(|tick| width(&label(*tick))).fold(0.0, f64::max);
        let left = MARGIN + LINE + widest + 6.0;
        let mut frame = Self { canvas, horizontal, panels, selected: 0, left, top };
        for panel in 0..frame.panels.len() {
            frame.select(panel);
            frame.draw_vertical();
            // The panels have the same horizontal axis, so the last one has its name.
            frame.draw_horizontal((panel + 1 == frame.panels.len()).then_some(x_label));
            let ((left, top), (right, bottom)) = (frame.begins(), frame.ends());
            frame.canvas.rule((left, top), (left, bottom), INK, 0.7);
            frame.canvas.rule((left, bottom), (right, bottom), INK, 0.7);
        }
        frame.select(0);
        frame
    }

    /// Selects the panel in which positions are.
    pub(super) fn select(&mut self, panel: usize) {
        self.selected = panel;
    }

    fn right(&self) -> f64 {
        WIDTH - MARGIN - 6.0
    }

    fn top(&self) -> f64 {
        self.top + self.selected as f64 * (PANEL + BETWEEN)
    }

    fn bottom(&self) -> f64 {
        self.top() + PANEL
    }

    fn draw_vertical(&mut self) {
        let Some(Vertical { scale, label: text }) = self.panels.get(self.selected).cloned() else { return };
        for tick in scale.ticks {
            let y = self.y(tick);
            self.canvas.rule((self.left, y), (self.right(), y), GRID, 0.5);
            self.canvas.rule((self.left - 2.5, y), (self.left, y), INK, 0.7);
            self.canvas.text((self.left - 4.0, y + FONT * 0.35), Anchor::End, &label(tick));
        }
        let middle = self.top() + PANEL / 2.0;
        self.canvas.vertical_text((MARGIN + FONT * 0.8, middle), &text);
    }

    fn draw_horizontal(&mut self, text: Option<&str>) {
        let bottom = self.bottom();
        let ticks: Vec<(f64, String)> = match &self.horizontal {
            Horizontal::Numbers(scale) => scale.ticks.iter().map(|tick| (self.x(*tick), label(*tick))).collect(),
            Horizontal::Labels(labels) => {
                labels.iter().enumerate().map(|(index, text)| (self.slot(index).0, text.clone())).collect()
            }
        };
        let mut free_from = 0.0;
        for (x, text) in ticks {
            self.canvas.rule((x, bottom), (x, bottom + 2.5), INK, 0.7);
            let half = width(&text) / 2.0;
            // A label that would touch the label before it is left out. Its tick remains.
            if x - half >= free_from {
                // The label of the last tick stays inside of the picture.
                let middle = x.min(WIDTH - half - 1.0);
                self.canvas.text((middle, bottom + 3.0 + FONT), Anchor::Middle, &text);
                free_from = x + half + 3.0;
            }
        }
        let middle = (self.left + self.right()) / 2.0;
        if let Some(text) = text {
            self.canvas.text((middle, bottom + 5.0 + 2.0 * FONT + 1.0), Anchor::Middle, text);
        }
    }

    /// The horizontal position of a number.
    pub(super) fn x(&self, value: f64) -> f64 {
        let place = match &self.horizontal {
            Horizontal::Numbers(scale) => scale.place(value),
            Horizontal::Labels(_) => 0.0,
        };
        self.left + place * (self.right() - self.left)
    }

    /// The vertical position of a number.
    pub(super) fn y(&self, value: f64) -> f64 {
        let place = self.panels.get(self.selected).map_or(0.0, |panel| panel.scale.place(value));
        self.bottom() - place * PANEL
    }

    pub(super) fn spot(&self, (x, y): Spot) -> Spot {
        (self.x(x), self.y(y))
    }

    /// The middle and the width of the place of a label.
    pub(super) fn slot(&self, index: usize) -> (f64, f64) {
        let count = match &self.horizontal {
            Horizontal::Labels(labels) => labels.len().max(1),
            Horizontal::Numbers(_) => 1,
        };
        let width = (self.right() - self.left) / count as f64;
        (self.left + (index as f64 + 0.5) * width, width)
    }

    /// The right end of the panel, and the lower end.
    pub(super) fn ends(&self) -> Spot {
        (self.right(), self.bottom())
    }

    /// The left end of the panel, and the upper end.
    pub(super) fn begins(&self) -> Spot {
        (self.left, self.top())
    }

    /// The picture as the text of a file.
    pub(super) fn finish(mut self, title: &str) -> String {
        self.select(self.panels.len().saturating_sub(1));
        let height = self.bottom() + 2.0 * LINE + MARGIN + 1.0;
        self.canvas.finish(title, height)
    }
}

/// Draws the legend above the panel. Returns the upper end of the panel.
fn draw_legend(canvas: &mut Canvas, entries: &[LegendEntry]) -> f64 {
    let (mut x, mut y) = (MARGIN + LINE, MARGIN + LINE / 2.0);
    if entries.is_empty() {
        return MARGIN + 4.0;
    }
    for LegendEntry { text, sample } in entries {
        let length = match sample {
            Sample::Line(_) | Sample::Plain(_) => SAMPLE,
            Sample::Marker(_) | Sample::Fill(_) => FONT,
        };
        let entry = length + 3.0 + width(text);
        if x > MARGIN + LINE && x + entry > WIDTH - MARGIN {
            (x, y) = (MARGIN + LINE, y + LINE);
        }
        match sample {
            Sample::Line(style) | Sample::Plain(style) => canvas.line(&[(x, y), (x + length, y)], *style),
            Sample::Marker(_) => {}
            Sample::Fill(colour) => canvas.bar((x, y - FONT * 0.4), FONT * 0.8, FONT * 0.8, colour),
        }
        if let Sample::Line(style) | Sample::Marker(style) = sample {
            canvas.marker((x + length / 2.0, y), *style);
        }
        canvas.text((x + length + 3.0, y + FONT * 0.35), Anchor::Start, text);
        x += entry + GAP;
    }
    y + LINE / 2.0 + 5.0
}
