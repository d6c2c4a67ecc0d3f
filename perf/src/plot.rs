//! One thing against another, both logarithmic, as an SVG beside RESULTS.md.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use crate::results::home;

/// A name and its points.
pub(crate) struct Curve {
    name: String,
    points: Vec<(f64, f64)>,
}

impl Curve {
    pub(crate) fn new(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), points }
    }
}

/// What stands around the curves.
pub(crate) struct Plot {
    pub(crate) file: &'static str,
    pub(crate) title: &'static str,
    pub(crate) x: &'static str,
    pub(crate) y: &'static str,
    /// The lower left corner.
    pub(crate) from: (f64, f64),
    /// And of the upper right one.
    pub(crate) to: (f64, f64),
}

impl Plot {
    pub(crate) fn draw(&self, curves: &[Curve]) -> Result<()> {
        let path = home().join(self.file);
        self.draw_to(&path, curves)
            .map_err(|error| anyhow!("cannot draw {}: {error}", path.display()))
    }

    fn draw_to(
        &self,
        path: &Path,
        curves: &[Curve],
    ) -> Result<(), Box<dyn std::error::Error + '_>> {
        let root = SVGBackend::new(path, (900, 540)).into_drawing_area();
        root.fill(&WHITE).map_err(text)?;
        let (from, to) = (self.from, self.to);
        let mut chart = ChartBuilder::on(&root)
            .caption(self.title, ("sans-serif", 18))
            .margin(16)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d((from.0..to.0).log_scale(), (from.1..to.1).log_scale())
            .map_err(text)?;
        let mesh = &mut chart.configure_mesh();
        mesh.x_desc(self.x).y_desc(self.y).draw().map_err(text)?;
        for (number, Curve { name, points }) in curves.iter().enumerate() {
            let colour = Palette99::pick(number).to_rgba();
            let line =
                LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(3);
            let series = chart.draw_series(line).map_err(text)?;
            let key = move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour);
            series.label(name).legend(key);
        }
        let labels = &mut chart.configure_series_labels();
        let labels = labels.position(SeriesLabelPosition::UpperLeft);
        labels.background_style(WHITE.mix(0.8)).border_style(BLACK).draw().map_err(text)?;
        root.present().map_err(text)?;
        Ok(())
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
