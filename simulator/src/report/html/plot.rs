//! A plot with stacked bars, as SVG. All positions are whole numbers, so each machine draws the same.

use maud::{Markup, html};

use super::text::grouped;

const HEIGHT: u64 = 150;
const LEFT: u64 = 62;
const TOP: u64 = 12;
const BOTTOM: u64 = 26;
const WIDTH: u64 = 640;

/// The largest number of bars. Narrower bars could not be told apart.
const MAX_BARS: usize = 144;

/// The largest number of lines across the plot.
const MAX_LINES: u64 = 4;

/// The number of colours of series in the style.
const COLOURS: usize = 5;

/// A plot with stacked bars.
pub struct StackedBars {
    title: String,
    axis: String,
    series: Vec<&'static str>,
    bars: Vec<Bar>,
}

struct Bar {
    label: String,
    values: Vec<u64>,
}

impl StackedBars {
    /// A plot without bars. The axis names the unit of the values, and the labels of the bars.
    #[must_use]
    pub fn new(title: impl Into<String>, axis: impl Into<String>, series: &[&'static str]) -> Self {
        Self { title: title.into(), axis: axis.into(), series: series.to_vec(), bars: Vec::new() }
    }

    /// Adds a bar with a value for each series.
    pub fn bar(&mut self, label: impl Into<String>, values: impl IntoIterator<Item = u64>) -> &mut Self {
        self.bars.push(Bar { label: label.into(), values: values.into_iter().collect() });
        self
    }

    /// The plot as a figure. If there are too many bars, each drawn bar is the mean of neighbours.
    #[must_use]
    pub fn markup(&self) -> Markup {
        let group = self.bars.len().div_ceil(MAX_BARS).max(1);
        let bars: Vec<Bar> = self.bars.chunks(group).map(mean).collect();
        let largest = bars.iter().map(|bar| bar.values.iter().sum::<u64>()).max().unwrap_or(0);
        let line = distance_of_lines(largest);
        let top = largest.div_ceil(line).max(1).saturating_mul(line);
        // The product of two numbers of 64 bits fits into 128 bits.
        let height = |value: u64| (u128::from(value) * u128::from(HEIGHT) / u128::from(top)) as u64;
        let pitch = (WIDTH - LEFT) / (bars.len() as u64).max(1);
        let pitch = pitch.min(48);
        let bar_width = (pitch - pitch / 5).max(1);
        let labels = (30_u64.div_ceil(pitch.max(1))).max(1) as usize;
        let full_height = TOP + HEIGHT + BOTTOM;
        let has_values =
            |(at, _): &(usize, &&str)| bars.iter().any(|bar| bar.values.get(*at).is_some_and(|value| *value > 0));
        html! {
            figure.plot {
                figcaption { (self.title) }
                svg viewBox=(format!("0 0 {WIDTH} {full_height}")) role="img" aria-label=(self.title) {
                    @for step in 0..=top / line {
                        @let y = TOP + HEIGHT - height(step * line);
                        path.grid d=(format!("M{LEFT} {y}H{WIDTH}")) {}
                        text.axis x=(LEFT - 6) y=(y + 4) text-anchor="end" { (grouped(step * line)) }
                    }
                    @for (number, bar) in bars.iter().enumerate() {
                        @let x = LEFT + 4 + number as u64 * pitch;
                        g {
                            title { (self.about(bar)) }
                            @for (series, (base, value)) in stacked(&bar.values).enumerate() {
                                @let (low, high) = (height(base), height(base + value));
                                @if high > low {
                                    rect class=(format!("s{}", series % COLOURS)) x=(x) y=(TOP + HEIGHT - high)
                                        width=(bar_width) height=(high - low) {}
                                }
                            }
                            @if number % labels == 0 {
                                text.axis x=(x + bar_width / 2) y=(TOP + HEIGHT + 15) text-anchor="middle" {
                                    (bar.label.split('–').next().unwrap_or_default())
                                }
                            }
                        }
                    }
                }
                p.axis-title { (self.axis) @if group > 1 { ". Each bar is the mean of " (group) " neighbours" } }
                @if self.series.len() > 1 {
                    ul.series { @for (number, name) in self.series.iter().enumerate().filter(has_values) {
                        li { span.swatch .(format!("s{}", number % COLOURS)) {} (name) }
                    } }
                }
            }
        }
    }

    fn about(&self, bar: &Bar) -> String {
        let parts = self.series.iter().zip(&bar.values).filter(|(_, value)| **value > 0);
        let parts: Vec<_> = parts.map(|(name, value)| format!("{name} {}", grouped(*value))).collect();
        let parts = if parts.is_empty() { "0".to_owned() } else { parts.join(", ") };
        format!("{}: {parts}", bar.label)
    }
}

/// The mean of neighbouring bars, rounded down.
fn mean(bars: &[Bar]) -> Bar {
    let (first, last) = (bars.first().map_or("", |bar| &*bar.label), bars.last().map_or("", |bar| &*bar.label));
    let series = bars.iter().map(|bar| bar.values.len()).max().unwrap_or(0);
    let sum = |at: usize| bars.iter().filter_map(|bar| bar.values.get(at)).sum::<u64>();
    Bar {
        label: if bars.len() > 1 { format!("{first}–{last}") } else { first.to_owned() },
        values: (0..series).map(|at| sum(at) / (bars.len() as u64).max(1)).collect(),
    }
}

/// The values of a bar, each with the sum of the values below it.
fn stacked(values: &[u64]) -> impl Iterator<Item = (u64, u64)> {
    values.iter().scan(0, |below, value| {
        let base = *below;
        *below += value;
        Some((base, *value))
    })
}

/// The distance between the lines across the plot: 1, 2 or 5 times a power of ten.
fn distance_of_lines(largest: u64) -> u64 {
    let mut power: u64 = 1;
    loop {
        for factor in [1, 2, 5] {
            let distance = power.saturating_mul(factor);
            if largest.div_ceil(distance) <= MAX_LINES {
                return distance;
            }
        }
        power = power.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_round_numbers() {
        assert_eq!([0, 1, 4, 5, 40, 1_061, u64::MAX / 2].map(distance_of_lines)[..6], [1, 1, 1, 2, 10, 500]);
    }

    #[test]
    fn many_bars_become_means() {
        let mut plot = StackedBars::new("t", "bytes", &["a", "b"]);
        (0..MAX_BARS as u64 + 1).for_each(|epoch| _ = plot.bar(epoch.to_string(), [2 * epoch, 10]));
        let markup = plot.markup().0;
        assert!(markup.contains("<title>0–1: a 1, b 10</title>"), "{markup}");
        assert!(markup.contains("the mean of 2 neighbours"), "{markup}");
    }

    #[test]
    fn plot_without_bars_is_drawn() {
        assert!(StackedBars::new("t", "bytes", &["a"]).markup().0.contains("<svg"));
    }
}
