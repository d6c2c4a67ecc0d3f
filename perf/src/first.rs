//! `first`: a tenant's first call, for which there is no cell yet, by step.
//!
//! The steps are timed by the product, which logs them; the call by the client. A monitor that has
//! just started serves each call, so nothing is kept from the one before but files in memory.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use faaslet_net::client::BlockingClient;
use serde_json::Value;
use tempfile::TempDir;

use crate::book::Book;
use crate::guests;
use crate::measure::middle;
use crate::monitor::Monitor;

/// First calls.
const CALLS: usize = 9;
/// What the monitor is to log.
const LOG: &str = "faaslet_vmm::monitor=debug";

/// Steps that the log has: row and field.
const STEPS: &[(&str, &str)] = &[
    ("spawn", "spawn_us"),
    ("jail", "jail_us"),
    ("engine", "engine_us"),
    ("open", "open_us"),
    ("artefact", "artefact_us"),
    ("image", "image_us"),
];

/// Microseconds by name.
type Times = BTreeMap<&'static str, f64>;

pub(crate) fn run(book: &mut Book) -> Result<()> {
    let folder = TempDir::new()?;
    Monitor::up(folder.path())?.deploy("noop", &guests::text("noop")?)?;
    let calls = (0..CALLS).map(|_| call(&folder)).collect::<Result<Vec<_>>>()?;
    let order = [
        "spawn",
        "process",
        "jail",
        "engine",
        "open",
        "artefact",
        "image",
        "hand_over",
        "fork",
        "run",
        "rest",
        "whole",
        "warm",
    ];
    for name in order {
        let values = calls.iter().map(|call| call[name]).collect();
        book.put(&format!("first.{name}"), middle(values), "µs");
    }
    Ok(())
}

/// A first call and, behind it, a second one.
fn call(folder: &TempDir) -> Result<Times> {
    let log = folder.path().join("log.json");
    let monitor = Monitor::up_logging(folder.path(), LOG, &log)?;
    let client = BlockingClient::connect(monitor.client()?)?;
    let timed = || -> Result<(f64, f64)> {
        let begun = Instant::now();
        let reply = client.call("noop", &b""[..])?;
        let took = begun.elapsed();
        ensure!(reply.payload.is_empty(), "noop answered {:?}", reply.payload);
        Ok((took.as_secs_f64() * 1e6, reply.timings.run.as_secs_f64() * 1e6))
    };
    let ((whole, run), (warm, _)) = (timed()?, timed()?);
    drop((client, monitor));
    let logged = fields(&std::fs::read_to_string(&log)?)?;
    steps(&logged, whole, run, warm)
}

/// Takes a call apart. What is inside another time is taken off it: the times of the cell's own
/// steps off the time that the monitor waited for them.
fn steps(logged: &BTreeMap<String, f64>, whole: f64, run: f64, warm: f64) -> Result<Times> {
    let field = |name: &str| {
        let value = logged.get(name).copied();
        value.with_context(|| format!("the monitor logged no {name}"))
    };
    let mut times = Times::new();
    for (step, name) in STEPS {
        times.insert(step, field(name)?);
    }
    times.insert("process", field("ready_us")? - times["jail"] - times["engine"]);
    times.insert("hand_over", field("given_us")? - times["artefact"] - times["image"]);
    times.insert("fork", field("answered_us")? - run);
    times.insert("run", run);
    let known: f64 = times.values().sum();
    times.insert("rest", whole - known);
    times.insert("whole", whole);
    times.insert("warm", warm);
    Ok(times)
}

/// The fields of a JSON log that are times.
fn fields(log: &str) -> Result<BTreeMap<String, f64>> {
    let mut all = BTreeMap::new();
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        for (name, value) in line["fields"].as_object().into_iter().flatten() {
            if let Some(us) = value.as_f64().filter(|_| name.ends_with("_us")) {
                all.insert(name.clone(), us);
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_add_up_to_the_whole() {
        let log = r#"{"fields":{"message":"m","spawn_us":10,"ready_us":100,"jail_us":40,"engine_us":30}}
{"fields":{"open_us":5,"given_us":50,"other":1}}
{"fields":{"artefact_us":20,"image_us":10}}
{"fields":{"answered_us":8}}"#;
        let logged = fields(log).unwrap();
        assert!(!logged.contains_key("other"));
        let times = steps(&logged, 200.0, 2.0, 50.0).unwrap();
        assert_eq!((times["process"], times["hand_over"], times["fork"]), (30.0, 20.0, 6.0));
        let parts = times.iter().filter(|(name, _)| !["whole", "warm"].contains(name));
        assert_eq!(parts.map(|(_, value)| value).sum::<f64>() as u64, 200);
        assert!(steps(&BTreeMap::new(), 1.0, 1.0, 1.0).is_err());
    }
}
