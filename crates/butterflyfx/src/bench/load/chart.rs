//! Line charts as SVG: self-contained, light and dark by `prefers-color-scheme`, with a ground of their own so
//! that they can be read on any page.

use std::fmt::Write;

const WIDTH: f64 = 820.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 32.0;
const TOP: f64 = 78.0;
const BOTTOM: f64 = 34.0;
/// Room for a letter of the small text, generously.
const LETTER: f64 = 6.7;

/// Everything a chart's look depends on. In a page the styles of several charts are equal and do no harm.
const STYLE: &str = "\
.bfx{--ground:#fff;--text:#1f2328;--soft:#59636e;--grid:#d8dee4;--c0:#0969da;--c1:#1a7f37;--c2:#b35900;--c3:#bf3989;--c4:#6e7781;\
font:12px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif}\
@media(prefers-color-scheme:dark){.bfx{--ground:#0d1117;--text:#e6edf3;--soft:#9ea7b3;--grid:#30363d;--c0:#58a6ff;--c1:#56d364;--c2:#f0a04b;--c3:#ff8ac4;--c4:#8b949e}}\
.bfx .ground{fill:var(--ground);stroke:var(--grid)}.bfx text{fill:var(--soft)}.bfx .title{fill:var(--text);font-size:15px;font-weight:600}\
.bfx .grid{stroke:var(--grid);fill:none}.bfx .mark{stroke:var(--soft);stroke-dasharray:2 3;fill:none;opacity:.7}\
.bfx .line{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}.bfx .area{opacity:.16;stroke:none}\
.bfx .dashed{stroke-dasharray:5 4}.bfx .dot{stroke:var(--ground);stroke-width:1.5}\
.bfx .s0{stroke:var(--c0)}.bfx .s1{stroke:var(--c1)}.bfx .s2{stroke:var(--c2)}.bfx .s3{stroke:var(--c3)}.bfx .s4{stroke:var(--c4)}\
.bfx .f0{fill:var(--c0)}.bfx .f1{fill:var(--c1)}.bfx .f2{fill:var(--c2)}.bfx .f3{fill:var(--c3)}.bfx .f4{fill:var(--c4)}";

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// A line.
    Line,
    /// A line with its area.
    Area,
    /// A broken line.
    Dashed,
    /// A dot at each point.
    Dots,
}

/// One series.
#[derive(Clone, Debug)]
pub struct Series {
    /// What the legend calls it.
    pub name: String,
    /// Its colour, from 0 to 4.
    pub colour: usize,
    /// How it is drawn.
    pub look: Look,
    /// Seconds and value; a value that is no number is a gap.
    pub points: Vec<(f64, f64)>,
}

/// A chart over time.
#[derive(Clone, Debug, Default)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// The unit of the values.
    pub unit: &'static str,
    /// Whether values stand on a logarithmic axis.
    pub is_log: bool,
    /// The end of the time axis in seconds.
    pub seconds: f64,
    /// What is drawn, later ones on top.
    pub series: Vec<Series>,
    /// Names for stretches of time, each with its beginning.
    pub marks: Vec<(String, f64)>,
}

impl Chart {
    /// The chart as an SVG document.
    pub fn svg(&self) -> String {
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"bfx\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\"><title>{}</title><style>{STYLE}</style>\
             <rect class=\"ground\" x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" rx=\"6\"/>",
            escaped(&self.title),
            WIDTH - 1.0,
            HEIGHT - 1.0
        );
        let scale = if self.is_log { " (logarithmic)" } else { "" };
        let _ = write!(
            out,
            "<text class=\"title\" x=\"16\" y=\"26\">{}</text><text x=\"{}\" y=\"26\" text-anchor=\"end\">{}{scale}</text>",
            escaped(&self.title),
            WIDTH - 16.0,
            escaped(self.unit)
        );
        self.legend(&mut out);
        let axis = self.value_axis();
        self.axes(&mut out, &axis);
        for series in &self.series {
            self.draw(&mut out, &axis, series);
        }
        out.push_str("</svg>\n");
        out
    }

    fn legend(&self, out: &mut String) {
        let mut x = 16.0;
        for series in &self.series {
            let colour = series.colour;
            match series.look {
                Look::Dots => {
                    let _ = write!(
                        out,
                        "<circle class=\"dot f{colour}\" cx=\"{}\" cy=\"45\" r=\"4.5\"/>",
                        x + 9.0
                    );
                }
                look => {
                    let dashed = if look == Look::Dashed { " dashed" } else { "" };
                    let _ = write!(out, "<path class=\"line s{colour}{dashed}\" d=\"M{x} 45h18\"/>");
                }
            }
            let _ = write!(out, "<text x=\"{}\" y=\"49\">{}</text>", x + 24.0, escaped(&series.name));
            x += 24.0 + series.name.chars().count() as f64 * LETTER + 20.0;
        }
    }

    fn value_axis(&self) -> Axis {
        let values = self.series.iter().flat_map(|series| &series.points).map(|(_, value)| *value);
        let values = values.filter(|value| !value.is_nan());
        if self.is_log { Axis::log(values) } else { Axis::linear(values) }
    }

    fn x(&self, seconds: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (seconds / self.seconds.max(1e-9)).clamp(0.0, 1.0)
    }

    fn axes(&self, out: &mut String, axis: &Axis) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for (value, label) in &axis.ticks {
            let y = axis.y(*value);
            let _ = write!(
                out,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                LEFT - 8.0,
                y + 4.0
            );
        }
        for (seconds, label) in time_ticks(self.seconds) {
            let x = self.x(seconds);
            let _ = write!(
                out,
                "<path class=\"grid\" d=\"M{x:.1} {bottom}v5\"/><text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
                bottom + 19.0
            );
        }
        let mut free_from = 0.0;
        for (name, seconds) in &self.marks {
            let x = self.x(*seconds);
            if *seconds > 0.0 {
                let _ = write!(out, "<path class=\"mark\" d=\"M{x:.1} {}V{bottom}\"/>", TOP - 16.0);
            }
            // A name that would run into the one before it is left out.
            let end = x + 5.0 + name.chars().count() as f64 * LETTER;
            if x >= free_from && end <= WIDTH - 4.0 {
                let _ =
                    write!(out, "<text x=\"{:.1}\" y=\"{}\">{}</text>", x + 5.0, TOP - 7.0, escaped(name));
                free_from = end;
            }
        }
    }

    fn draw(&self, out: &mut String, axis: &Axis, series: &Series) {
        let colour = series.colour;
        let mut path = String::new();
        let mut letter = 'M';
        for (seconds, value) in &series.points {
            if value.is_nan() {
                letter = 'M';
                continue;
            }
            let (x, y) = (self.x(*seconds), axis.y(*value));
            if series.look == Look::Dots {
                let _ =
                    write!(out, "<circle class=\"dot f{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\"/>");
            }
            let _ = write!(path, "{letter}{x:.1} {y:.1}");
            letter = 'L';
        }
        let (Some(first), Some(last)) = (series.points.first(), series.points.last()) else { return };
        if series.look == Look::Area {
            let bottom = HEIGHT - BOTTOM;
            let (begin, end) = (self.x(first.0), self.x(last.0));
            let _ = write!(
                out,
                "<path class=\"area f{colour}\" d=\"{path}L{end:.1} {bottom}L{begin:.1} {bottom}Z\"/>"
            );
        }
        if series.look != Look::Dots {
            let dashed = if series.look == Look::Dashed { " dashed" } else { "" };
            let _ = write!(out, "<path class=\"line s{colour}{dashed}\" d=\"{path}\"/>");
        }
    }
}

/// The axis of values: its ends and its ticks.
#[derive(Clone, Debug)]
struct Axis {
    low: f64,
    high: f64,
    is_log: bool,
    ticks: Vec<(f64, String)>,
}

impl Axis {
    /// From 0 to a round number above all values.
    fn linear(values: impl Iterator<Item = f64>) -> Axis {
        let most = values.fold(0.0, f64::max);
        let step = round_step(most / 4.0);
        let steps = (most / step).ceil().max(1.0);
        let decimals = if step < 1.0 { (-step.log10()).ceil().clamp(0.0, 6.0) as usize } else { 0 };
        let ticks = (0..=steps as usize).map(|at| (at as f64 * step, number(at as f64 * step, decimals)));
        Axis { low: 0.0, high: steps * step, is_log: false, ticks: ticks.collect() }
    }

    /// Whole decades around all values, or parts of them (1, 2, 5) where that leaves less room empty.
    fn log(values: impl Iterator<Item = f64>) -> Axis {
        const LEAST: f64 = 1e-3;
        let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
        for value in values.map(|value| value.max(LEAST)) {
            low = low.min(value);
            high = high.max(value);
        }
        if high == 0.0 {
            (low, high) = (0.1, 1.0);
        }
        let candidates = (-3..=9).flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(decade)));
        let candidates: Vec<f64> = candidates.collect();
        let first = candidates.iter().rposition(|one| *one <= low * 1.000_001).unwrap_or(0);
        let last = candidates.iter().position(|one| *one >= high * 0.999_999).unwrap_or(candidates.len() - 1);
        let last = last.max(first + 1).min(candidates.len() - 1);
        let is_wide = last - first > 6;
        let shown = candidates[first..=last].iter().enumerate();
        let shown = shown.filter(|(at, _)| !is_wide || (first + at) % 3 == 0).map(|(_, one)| *one);
        let decimals = |value: f64| (-value.log10()).ceil().clamp(0.0, 3.0) as usize;
        let ticks = shown.map(|one| (one, number(one, decimals(one)))).collect();
        Axis { low: candidates[first], high: candidates[last], is_log: true, ticks }
    }

    fn y(&self, value: f64) -> f64 {
        let share = if self.is_log {
            (value.max(self.low) / self.low).log10() / (self.high / self.low).log10()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * share.clamp(0.0, 1.0)
    }
}

/// 1, 2 or 5 times a power of ten, and not less than `least`.
fn round_step(least: f64) -> f64 {
    if least <= 0.0 {
        return 1.0;
    }
    let decade = 10_f64.powf(least.log10().floor());
    let digit = [1.0, 2.0, 5.0].into_iter().find(|digit| digit * decade >= least * 0.999_999);
    digit.unwrap_or(10.0) * decade
}

/// Ticks of a time axis, some six of them, and what they are called.
fn time_ticks(seconds: f64) -> Vec<(f64, String)> {
    const STEPS: [f64; 16] =
        [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0];
    let step = STEPS
        .into_iter()
        .find(|step| seconds / step <= 8.0)
        .unwrap_or(3600.0 * round_step(seconds / 28800.0));
    let ticks = (0..=(seconds / step + 1e-6) as u64).map(|at| at as f64 * step);
    ticks
        .map(|tick| {
            let label = match (step >= 60.0, step < 1.0) {
                _ if tick == 0.0 => "0".to_owned(),
                (true, _) => format!("{:.0} min", tick / 60.0),
                (_, true) => format!("{tick:.1} s"),
                _ => format!("{tick:.0} s"),
            };
            (tick, label)
        })
        .collect()
}

/// A number with so many decimals and its thousands apart.
fn number(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    whole.parse().map_or(text.clone(), |whole| crate::bench::grouped(whole) + rest)
}

/// Text for XML.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn linear_axes_have_round_ticks_around_all_values() {
        let ticks = |most: f64| labels(&Axis::linear([0.0, most].into_iter())).join(" ");
        assert_eq!(ticks(1_000.0), "0 500 1 000");
        assert_eq!(ticks(5_003.0), "0 2 000 4 000 6 000");
        assert_eq!(ticks(37.0), "0 10 20 30 40");
        assert_eq!(ticks(0.7), "0.0 0.2 0.4 0.6 0.8");
        assert_eq!(ticks(0.0), "0 1");
    }

    #[test]
    fn logarithmic_axes_have_decades_or_parts_of_them() {
        let ticks = |low: f64, high: f64| labels(&Axis::log([low, high].into_iter())).join(" ");
        assert_eq!(ticks(0.3, 4.0), "0.2 0.5 1 2 5");
        assert_eq!(ticks(0.02, 900.0), "0.1 1 10 100 1 000");
        assert_eq!(ticks(0.0, 0.0), "0.001 0.002");
        assert_eq!(labels(&Axis::log(std::iter::empty())).join(" "), "0.1 0.2 0.5 1");
        let axis = Axis::log([0.1, 10.0].into_iter());
        assert!((axis.y(1.0) - (axis.y(0.1) + axis.y(10.0)) / 2.0).abs() < 1e-9);
    }

    #[test]
    fn time_axes_speak_of_seconds_then_minutes() {
        let ticks = |seconds: f64| {
            time_ticks(seconds).into_iter().map(|(_, label)| label).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(ticks(5.0), "0 1 s 2 s 3 s 4 s 5 s");
        assert_eq!(ticks(70.0), "0 10 s 20 s 30 s 40 s 50 s 60 s 70 s");
        assert_eq!(ticks(600.0), "0 2 min 4 min 6 min 8 min 10 min");
        assert_eq!(ticks(3_600.0), "0 10 min 20 min 30 min 40 min 50 min 60 min");
        assert!(time_ticks(86_400.0).len() <= 14);
    }

    #[test]
    fn a_chart_is_closed_and_keeps_texts_out_of_its_markup() {
        let points = vec![(0.0, 1.0), (1.0, 3.0), (1.5, f64::NAN), (1.6, 2.0)];
        let looks = [Look::Line, Look::Area, Look::Dashed, Look::Dots];
        let series = looks.map(|look| Series { name: "a<b".into(), colour: 1, look, points: points.clone() });
        let chart = Chart {
            title: "x & y".into(),
            unit: "ms",
            seconds: 2.0,
            series: series.to_vec(),
            marks: vec![("one".into(), 0.0), ("two".into(), 0.01), ("three".into(), 1.0)],
            ..Chart::default()
        };
        let svg = chart.svg();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("x &amp; y") && svg.contains("a&lt;b") && !svg.contains("a<b"));
        assert!(svg.contains(">one<") && !svg.contains(">two<") && svg.contains(">three<"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
