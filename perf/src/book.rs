//! What one run of a group measured: figures, each with the one that it is compared with.

use anyhow::{Result, ensure};

use crate::goals;
use crate::groups::Group;
use crate::measure::{self, Times};
use crate::results::{Row, describe};

/// One figure, as it was measured.
#[derive(Clone, Debug)]
struct Entry {
    name: String,
    value: f64,
    unit: String,
    against: Option<String>,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Book {
    entries: Vec<Entry>,
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

    /// Writes median and 99th percentile down.
    pub(crate) fn put_times(&mut self, name: &str, times: &Times, against: Option<&str>) {
        for (quantile, value) in [("p50", times.p50_us()), ("p99", times.p99_us())] {
            let against = against.map(|name| format!("{name}.{quantile}"));
            self.compare(&format!("{name}.{quantile}"), value, "µs", against.as_deref());
        }
    }

    fn compare(&mut self, name: &str, value: f64, unit: &str, against: Option<&str>) {
        let against = against.map(Into::into);
        let entry = Entry { name: name.into(), value, unit: unit.into(), against };
        eprintln!("  {}", describe(&self.row(&entry)));
        self.entries.push(entry);
    }

    /// A figure of this run.
    pub(crate) fn value(&self, name: &str) -> Option<f64> {
        self.entries.iter().find(|entry| entry.name == name).map(|entry| entry.value)
    }

    /// The figure with its ratio and its goal.
    fn row(&self, entry: &Entry) -> Row {
        let Entry { name, value, unit, against } = entry.clone();
        let other = against.as_deref().and_then(|other| self.value(other));
        let ratio = other.filter(|other| *other != 0.0).map(|other| value / other);
        let (goal, met) = goals::judge(&name, value, &unit, ratio).unzip();
        let against = against.filter(|_| ratio.is_some());
        Row { name, value, unit, ratio, against, goal, met: met.flatten() }
    }

    /// All of it.
    pub(crate) fn rows(&self) -> Vec<Row> {
        self.entries.iter().map(|entry| self.row(entry)).collect()
    }

    /// The middle one of several runs, figure by figure; ratios are those of the middle ones.
    pub(crate) fn middle(runs: &[Self]) -> Self {
        let mut middle = Self::default();
        for entry in runs.iter().flat_map(|run| &run.entries) {
            if middle.value(&entry.name).is_none() {
                let values = runs.iter().filter_map(|run| run.value(&entry.name)).collect();
                let value = measure::middle(values);
                middle.entries.push(Entry { value, ..entry.clone() });
            }
        }
        middle
    }

    /// Fails when a row is none of the group's, or one that has a goal is missing.
    pub(crate) fn check(&self, group: &Group) -> Result<()> {
        let stray = self.entries.iter().map(|entry| &entry.name).find(|name| !group.writes(name));
        ensure!(
            stray.is_none(),
            "{} is no row of this group; add it in groups.rs",
            stray.unwrap_or(&String::new())
        );
        let missing = goals::names().find(|name| group.writes(name) && self.value(name).is_none());
        ensure!(
            missing.is_none(),
            "{} has a goal and was not measured",
            missing.unwrap_or_default()
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::chosen;

    fn run(fork: f64, peer: f64) -> Book {
        let mut book = Book::default();
        book.put("wasmtime.pooling.dirty3.p50", peer, "µs");
        book.put_against("fork.dirty3.p50", fork, "µs", "wasmtime.pooling.dirty3.p50");
        book
    }

    #[test]
    fn the_middle_of_runs_is_judged_by_its_own_ratio() {
        let middle = Book::middle(&[run(1.0, 5.0), run(9.0, 4.0), run(1.1, 3.6)]);
        let rows = middle.rows();
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].value, rows[1].value), (4.0, 1.1));
        assert_eq!(rows[1].ratio, Some(1.1 / 4.0));
        assert_eq!(rows[1].met, Some(true));
    }

    #[test]
    fn a_stray_row_and_a_missing_goal_fail_a_group() {
        let group = chosen(&["live"]).unwrap()[0];
        let mut book = Book::default();
        assert!(book.check(group).unwrap_err().to_string().contains("not measured"));
        book.put("no.such.row", 1.0, "");
        assert!(book.check(group).unwrap_err().to_string().contains("no.such.row"));
    }
}
