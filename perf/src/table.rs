//! RESULTS.md, made from the results.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};

use crate::goals;
use crate::machine;
use crate::results::{self, Row, describe, short};

/// What stands above the table.
const HEAD: &str = "# Figures

Made by `bench table` from `target/perf/results.json`; do not edit. `make bench` measures anew.
A ratio is the value divided by the value of the row it is compared with, of the same run; where
both are times, below 1 is faster. Every answer is checked: a wrong one ends its group.

- Times of `fork` and `fresh` hold the call and the reset behind it, through a cell's own worker
  (fiber, epochs, limits); `.start` is what a caller waits for.
- `.rate` is calls in a second of the wall's clock. `.rate.core` leaves out the time in which the
  thread could run and others had the core (the kernel's account of its run queue), and counts the
  time in which it slept, on a lock say. It is the rate a second *and core*, so the goals of rates
  are judged by it: where nobody else is on the machine, both are the same.
- `load.GROUP` is the load average before a group ran, `load.GROUP.others` the cores that others
  (other programs, the machine's host) took while it ran. The higher, the less wall-clock rates and
  99th percentiles say.
- `first` is a tenant's first call with no cell, by step. `process` is what starting the cell takes
  beyond its jail and engine, `rest` the client's way to the monitor and back, and waking.
- `micro` is what `cargo bench` measured.
";

/// Rows that stand in tables of their own: how their names begin, and what is said above them.
const APART: &[(&str, &str)] = &[
    (
        "call.quic.open.",
        "## Calls over QUIC at a rising rate\n\n![rate against latency](open.svg)\n\nCalls arrive at \
         a fixed rate, whether or not earlier ones have ended, on one connection; a time runs from \
         when the call should have begun. The generator takes one of the cores. `most` is the \
         highest rate that was reached.",
    ),
    (
        "call.http.open.",
        "## Calls over HTTP at a rising rate\n\nAs above, on 64 connections that are kept.",
    ),
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
    (
        "sweep.on_demand.",
        "## Settings of Wasmtime without a pool that were tried\n\nThe best of each work stands above \
         as `wasmtime.on_demand`.",
    ),
    (
        "sweep.process.",
        "## Ways to start a native process that were tried\n\nThe best of each work stands above as \
         `process`.",
    ),
    ("micro.", "## Parts by themselves"),
];

/// Writes RESULTS.md, and prints the rows that have a goal.
pub(crate) fn write() -> Result<()> {
    let (path, rows) = (results::home().join("RESULTS.md"), results::load()?);
    fs::write(&path, render(&rows, &machine::facts()))
        .with_context(|| format!("cannot write {}", path.display()))?;
    let with_goal = || rows.iter().filter(|row| row.goal.is_some());
    with_goal().for_each(|row| println!("{}", describe(row)));
    let met = with_goal().filter(|row| row.met == Some(true)).count();
    let open: Vec<_> =
        goals::names().filter(|name| rows.iter().all(|row| row.name != **name)).collect();
    println!("{met} of {} goals are met", goals::names().count());
    if !open.is_empty() {
        println!("not measured yet: {}", open.join(", "));
    }
    Ok(())
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
        let mut rows = rows.iter().filter(|row| row.name.starts_with(start)).peekable();
        if rows.peek().is_none() {
            continue;
        }
        let _ = write!(text, "\n{what}\n\n| figure | value |\n| --- | ---: |\n");
        for Row { name, value, unit, .. } in rows {
            let _ = writeln!(text, "| {} | {} {unit} |", &name[start.len()..], short(*value));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::GROUPS;

    fn row(name: &str, met: Option<bool>) -> Row {
        let (name, unit, goal) = (name.into(), "µs".into(), met.map(|_| "≤ 2 µs".into()));
        Row { name, value: 1.5, unit, ratio: None, against: None, goal, met }
    }

    #[test]
    fn every_row_stands_in_one_table() {
        let rows = [
            row("chain.local.same", Some(true)),
            row("fork.dirty3.p50", Some(false)),
            row("churn.fork.10.p50", None),
        ];
        let text = render(&rows, &[("processor", "one".into())]);
        assert!(text.contains("| chain.local.same | 1.50 µs |  |  | ≤ 2 µs | yes |"), "{text}");
        assert!(text.contains("| ≤ 2 µs | **no** |"), "{text}");
        assert!(text.contains("| fork.10.p50 | 1.50 µs |") && !text.contains("| churn.fork.10"));
        assert!(!text.contains("## Parts by themselves"), "a table without rows");
    }

    #[test]
    fn tables_apart_are_of_rows_that_a_group_writes() {
        for (start, _) in APART {
            let prefix = |pattern: &&str| {
                let (mut parts, words) =
                    (pattern.split('.'), start.trim_end_matches('.').split('.'));
                words.into_iter().all(|word| {
                    parts.next().is_some_and(|part| part.split('|').any(|one| one == word))
                })
            };
            let found = GROUPS.iter().flat_map(|group| group.rows).any(prefix);
            assert!(found, "no group writes a row that begins with {start}");
        }
    }
}
