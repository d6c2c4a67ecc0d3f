//! `chain_other`: what a call from function to function costs when another worker runs it, which
//! is awake because it has just run one.
//!
//! A real cell with two workers. The function makes two calls at a time: its own worker takes the
//! first, and the second goes to the other worker, as the product has it. Between pairs it works
//! for about [`PAUSE`], in which the other worker puts its slot back and looks for work, and does
//! not fall asleep yet. What a pair takes longer than the function that it calls is the row: it
//! holds the way there and back, and what of the first call does not run beside the second.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use faaslet_net::client::BlockingClient;
use tempfile::TempDir;

use crate::book::Book;
use crate::guests;
use crate::machine::{children, cores, thread_time};
use crate::measure::middle;
use crate::monitor::Monitor;

/// Pairs that the longer call makes beyond the shorter one.
const MORE: u8 = 100;
/// Calls of each kind.
const CALLS: usize = 200;
/// Time between two pairs.
const PAUSE: Duration = Duration::from_micros(2);
/// Steps of the guest's work for which its time is looked at first.
const TRIAL_STEPS: u32 = 10_000;
/// The thread of the worker that gets no call from outside while the first is free.
const OTHER: &str = "worker 1";

pub(crate) fn run(book: &mut Book) -> Result<()> {
    ensure!(cores() >= 2, "two workers that are awake need two cores");
    let folder = TempDir::new()?;
    let monitor = Monitor::up(folder.path())?;
    monitor.deploy("noop", &guests::text("noop")?)?;
    monitor.deploy("pair", &guests::own("chain-pair")?)?;
    let client = BlockingClient::connect(monitor.client()?)?;
    let trial = each(&client, false, TRIAL_STEPS)?;
    let steps = (f64::from(TRIAL_STEPS) * PAUSE.as_secs_f64() * 1e6 / trial) as u32;
    let work = each(&client, false, steps)?;
    let cell = children(monitor.pid());
    let cell = *cell.first().context("the monitor has no cell after calls")?;
    let before = thread_time(cell, OTHER)?;
    let pair = each(&client, true, steps)? - work;
    let spent = thread_time(cell, OTHER)?.saturating_sub(before);
    let callee = callee(&client)?;
    book.put("chain.pair", pair, "µs");
    // Were its pairs not run there, the other worker would have slept.
    let there = spent.as_secs_f64() * 1e6 / (CALLS as f64 * f64::from(1 + MORE + 1));
    book.put("chain.pair.core", there, "µs");
    ensure!(there > callee / 2.0, "the other worker had nothing to do: {there:.2} µs a pair");
    book.put("chain.local.other", pair - callee, "µs");
    Ok(())
}

/// Microseconds of one turn of the guest's loop.
fn each(client: &BlockingClient, pairs: bool, steps: u32) -> Result<f64> {
    let (mut short, mut long) = (Vec::new(), Vec::new());
    for _ in 0..CALLS {
        short.push(ran(client, 1, pairs, steps)?);
        long.push(ran(client, 1 + MORE, pairs, steps)?);
    }
    Ok((middle(long) - middle(short)) / f64::from(MORE))
}

/// Microseconds that the guest ran, as its cell says.
fn ran(client: &BlockingClient, count: u8, pairs: bool, steps: u32) -> Result<f64> {
    let input = [&[count, u8::from(pairs)][..], &steps.to_le_bytes()].concat();
    let reply = client.call("pair", input)?;
    ensure!(reply.payload.is_empty(), "pair answered {:?}", reply.payload);
    Ok(reply.timings.run.as_secs_f64() * 1e6)
}

/// Microseconds that the function runs which is called.
fn callee(client: &BlockingClient) -> Result<f64> {
    let mut all = Vec::new();
    for _ in 0..CALLS {
        all.push(client.call("noop", &b""[..])?.timings.run.as_secs_f64() * 1e6);
    }
    Ok(middle(all))
}
