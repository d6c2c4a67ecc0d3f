//! `bench`: every figure of faaslet, measured beside its peers in the same run.
//!
//! What it is: groups of measurements that fill one [`book::Book`], which is kept in
//! `target/perf/results.json`, and a table made from it. What it is not: a test; nothing here
//! fails because a machine is slow. A wrong answer, however, ends the run.
//!
//! ```text
//! bench run [GROUP...]     measures; all groups without a name
//! bench table              writes perf/RESULTS.md from the results
//! bench list               names the groups
//! ```

mod bakes;
mod book;
mod calls;
mod chain;
mod churn;
mod fork;
mod goals;
mod guests;
mod live;
mod machine;
mod measure;
mod monitor;
mod native;
mod ours;
mod recognise;
mod table;
mod wasmtimes;

use anyhow::{Result, bail};
use book::Book;

/// A name and what it measures.
type Group = (&'static str, fn(&mut Book) -> Result<()>);

/// In the order in which they run.
const GROUPS: &[Group] = &[
    ("fork", fork::run),
    ("live", live::run),
    ("chain", chain::run),
    ("bake", bakes::run),
    ("recognise", recognise::run),
    ("call", calls::run),
    ("cold", monitor::run),
    ("churn", churn::run),
];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.split_first() {
        None => run(&[]),
        Some((&"run", groups)) => run(groups),
        Some((&"table", [])) => table::write(),
        Some((&"list", [])) => {
            GROUPS.iter().for_each(|(name, _)| println!("{name}"));
            Ok(())
        }
        _ => bail!("usage: bench run [GROUP...] | table | list"),
    }
}

fn run(wanted: &[&str]) -> Result<()> {
    if let Some(unknown) = wanted.iter().find(|name| GROUPS.iter().all(|(group, _)| group != *name))
    {
        let known: Vec<_> = GROUPS.iter().map(|(name, _)| *name).collect();
        bail!("expected a group of {}; found {unknown}", known.join(", "));
    }
    let mut failed = Vec::new();
    for (name, group) in GROUPS {
        if !wanted.is_empty() && !wanted.contains(name) {
            continue;
        }
        eprintln!("== {name}");
        let mut book = Book::default();
        // The figures of a busy machine say less: how busy it was stands beside them.
        book.put(&format!("load.{name}"), machine::load(), "");
        // One group that cannot run here takes no other with it, and fails the whole at the end.
        if let Err(error) = group(&mut book) {
            eprintln!("{name}: {error:#}");
            failed.push(*name);
        }
        book.save(name)?;
    }
    if failed.is_empty() {
        Ok(())
    } else {
        bail!("these groups did not end: {}", failed.join(", "))
    }
}
