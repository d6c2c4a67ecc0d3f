//! `bench`: every figure of faaslet, measured beside its peers in the same run.
//!
//! What it is: groups of measurements that fill one [`book::Book`] each, kept in
//! `target/perf/results.json`, and a table made from it. What it is not: a test; nothing here
//! fails because a machine is slow. A wrong answer, however, ends the group. Start at
//! [`groups::GROUPS`].
//!
//! ```text
//! bench run [--times N] [GROUP...]   measures; all groups without a name. Of N times the middle
//!                                    one counts. A group takes the place of its earlier rows
//! bench table                        writes perf/RESULTS.md, and prints which goals are met
//! bench list                         names the groups
//! ```

mod bakes;
mod book;
mod calls;
mod chain;
mod chain_other;
mod churn;
mod echo;
mod first;
mod fork;
mod goals;
mod groups;
mod guests;
mod hogwild;
mod hosts;
mod http;
mod lazy;
mod live;
mod load;
mod machine;
mod measure;
mod micro;
mod monitor;
mod names;
mod native;
mod open;
mod ours;
mod plot;
mod quic;
mod recognise;
mod redis_server;
mod remote;
mod results;
mod state;
mod sweep;
mod table;
mod wasmtimes;

use anyhow::{Context, Result, bail, ensure};
use book::Book;
use groups::{GROUPS, Group};
use load::Load;

/// Most times that a group runs in one go.
const MAX_TIMES: usize = 100;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => run(1, &[]),
        ["run", "--times", times, groups @ ..] => {
            let times = times.parse().ok().filter(|times| (1..=MAX_TIMES).contains(times));
            let times = times.with_context(|| format!("--times is from 1 to {MAX_TIMES}"))?;
            run(times, groups)
        }
        ["run", groups @ ..] => run(1, groups),
        [hogwild::WORKER_ROLE] => hogwild::worker_main(),
        ["table"] => table::write(),
        ["list"] => {
            GROUPS.iter().for_each(|group| println!("{}", group.name));
            Ok(())
        }
        _ => bail!("usage: bench run [--times N] [GROUP...] | table | list"),
    }
}

fn run(times: usize, names: &[&str]) -> Result<()> {
    let mut failed = Vec::new();
    for group in groups::chosen(names)? {
        eprintln!("== {}", group.name);
        // A group that cannot run here takes no other with it, and fails the whole at the end;
        // what it wrote before is left.
        if let Err(error) = measure(group, times) {
            eprintln!("{}: {error:#}", group.name);
            failed.push(group.name);
        }
    }
    ensure!(failed.is_empty(), "these groups did not end: {}", failed.join(", "));
    Ok(())
}

fn measure(group: &Group, times: usize) -> Result<()> {
    let mut runs = Vec::new();
    for _ in 0..times {
        let (mut book, load) = (Book::default(), Load::begin()?);
        (group.run)(&mut book)?;
        load.put(&mut book, group.name)?;
        book.check(group)?;
        runs.push(book);
    }
    results::save(group, Book::middle(&runs).rows())
}
