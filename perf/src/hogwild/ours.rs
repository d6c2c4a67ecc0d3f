//! The training as functions of ours: deployed, chained, on weights in state.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use faaslet_net::client::BlockingClient;
use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;

use super::mails::Mails;
use super::{EPOCHS, Training};
use crate::guests;
use crate::machine::{Memory, children};
use crate::monitor::Monitor;

/// A monitor with the function and the mails.
pub(super) struct Host {
    client: BlockingClient,
    monitor: Monitor,
    /// Declared last: the monitor ends before its folder goes.
    _folder: TempDir,
}

/// What a call answers.
#[derive(Deserialize)]
struct Done {
    examples: u64,
    loss: f64,
    right: u64,
}

impl Host {
    pub(super) fn start(mails: &Mails) -> Result<Self> {
        let folder = TempDir::new()?;
        let monitor = Monitor::up(folder.path())?;
        monitor.deploy("hogwild", &guests::compiled("hogwild")?)?;
        let client = BlockingClient::connect(monitor.client()?)?;
        let host = Self { client, monitor, _folder: folder };
        for (set, batches) in [("train", &mails.train), ("test", &mails.test)] {
            for (batch, mails) in batches.iter().enumerate() {
                let done = host.call(&json!({
                    "do": "keep", "set": set, "batch": batch, "mails": mails,
                }))?;
                ensure!(done.examples == mails.len() as u64, "a batch was kept in part");
            }
        }
        Ok(host)
    }

    fn call(&self, task: &serde_json::Value) -> Result<Done> {
        let answer = self.client.call("hogwild", serde_json::to_vec(task)?)?;
        serde_json::from_slice(&answer.payload).context("expected the function's answer")
    }

    pub(super) fn train(&self, mails: &Mails, workers: u32, rule: &str) -> Result<Training> {
        let model = json!({ "name": format!("{rule}/{workers}"), "sum": rule == "sum" });
        let batches = mails.train.len();
        let expected: usize = mails.train.iter().map(Vec::len).sum();
        let begun = Instant::now();
        let mut epochs = Vec::new();
        for epoch in 0..EPOCHS {
            let done = self.call(&json!({
                "do": "epoch", "model": model, "set": "train", "batches": batches,
                "workers": workers, "epoch": epoch,
            }))?;
            ensure!(done.examples == expected as u64, "an epoch saw {} mails", done.examples);
            epochs.push((done.loss / done.examples as f64, begun.elapsed().as_secs_f64()));
        }
        let memory_mib = self.memory_mib()?;
        let judged = self.call(&json!({
            "do": "judge", "model": model, "set": "test", "batches": mails.test.len(),
        }))?;
        let accuracy = judged.right as f64 / judged.examples as f64;
        // One host: nothing crosses a socket but the driver's own calls.
        Ok(Training { accuracy, epochs, bytes: 0, memory_mib })
    }

    /// Of the monitor and its cell.
    fn memory_mib(&self) -> Result<f64> {
        let all = std::iter::once(self.monitor.pid()).chain(children(self.monitor.pid()));
        let kib: u64 = all.map(|pid| Ok(Memory::of(pid)?.pss_kib)).sum::<Result<u64>>()?;
        Ok(kib as f64 / 1024.0)
    }
}
