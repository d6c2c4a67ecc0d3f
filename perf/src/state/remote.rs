//! Requests to an owner on another host, beside a bare echo of the same bytes: from monitor to
//! monitor in this process, and from a function of one monitor to the owner in another.
//!
//! A function's push is its write of 4 KiB, the search for what changed, and the request. Its pull
//! is the first read of a version that it has opened, without what it costs to open and close one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use faaslet_net::client::BlockingClient;
use faaslet_state::Durability;
use faaslet_vmm::monitor::state::{States, StatesConfig};

use super::cell::input;
use super::requests::{Ask, Asker};
use crate::book::Book;
use crate::hosts::Hosts;
use crate::measure::middle;
use crate::{guests, quic};

/// Requests one after the other.
const REQUESTS: u64 = 10_000;
/// Requests of many at a time.
const MANY_REQUESTS: u64 = 300_000;
/// Of how many values, at a time.
const IN_FLIGHT: usize = 64;
/// Keys that are tried until so many belong to the other host.
const MAX_KEYS: usize = 100 * IN_FLIGHT;
const TENANT: &str = "default";

/// Things that the guest does, by their number.
const PUSH: u32 = 9;
const OPEN: u32 = 10;
const OPEN_AND_PULL: u32 = 11;
/// How often in one call.
const TIMES: u32 = 400;
/// Values with which each is done; the middle one counts.
const VALUES: usize = 9;

pub(super) fn run(book: &mut Book) -> Result<()> {
    for (name, there, back) in [("push", 4096, 64), ("pull", 64, 4096)] {
        let echo = quic::echo(there, back, REQUESTS)?;
        book.put(&format!("state.quinn.{name}"), echo.times.p50_us(), "µs");
        book.put(&format!("state.quinn.{name}.rate"), echo.rate, "1/s");
    }
    let hosts = Hosts::on_loopback()?;
    let keys = between_monitors(book, &hosts)?;
    between_functions(book, &hosts, &keys)
}

/// The keys of the other host that it found.
fn between_monitors(book: &mut Book, hosts: &Hosts) -> Result<Vec<String>> {
    let open = |number: usize| -> Result<Arc<States>> {
        let peers = Some(hosts.peers(number)?);
        let dir = hosts.dir(number).join("alone");
        std::fs::create_dir_all(&dir)?;
        Ok(States::open(&StatesConfig { peers, ..StatesConfig::new(dir) })?)
    };
    let (one, two) = (open(0)?, open(1)?);
    let asker = Asker::new(one.begin(TENANT));
    let keys = keys_of(&asker, &two)?;
    for (name, ask) in [("push", Ask::Push), ("pull", Ask::Pull)] {
        let one = asker.chain(&keys[..1], ask, REQUESTS)?;
        let name = |what: &str| format!("state.{what}.{name}");
        let (row, echo) = (name("remote"), name("quinn"));
        book.put_against(&row, one.times.p50_us(), "µs", &echo);
        let many = asker.chain(&keys, ask, MANY_REQUESTS / 3)?;
        book.put_against(&format!("{row}.rate"), many.rate, "1/s", &format!("{echo}.rate"));
    }
    let many = asker.chain(&keys, Ask::Stat, MANY_REQUESTS)?;
    book.put("state.remote.stat.rate", many.rate, "1/s");
    one.stop()?;
    two.stop()?;
    Ok(keys)
}

/// Keys that another host owns.
fn keys_of(asker: &Asker, owner: &States) -> Result<Vec<String>> {
    let mut keys = Vec::new();
    for number in 0..MAX_KEYS {
        let (before, key) = (owner.usage(TENANT).values, format!("key/{number}"));
        asker.make(&key, Durability::Memory)?;
        if owner.usage(TENANT).values > before {
            keys.push(key);
        }
        if keys.len() == IN_FLIGHT {
            return Ok(keys);
        }
    }
    ensure!(false, "expected {IN_FLIGHT} of {MAX_KEYS} keys to be the other host's");
    Ok(keys)
}

fn between_functions(book: &mut Book, hosts: &Hosts, keys: &[String]) -> Result<()> {
    let (one, _two) = (hosts.up(0)?, hosts.up(1)?);
    one.deploy("state", &guests::own("state")?)?;
    let client = BlockingClient::connect(one.client()?)?;
    let push = each(&client, PUSH, &keys[..VALUES])?;
    book.put_against("state.remote.push.guest", push, "µs", "state.quinn.push");
    let open = each(&client, OPEN, &keys[VALUES..2 * VALUES])?;
    book.put_against("state.remote.open.guest", open, "µs", "state.quinn.push");
    let both = each(&client, OPEN_AND_PULL, &keys[2 * VALUES..3 * VALUES])?;
    book.put_against("state.remote.pull.guest", both - open, "µs", "state.quinn.pull");
    Ok(())
}

/// Microseconds of one of so many, without what the call costs around them.
fn each(client: &BlockingClient, what: u32, keys: &[String]) -> Result<f64> {
    let took = |times: u32, key: &str| -> Result<Duration> {
        let begun = Instant::now();
        client.call("state", input(what, times, key)).context("the guest of state")?;
        Ok(begun.elapsed())
    };
    let mut micros = Vec::new();
    for key in keys {
        took(1, key)?;
        let (one, all) = (took(1, key)?, took(1 + TIMES, key)?);
        micros.push(all.saturating_sub(one).as_nanos() as f64 / 1000.0 / f64::from(TIMES));
    }
    Ok(middle(micros))
}
