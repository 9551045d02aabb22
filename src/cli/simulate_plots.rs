//! Plots of what policies come to, as SVG: they stand alone, and the report takes their colours for light and dark. It refuses to
//! know what is plotted.

use std::fmt::Display;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::failure::Failure;

/// Points of a named line, in rising x.
pub(super) type Series = (String, Vec<(f64, f64)>);

/// Width of a plot with its legend, and of the legend; height; in pixels.
const WIDTH: u32 = 900;
const LEGEND: u32 = 230;
const HEIGHT: u32 = 340;

/// The most lines in one plot: more cannot be told apart.
pub(super) const LINES_MAX: usize = 10;

/// Colours that can be read on white and on black.
const COLOURS: [RGBColor; LINES_MAX] = [
    RGBColor(31, 119, 180),
    RGBColor(224, 108, 16),
    RGBColor(44, 150, 60),
    RGBColor(205, 60, 60),
    RGBColor(140, 100, 190),
    RGBColor(150, 96, 84),
    RGBColor(215, 100, 180),
    RGBColor(120, 120, 120),
    RGBColor(160, 160, 30),
    RGBColor(20, 160, 175),
];

const GREY: RGBColor = RGBColor(136, 136, 136);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Lines over a common x.
///
/// # Errors
/// They cannot be drawn.
pub(super) fn lines(x_title: &str, y_title: &str, series: &[Series]) -> Result<String, Failure> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, HEIGHT)).into_drawing_area();
        let (plot, legend) = root.split_horizontally(WIDTH - LEGEND);
        let points = || series.iter().flat_map(|(_, points)| points);
        let highest = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(0.0, f64::max);
        let (x_max, y_max) = (above(highest(|p| p.0)), above(highest(|p| p.1)) * 1.05);
        let mut chart = axes(&plot, x_title, y_title, 0.0..x_max, 0.0..y_max)?;
        for (n, (_, points)) in series.iter().take(LINES_MAX).enumerate() {
            let line = LineSeries::new(points.iter().copied(), COLOURS[n].stroke_width(2));
            chart.draw_series(line).map_err(undrawn)?;
        }
        write_legend(&legend, series.iter().map(|(name, _)| name.as_str()))?;
        root.present().map_err(undrawn)?;
    }
    Ok(svg)
}

/// A point for each name, and the line of those that none beats in both: less x and more y.
///
/// # Errors
/// They cannot be drawn.
pub(super) fn pareto(x_title: &str, y_title: &str, points: &[(String, (f64, f64))]) -> Result<String, Failure> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, HEIGHT)).into_drawing_area();
        let (plot, legend) = root.split_horizontally(WIDTH - LEGEND);
        let ys = || points.iter().map(|(_, p)| p.1);
        let (low, high) = (ys().fold(f64::INFINITY, f64::min), ys().fold(0.0, f64::max));
        let room = ((high - low) * 0.1).max(0.002);
        let x_max = above(points.iter().map(|(_, p)| p.0).fold(0.0, f64::max)) * 1.05;
        let (bottom, top) = if low <= high { ((low - room).max(0.0), high + room) } else { (0.0, 1.0) };
        let mut chart = axes(&plot, x_title, y_title, 0.0..x_max, bottom..top)?;
        chart.draw_series(LineSeries::new(front(points), GREY.stroke_width(1))).map_err(undrawn)?;
        for (n, (_, point)) in points.iter().enumerate() {
            let dot = Circle::new(*point, 5, COLOURS[n % LINES_MAX].filled());
            chart.draw_series(std::iter::once(dot)).map_err(undrawn)?;
        }
        write_legend(&legend, points.iter().map(|(name, _)| name.as_str()))?;
        root.present().map_err(undrawn)?;
    }
    Ok(svg)
}

/// Those of the points that none beats in both, in rising x.
pub(super) fn front(points: &[(String, (f64, f64))]) -> Vec<(f64, f64)> {
    let mut sorted: Vec<(f64, f64)> = points.iter().map(|(_, point)| *point).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
    let mut best = f64::NEG_INFINITY;
    sorted.retain(|point| {
        let better = point.1 > best;
        best = best.max(point.1);
        better
    });
    sorted
}

type Axes<'a, 'b> = ChartContext<
    'a,
    SVGBackend<'b>,
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
>;

fn axes<'a, 'b>(
    area: &'a Area<'b>,
    x_title: &str,
    y_title: &str,
    x: std::ops::Range<f64>,
    y: std::ops::Range<f64>,
) -> Result<Axes<'a, 'b>, Failure> {
    let mut builder = ChartBuilder::on(area);
    builder.margin(12).x_label_area_size(42).y_label_area_size(70);
    let mut chart = builder.build_cartesian_2d(x, y).map_err(undrawn)?;
    let mut mesh = chart.configure_mesh();
    mesh.light_line_style(TRANSPARENT).bold_line_style(GREY.mix(0.3)).x_desc(x_title).y_desc(y_title);
    mesh.x_label_formatter(&|x| number(*x)).y_label_formatter(&|y| number(*y));
    mesh.x_labels(8).y_labels(6).draw().map_err(undrawn)?;
    Ok(chart)
}

fn write_legend<'n>(area: &Area<'_>, names: impl Iterator<Item = &'n str>) -> Result<(), Failure> {
    for (n, name) in names.enumerate() {
        let y = 24 + 22 * i32::try_from(n).unwrap_or(0);
        let mark = Rectangle::new([(8, y), (20, y + 12)], COLOURS[n % LINES_MAX].filled());
        area.draw(&mark).map_err(undrawn)?;
        let shown: String = name.chars().take(30).collect();
        area.draw(&Text::new(shown, (28, y), ("sans-serif", 13).into_font())).map_err(undrawn)?;
    }
    Ok(())
}

/// A length that has extent, so that an axis has too.
fn above(x: f64) -> f64 {
    if x > 0.0 { x } else { 1.0 }
}

/// Four significant digits at most, no trailing zeros.
fn number(x: f64) -> String {
    if x == 0.0 || !x.is_finite() {
        return "0".to_owned();
    }
    let digits = (3 - x.abs().log10().floor() as i32).clamp(0, 12) as usize;
    let text = format!("{x:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn undrawn(error: impl Display) -> Failure {
    Failure::Failed(format!("cannot draw a plot: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: f64, y: f64) -> (String, (f64, f64)) {
        (format!("{x}"), (x, y))
    }

    #[test]
    fn the_front_holds_what_nobody_beats_in_both() {
        let points = [at(3.0, 0.9), at(1.0, 0.5), at(2.0, 0.4), at(4.0, 0.9), at(1.0, 0.3)];
        assert_eq!(front(&points), [(1.0, 0.5), (3.0, 0.9)]);
        assert!(front(&[]).is_empty());
    }

    #[test]
    fn plots_are_drawn_from_anything() {
        let line = |name: &str, points: &[(f64, f64)]| (name.to_owned(), points.to_vec());
        let svg = lines("x", "y", &[line("first <&>", &[(0.0, 1.0), (9.0, 2.0)]), line("flat", &[])]).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
        assert!(svg.contains("first &lt;&amp;&gt;") && svg.contains("<polyline"), "{svg}");
        for nothing in [lines("x", "y", &[]), pareto("x", "y", &[]), pareto("x", "y", &[at(0.0, 0.0)])] {
            assert!(nothing.unwrap().starts_with("<svg"));
        }
    }

    #[test]
    fn numbers_are_short() {
        for (x, text) in [(0.0, "0"), (10_000.0, "10000"), (0.00206, "0.00206"), (2.5, "2.5"), (1e-7, "0.0000001")] {
            assert_eq!(number(x), text);
        }
    }
}
