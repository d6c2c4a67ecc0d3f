//! The training in processes that keep the weights in Redis: a server of our own on a unix socket,
//! and a process for each worker, this program again.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use redis::{Connection, cmd};

use super::mails::{Mails, examples};
use super::worker::{self, Job};
use super::{EPOCHS, Training, plain};
use crate::machine::Memory;
use crate::redis_server::{RedisServer, Socket};

/// The key of the weights.
pub(super) const WEIGHTS: &str = "weights";

/// How a worker writes what it has learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// All weights.
    Whole,
    /// The ranges that changed, pipelined.
    Ranges,
}

impl Way {
    pub(super) fn name(self) -> &'static str {
        if self == Self::Whole { "whole" } else { "ranges" }
    }
}

/// The training on a server.
pub(super) struct Trainer {
    server: RedisServer,
}

impl Trainer {
    pub(super) fn start() -> Result<Self> {
        Ok(Self { server: RedisServer::start(&[])? })
    }

    pub(super) fn train(&self, mails: &Mails, workers: u32, way: Way) -> Result<Training> {
        let mut connection = self.server.connect(Socket::Unix)?;
        let zeros = vec![0_u8; hogwild_model::FEATURES * size_of::<f32>()];
        cmd("SET").arg(WEIGHTS).arg(zeros).exec(&mut connection)?;
        let mut started = self.workers(mails, workers, way)?;
        let before = traffic(&mut connection)?;
        let begun = Instant::now();
        let mut epochs = Vec::new();
        for epoch in 0..EPOCHS {
            let done = started.epoch(epoch)?;
            let expected: usize = mails.train.iter().map(Vec::len).sum();
            ensure!(done.0 == expected as u64, "an epoch saw {} mails", done.0);
            epochs.push((done.1 / done.0 as f64, begun.elapsed().as_secs_f64()));
        }
        let bytes = traffic(&mut connection)? - before;
        let memory_mib =
            (started.pss_kib()? + Memory::of(self.server.pid())?.pss_kib) as f64 / 1024.0;
        started.end()?;
        let weights: Vec<u8> = cmd("GET").arg(WEIGHTS).query(&mut connection)?;
        let accuracy = plain::judge(&worker::decoded(&weights), &examples(&mails.test));
        Ok(Training { accuracy, epochs, bytes, memory_mib })
    }

    /// Starts the workers and gives them their batches, before the clock runs.
    fn workers(&self, mails: &Mails, workers: u32, way: Way) -> Result<Workers> {
        let batches = examples(&mails.train);
        let mut started = Workers { all: Vec::new() };
        for worker in 0..workers {
            let part = batches.iter().skip(worker as usize).step_by(workers as usize);
            let job = Job {
                socket: self.server.socket(),
                ranges: way == Way::Ranges,
                batches: part.cloned().collect(),
            };
            started.start(&job)?;
        }
        Ok(started)
    }
}

/// Bytes that the server has received and sent so far.
fn traffic(connection: &mut Connection) -> Result<u64> {
    let info: String = cmd("INFO").arg("stats").query(connection)?;
    let of = |name: &str| -> Result<u64> {
        let value = info.lines().find_map(|line| line.strip_prefix(name));
        let value = value.with_context(|| format!("redis says no {name}"))?;
        Ok(value.trim().parse()?)
    };
    Ok(of("total_net_input_bytes:")? + of("total_net_output_bytes:")?)
}

/// Worker processes; ended when they are dropped.
struct Workers {
    all: Vec<Child>,
}

impl Workers {
    fn start(&mut self, job: &Job) -> Result<()> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(worker::ROLE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let line = serde_json::to_string(job)?;
        let sent = child.stdin.as_mut().map(|stdin| writeln!(stdin, "{line}"));
        self.all.push(child);
        match sent {
            Some(sent) => sent.context("a worker ended early"),
            None => bail!("a worker has no standard input"),
        }
    }

    /// Examples and loss of one epoch.
    fn epoch(&mut self, epoch: u32) -> Result<(u64, f64)> {
        for child in &mut self.all {
            let stdin = child.stdin.as_mut().context("no standard input")?;
            writeln!(stdin, "{epoch}")?;
        }
        let mut sum = (0, 0.0);
        for child in &mut self.all {
            let (examples, loss) = worker::told(child)?;
            sum = (sum.0 + examples, sum.1 + loss);
        }
        Ok(sum)
    }

    fn pss_kib(&self) -> Result<u64> {
        self.all.iter().map(|child| Ok(Memory::of(child.id())?.pss_kib)).sum()
    }

    fn end(mut self) -> Result<()> {
        for child in &mut self.all {
            drop(child.stdin.take());
            ensure!(child.wait()?.success(), "a worker failed");
        }
        self.all.clear();
        Ok(())
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for child in &mut self.all {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
