//! Redis with the same values: by unix socket and TCP, one request at a time and pipelined, with
//! each of its settings that matter here, and durable.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use redis::{Connection, Pipeline, cmd, pipe};

use crate::book::Book;
use crate::measure::{self, Times};
use crate::redis_server::{RedisServer, Socket};

/// Time of one measurement.
const TIME: Duration = Duration::from_millis(300);
/// Commands that are sent together.
const PIPELINED: usize = 64;
/// Bytes of values, with their names.
const SIZES: [(&str, usize); 3] = [("64", 64), ("4kib", 4096), ("1mib", 1 << 20)];
/// What writes to the disk before it answers, as durable values do.
const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];
/// Settings that are tried, with their names. Nothing else of its settings has a part in commands
/// on one value.
const SWEEP: [(&str, &[&str]); 4] = [
    ("default", &[]),
    ("io2", &["--io-threads", "2"]),
    ("io2_reads", &["--io-threads", "2", "--io-threads-do-reads", "yes"]),
    ("quiet", &["--hz", "1", "--dynamic-hz", "no", "--activerehashing", "no"]),
];

pub(super) fn run(book: &mut Book) -> Result<()> {
    for (name, settings) in SWEEP {
        let server = RedisServer::start(settings)?;
        let mut connection = server.connect(Socket::Unix)?;
        for write in [false, true] {
            let row = format!("state.redis.sweep.{name}.{}", verb(write));
            book.put(&row, pipelined(&mut connection, write)?, "1/s");
        }
    }
    let server = RedisServer::start(&[])?;
    for by in Socket::BOTH {
        let mut connection = server.connect(by)?;
        for write in [false, true] {
            let row = format!("state.redis.{}.{}", by.name(), verb(write));
            for (name, bytes) in SIZES {
                let times = one(&mut connection, write, bytes)?;
                // Beside figures of ours in this unit.
                let (value, unit) = match name {
                    "64" => (times.p50_us() * 1000.0, "ns"),
                    _ => (times.p50_us(), "µs"),
                };
                book.put(&format!("{row}.{name}"), value, unit);
            }
            book.put(&format!("{row}.pipelined"), pipelined(&mut connection, write)?, "1/s");
        }
    }
    let server = RedisServer::start(&DURABLE)?;
    let mut connection = server.connect(Socket::Unix)?;
    let times = one(&mut connection, true, 4096)?;
    book.put("state.redis.durable.one.rate", 1e6 / times.p50_us(), "1/s");
    book.put("state.redis.durable.64.rate", rate(&mut connection, &batch(true, 4096))?, "1/s");
    Ok(())
}

fn verb(write: bool) -> &'static str {
    if write { "set" } else { "get" }
}

/// One command after the other.
fn one(connection: &mut Connection, write: bool, bytes: usize) -> Result<Times> {
    let value = vec![7_u8; bytes];
    cmd("SET").arg("value").arg(&value).exec(connection)?;
    measure::times(TIME, || {
        if write {
            return Ok(cmd("SET").arg("value").arg(&value).exec(connection)?);
        }
        let got: Vec<u8> = cmd("GET").arg("value").query(connection)?;
        ensure!(got.len() == bytes, "expected {bytes} bytes; found {}", got.len());
        Ok(())
    })
}

/// Commands a second on 64 bytes, so many sent together.
fn pipelined(connection: &mut Connection, write: bool) -> Result<f64> {
    batch(true, 64).exec(connection)?;
    rate(connection, &batch(write, 64))
}

fn batch(write: bool, bytes: usize) -> Pipeline {
    let (mut pipeline, value) = (pipe(), vec![7_u8; bytes]);
    for number in 0..PIPELINED {
        match write {
            true => pipeline.cmd("SET").arg(number).arg(&value).ignore(),
            false => pipeline.cmd("GET").arg(number).ignore(),
        };
    }
    pipeline
}

fn rate(connection: &mut Connection, batch: &Pipeline) -> Result<f64> {
    let (begun, mut batches) = (Instant::now(), 0);
    while begun.elapsed() < TIME {
        batch.exec(connection)?;
        batches += PIPELINED;
    }
    Ok(batches as f64 / begun.elapsed().as_secs_f64())
}
