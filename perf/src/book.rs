//! The results of a run: rows with their peers and goals, kept in one JSON file.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::goals;
use crate::measure::Times;

/// One figure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    /// Such as `fork.noop.p50`.
    pub(crate) name: String,
    /// The figure.
    pub(crate) value: f64,
    /// Such as `µs`.
    pub(crate) unit: String,
    /// `value` divided by the value of `against`.
    pub(crate) ratio: Option<f64>,
    /// The row of the same run that it is compared with.
    pub(crate) against: Option<String>,
    /// What it should be.
    pub(crate) goal: Option<String>,
    /// Whether it is.
    pub(crate) met: Option<bool>,
    /// Which group measured it.
    #[serde(default)]
    pub(crate) group: String,
    /// Seconds since 1970.
    #[serde(default)]
    pub(crate) unix_s: u64,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Book {
    rows: Vec<Row>,
}

impl Book {
    /// Writes a figure down.
    pub(crate) fn put(&mut self, name: &str, value: f64, unit: &str) {
        self.compare(name, value, unit, None);
    }

    /// Writes a figure down beside another of this run.
    pub(crate) fn put_against(&mut self, name: &str, value: f64, unit: &str, against: &str) {
        self.compare(name, value, unit, Some(against));
    }

    /// Writes median, 99th percentile and number of samples down.
    pub(crate) fn put_times(&mut self, name: &str, times: &Times, against: Option<&str>) {
        for quantile in ["p50", "p99"] {
            let value = if quantile == "p50" { times.p50_us() } else { times.p99_us() };
            let against = against.map(|name| format!("{name}.{quantile}"));
            self.compare(&format!("{name}.{quantile}"), value, "µs", against.as_deref());
        }
    }

    fn compare(&mut self, name: &str, value: f64, unit: &str, against: Option<&str>) {
        let other = against.and_then(|other| self.value(other));
        let ratio = other.filter(|other| *other != 0.0).map(|other| value / other);
        let (goal, met) = goals::judge(name, value, unit, ratio).unzip();
        let row = Row {
            name: name.into(),
            value,
            unit: unit.into(),
            ratio,
            against: ratio.and(against).map(Into::into),
            goal,
            met: met.flatten(),
            group: String::new(),
            unix_s: crate::machine::unix_s(),
        };
        eprintln!("  {}", describe(&row));
        self.rows.push(row);
    }

    /// A figure of this run.
    pub(crate) fn value(&self, name: &str) -> Option<f64> {
        self.rows.iter().find(|row| row.name == name).map(|row| row.value)
    }

    /// Puts the rows in the place of what `group` measured before.
    pub(crate) fn save(mut self, group: &str) -> Result<()> {
        self.rows.iter_mut().for_each(|row| group.clone_into(&mut row.group));
        let mut all = if path().exists() { load()? } else { Vec::new() };
        all.retain(|row| row.group != group);
        all.append(&mut self.rows);
        let path = path();
        fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
        let text = serde_json::to_string_pretty(&all)? + "\n";
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

fn describe(row: &Row) -> String {
    let Row { name, unit, .. } = row;
    let ratio = match (&row.ratio, &row.against) {
        (Some(ratio), Some(against)) => format!(", {ratio:.3} of {against}"),
        _ => String::new(),
    };
    let goal = match (&row.goal, row.met) {
        (Some(goal), Some(met)) => format!(", goal {goal}: {}", if met { "met" } else { "missed" }),
        (Some(goal), None) => format!(", goal {goal}: no peer"),
        _ => String::new(),
    };
    format!("{name} {} {unit}{ratio}{goal}", short(row.value))
}

/// A figure with the digits that mean something.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 1000.0 => format!("{value:.0}"),
        v if v >= 100.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// All results so far.
pub(crate) fn load() -> Result<Vec<Row>> {
    let path = path();
    let text = fs::read_to_string(&path)
        .with_context(|| format!("no results in {}; run `bench run` first", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is damaged; remove it", path.display()))
}

/// The folder of this crate.
pub(crate) fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where the results are.
pub(crate) fn path() -> PathBuf {
    home().join("../target/perf/results.json")
}
