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

/// Rows that stand in tables of their own: how their names begin, and what is said above them.
const APART: &[(&str, &str)] = &[
    (
        "churn.",
        "## Cold calls at a rising rate\n\n![rate against latency](churn.svg)\n\nCalls arrive at a \
         fixed rate and are served by one core; a time runs from when the call should have begun.",
    ),
    (
        "sweep.pooling.",
        "## Settings of Wasmtime's pooling allocator that were tried\n\nThe best of each work stands \
         above as `wasmtime.pooling`; these are short trials, and that is the longer measurement.",
    ),
];

pub(crate) fn write() -> Result<()> {
    let path = book::home().join("RESULTS.md");
    fs::write(&path, render(&book::load()?, &machine::facts()))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn render(rows: &[Row], facts: &[(&str, String)]) -> String {
    let mut text = format!("{HEAD}\n| | |\n| --- | --- |\n");
    for (what, is) in facts {
        let _ = writeln!(text, "| {what} | {is} |");
    }
    text += "\n| figure | value | ratio | against | goal | met |\n| --- | ---: | ---: | --- | --- | --- |\n";
    let apart = |row: &&Row| APART.iter().any(|(start, _)| row.name.starts_with(start));
    rows.iter().filter(|row| !apart(row)).for_each(|row| line(&mut text, row));
    for (start, what) in APART {
        let _ = write!(text, "\n{what}\n\n| figure | value |\n| --- | ---: |\n");
        for row in rows.iter().filter(|row| row.name.starts_with(start)) {
            let _ = writeln!(
                text,
                "| {} | {} {} |",
                &row.name[start.len()..],
                short(row.value),
                row.unit
            );
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
    let _ = writeln!(
        text,
        "| {name} | {} {unit} | {ratio} | {against} | {goal} | {met} |",
        short(*value)
    );
}
