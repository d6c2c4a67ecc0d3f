//! `target/perf/results.json`: an array with an object for each figure.
//!
//! A group that is measured anew takes the place of what it wrote before; the rest stays.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::groups::Group;
use crate::names;

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
}

/// Puts what a group measured in the place of what it had measured before.
pub(crate) fn save(group: &Group, rows: Vec<Row>) -> Result<()> {
    let path = path();
    let all = merged(if path.exists() { load()? } else { Vec::new() }, group, rows);
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    let text = serde_json::to_string_pretty(&all)? + "\n";
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn merged(mut all: Vec<Row>, group: &Group, mut rows: Vec<Row>) -> Vec<Row> {
    // A name that no group writes is of an older version of this program.
    all.retain(|row| !group.writes(&row.name) && names::owner(&row.name).is_some());
    all.append(&mut rows);
    all.sort_by_key(|row| names::owner(&row.name));
    all
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

fn path() -> PathBuf {
    home().join("../target/perf/results.json")
}

/// A figure in one line.
pub(crate) fn describe(row: &Row) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::chosen;

    fn row(name: &str, value: f64) -> Row {
        let (unit, name) = ("µs".into(), name.into());
        Row { name, value, unit, ratio: None, against: None, goal: None, met: None }
    }

    #[test]
    fn a_group_takes_the_place_of_its_own_rows_alone() {
        let before =
            vec![row("churn.fork.10.p50", 1.0), row("live.forks", 2.0), row("gone.long.ago", 3.0)];
        let churn = chosen(&["churn"]).unwrap()[0];
        let all = merged(before, churn, vec![row("churn.fork.30.p50", 4.0)]);
        assert_eq!(all, [row("live.forks", 2.0), row("churn.fork.30.p50", 4.0)]);
    }

    #[test]
    fn a_row_has_exactly_the_fields_that_readers_expect() {
        let json = serde_json::to_value(row("live.forks", 2.0)).unwrap();
        let fields: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        let mut expected = ["name", "value", "unit", "ratio", "against", "goal", "met"];
        expected.sort_unstable();
        assert_eq!(fields, expected);
    }
}
