//! Plots as SVG, to stand inside a page.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

const SIZE: (u32, u32) = (440, 320);
/// Told apart by people who cannot see all colours (Okabe and Ito).
const COLOURS: [RGBColor; 4] =
    [RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(0, 158, 115), RGBColor(204, 121, 167)];

/// One line of a plot.
pub(super) struct Line<'a> {
    pub name: &'a str,
    pub points: Vec<(f64, f64)>,
}

/// What a plot shows.
pub(super) struct Axes<'a> {
    pub title: &'a str,
    pub across: &'a str,
    pub up: &'a str,
    pub x: (f64, f64),
    pub y: (f64, f64),
    /// Whether the line of equality is drawn.
    pub diagonal: bool,
    /// Whether the names of the lines stand above; else below, at the right either way.
    pub names_above: bool,
}

/// Lines over two axes; `None` where the plotter refuses, which it does for axes without extent.
pub(super) fn lines(axes: &Axes<'_>, lines: &[Line<'_>], marks: &[(f64, f64)]) -> Option<String> {
    let mut svg = String::new();
    draw(&mut svg, axes, lines, marks).ok()?;
    // The page tells what the picture shows to those who cannot see it.
    Some(svg.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{}\" ", axes.title), 1))
}

fn draw(
    svg: &mut String,
    axes: &Axes<'_>,
    lines: &[Line<'_>],
    marks: &[(f64, f64)],
) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(axes.title, ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d(axes.x.0..axes.x.1, axes.y.0..axes.y.1)?;
    chart
        .configure_mesh()
        .x_desc(axes.across)
        .y_desc(axes.up)
        .light_line_style(WHITE)
        .x_labels(6)
        .y_labels(6)
        .draw()?;
    if axes.diagonal {
        chart.draw_series(LineSeries::new([(0.0, 0.0), (1.0, 1.0)], BLACK.mix(0.3)))?;
    }
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        chart.draw_series(LineSeries::new(line.points.iter().copied(), colour.stroke_width(2)))?;
    }
    for mark in marks {
        chart.draw_series([Circle::new(*mark, 5, BLACK.stroke_width(2))])?;
    }
    // plotters' own legend needs a font to measure; names in the corner need none.
    for (row, (line, colour)) in lines.iter().zip(COLOURS.iter().cycle()).filter(|_| lines.len() > 1).enumerate() {
        let style = TextStyle::from(("sans-serif", 13)).color(colour).pos(Pos::new(HPos::Right, VPos::Bottom));
        let height = if axes.names_above { 52 + 16 * row as i32 } else { SIZE.1 as i32 - 56 - 16 * row as i32 };
        area.draw_text(line.name, &style, (SIZE.0 as i32 - 20, height))?;
    }
    area.present()?;
    Ok(())
}
