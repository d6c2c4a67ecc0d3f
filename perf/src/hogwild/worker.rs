//! A worker process of the training on Redis: a job on the first line of its standard input, then
//! the number of an epoch on each, answered by a line with examples and loss.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Child;

use anyhow::{Context, Result, ensure};
use hogwild_model::{Weights, learn, rate};
use redis::{Connection, cmd, pipe};
use serde::{Deserialize, Serialize};

use super::mails::Example;
use super::server::WEIGHTS;
use crate::redis_server;

/// First argument of such a process.
pub(crate) const ROLE: &str = "__redis-worker";
/// Changed weights closer than this are written as one range: a command costs more than they do.
const GAP: u32 = 16;

/// What a worker is told.
#[derive(Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) socket: PathBuf,
    /// Write changed ranges alone.
    pub(super) ranges: bool,
    pub(super) batches: Vec<Vec<Example>>,
}

/// Weights, and which of them changed since they were last written.
struct Local {
    weights: Vec<f32>,
    changed: BTreeSet<u32>,
}

impl Weights for Local {
    fn get(&self, column: u32) -> f32 {
        self.weights[column as usize]
    }

    fn add(&mut self, column: u32, amount: f32) {
        self.weights[column as usize] += amount;
        self.changed.insert(column);
    }
}

/// Runs a worker until its standard input ends.
pub(crate) fn main() -> Result<()> {
    let mut lines = std::io::stdin().lines();
    let job: Job = serde_json::from_str(&lines.next().context("expected a job")??)?;
    let mut connection = redis_server::connect_unix(&job.socket)?;
    let mut out = std::io::stdout();
    for line in lines {
        let (examples, loss) = job.epoch(&mut connection, line?.trim().parse()?)?;
        writeln!(out, "{examples} {loss}")?;
        out.flush()?;
    }
    Ok(())
}

/// What a worker answered to an epoch.
pub(super) fn told(child: &mut Child) -> Result<(u64, f64)> {
    let stdout = child.stdout.as_mut().context("no standard output")?;
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\n") {
        ensure!(stdout.read(&mut byte)? == 1, "a worker ended early");
        line.push(byte[0]);
    }
    let text = String::from_utf8(line)?;
    let (examples, loss) = text.trim().split_once(' ').context("expected examples and loss")?;
    Ok((examples.parse()?, loss.parse()?))
}

impl Job {
    /// Reads the weights once, and writes after each batch.
    fn epoch(&self, connection: &mut Connection, epoch: u32) -> Result<(u64, f64)> {
        let bytes: Vec<u8> = cmd("GET").arg(WEIGHTS).query(connection)?;
        let mut local = Local { weights: decoded(&bytes), changed: BTreeSet::new() };
        let (mut examples, mut loss) = (0, 0.0);
        for batch in &self.batches {
            for (row, class) in batch {
                loss += f64::from(learn(&mut local, row, *class, rate(epoch)));
                examples += 1;
            }
            self.write(connection, &mut local)?;
        }
        Ok((examples, loss))
    }

    fn write(&self, connection: &mut Connection, local: &mut Local) -> Result<()> {
        if !self.ranges {
            local.changed.clear();
            let bytes = encoded(&local.weights);
            return Ok(cmd("SET").arg(WEIGHTS).arg(bytes).exec(connection)?);
        }
        let mut pipeline = pipe();
        for (first, last) in ranges(&std::mem::take(&mut local.changed)) {
            let bytes = encoded(&local.weights[first as usize..=last as usize]);
            let at = first as usize * size_of::<f32>();
            pipeline.cmd("SETRANGE").arg(WEIGHTS).arg(at).arg(bytes).ignore();
        }
        Ok(pipeline.exec(connection)?)
    }
}

/// Runs of columns with gaps of at most [`GAP`].
fn ranges(columns: &BTreeSet<u32>) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for column in columns {
        match runs.last_mut() {
            Some((_, last)) if column - *last <= GAP => *last = *column,
            _ => runs.push((*column, *column)),
        }
    }
    runs
}

fn encoded(weights: &[f32]) -> Vec<u8> {
    weights.iter().flat_map(|weight| weight.to_le_bytes()).collect()
}

pub(super) fn decoded(bytes: &[u8]) -> Vec<f32> {
    let weight = |bytes: &[u8]| bytes.try_into().map_or(0.0, f32::from_le_bytes);
    bytes.chunks_exact(size_of::<f32>()).map(weight).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_close_is_one_range() {
        let columns = BTreeSet::from([1, 2, 18, 40]);
        assert_eq!(ranges(&columns), [(1, 18), (40, 40)]);
        assert_eq!(decoded(&encoded(&[1.5, -2.0])), [1.5, -2.0]);
    }
}
