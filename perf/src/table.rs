//! RESULTS.md, made from the results.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};

use crate::book::{self, Row, short};
use crate::machine;

/// What stands above the table.
const HEAD: &str = "# Figures

Made by `bench table` from `target/perf/results.json`; do not edit. `make bench` measures anew.
A ratio is the value divided by the value of the row it is compared with, of the same run; where
both are times, below 1 is faster. Times of `fork` and `fresh` hold the call and the reset behind
it, through a cell's own worker (fiber, epochs, limits); `.start` is what a caller waits for.
";

/// Rows of this group of names are settings that were tried.
const SWEEP: &str = "sweep.";

pub(crate) fn write() -> Result<()> {
    let path = book::home().join("RESULTS.md");
    fs::write(&path, render(&book::load()?, &machine::facts())).with_context(|| format!("cannot write {}", path.display()))
}

fn render(rows: &[Row], facts: &[(&str, String)]) -> String {
    let mut text = format!("{HEAD}\n| | |\n| --- | --- |\n");
    for (what, is) in facts {
        let _ = writeln!(text, "| {what} | {is} |");
    }
    text += "\n| figure | value | ratio | against | goal | met |\n| --- | ---: | ---: | --- | --- | --- |\n";
    let (sweep, figures): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.name.starts_with(SWEEP));
    figures.iter().for_each(|row| line(&mut text, row));
    if !sweep.is_empty() {
        text += "\n## Settings of Wasmtime's pooling allocator that were tried\n\n\
                 The best of each stands above as `wasmtime.pooling`.\n\n\
                 | setting | p50 |\n| --- | ---: |\n";
        for row in sweep {
            let _ = writeln!(text, "| {} | {} {} |", &row.name[SWEEP.len()..], short(row.value), row.unit);
        }
    }
    text
}

fn line(text: &mut String, row: &Row) {
    let ratio = row.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
    let met = match row.met {
        Some(true) => "yes",
        Some(false) => "**no**",
        None => "",
    };
    let (against, goal) = (row.against.as_deref().unwrap_or(""), row.goal.as_deref().unwrap_or(""));
    let Row { name, value, unit, .. } = row;
    let _ = writeln!(text, "| {name} | {} {unit} | {ratio} | {against} | {goal} | {met} |", short(*value));
}
