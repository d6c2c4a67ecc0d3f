//! The monitor is killed at random moments while functions are deployed: what was acknowledged is
//! there and callable afterwards, and what is listed at all is whole.
//!
//! `FAASLET_CRASHES` says how often (20), `FAASLET_SEED` repeats a run.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use faaslet_tests::{Monitor, Site, Tenant, eventually, is_alive, pause};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Times that the monitor is killed.
const CRASHES: u64 = 20;
/// The latest moment, after the first deployment of a round began.
const MAX_LIFE: Duration = Duration::from_millis(250);
/// Names that deployments go to: some replace each other.
const NAMES: u64 = 7;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().map_or(otherwise, |text| text.parse().expect("a number"))
}

/// A module that answers `answer`.
fn module(site: &Site, answer: u64) -> std::path::PathBuf {
    let text = format!(
        r#"(module
          (import "faaslet_v1" "output_set" (func $output_set (param i32 i32) (result i32)))
          (memory (export "memory") 1)
          (data (i32.const 16) "{answer:08}")
          (func (export "faaslet_main") (result i32)
            (call $output_set (i32.const 16) (i32.const 8))))"#
    );
    site.module("numbered.wasm", &text)
}

/// Deploys until the monitor is gone; the answer of each function whose deployment was
/// acknowledged, and last the one that was not.
fn deploy_until_killed(
    tenant: &Tenant,
    modules: &[(String, u64, std::path::PathBuf)],
) -> (BTreeMap<String, u64>, Option<(String, u64)>) {
    let mut acknowledged = BTreeMap::new();
    for (name, answer, module) in modules {
        match tenant.try_deploy(name, module) {
            Some(last) if last["event"] == "deployed" => {
                acknowledged.insert(name.clone(), *answer);
            }
            Some(last) => panic!("{name} was refused: {last}"),
            None => return (acknowledged, Some((name.clone(), *answer))),
        }
    }
    (acknowledged, None)
}

/// Checks all functions: `known` answers as acknowledged, `doubtful` as before or as it would.
fn check(
    monitor: &Monitor<'_>,
    known: &mut BTreeMap<String, u64>,
    doubtful: Option<(String, u64)>,
) {
    let tenant = monitor.default_tenant();
    let call = |name: &str| -> u64 {
        let answer = tenant.call(name, b"");
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        answer.text().parse().unwrap()
    };
    let listed = tenant.get("/v1/functions").json();
    let listed: Vec<String> =
        listed.as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap().to_owned()).collect();
    if let Some((name, answer)) = doubtful
        && listed.contains(&name)
        && call(&name) == answer
    {
        // It was stored, and the answer alone was lost.
        known.insert(name, answer);
    }
    assert_eq!(listed, known.keys().cloned().collect::<Vec<_>>());
    for (name, answer) in known {
        assert_eq!(call(name), *answer, "{name}");
    }
}

fn crash(site: &Site, random: &mut StdRng, next: &mut u64, known: &mut BTreeMap<String, u64>) {
    let monitor = site.up();
    let modules: Vec<_> = (0..12)
        .map(|_| {
            *next += 1;
            let from = module(site, *next);
            let path = site.path(&format!("{next}.wasm"));
            std::fs::rename(from, &path).unwrap();
            (format!("f{}", *next % NAMES), *next, path)
        })
        .collect();
    let tenant = monitor.default_tenant();
    let deploying = std::thread::spawn(move || deploy_until_killed(&tenant, &modules));
    pause(MAX_LIFE.mul_f64(random.random()));
    monitor.kill();
    let (acknowledged, doubtful) = deploying.join().unwrap();
    known.extend(acknowledged);
    let monitor = site.up();
    check(&monitor, known, doubtful);
    monitor.kill();
}

#[test]
fn what_was_acknowledged_survives_the_monitor() {
    let seed = number("FAASLET_SEED", rand::random());
    println!("FAASLET_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let site = Site::new();
    let (mut next, mut known) = (0, BTreeMap::new());
    for _ in 0..number("FAASLET_CRASHES", CRASHES) {
        crash(&site, &mut random, &mut next, &mut known);
    }
    assert!(!known.is_empty(), "no deployment was ever acknowledged: nothing was tested");
}

#[test]
fn cells_and_builders_end_with_the_monitor() {
    let site = Site::new();
    let monitor = site.up();
    monitor.deploy_wat("loop");
    let tenant = monitor.default_tenant();
    let client = tenant.connect().unwrap();
    let looping = std::thread::spawn(move || client.call("loop", &b""[..]));
    monitor.wait_in_flight(1);
    let module = site.wat("refused/init-loop");
    let baking = std::thread::spawn(move || tenant.try_deploy("endless", &module));
    eventually("a cell and a builder run", || monitor.processes().len() >= 2);
    let processes = monitor.processes();
    let groups = monitor.groups();
    monitor.kill();
    eventually("they end with the monitor", || !processes.iter().any(|pid| is_alive(*pid)));
    assert!(looping.join().unwrap().is_err());
    assert!(baking.join().unwrap().is_none());
    let left = site.groups_left().len();
    assert!(left >= groups.len(), "a group of each was there: {groups:?}");
    let monitor = site.up();
    assert_eq!(site.groups_left(), Vec::<PathBuf>::new(), "the next monitor removes them");
    let listed = monitor.default_tenant().get("/v1/functions").json();
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    assert!(Path::new(&site.data()).is_dir());
    monitor.stop();
}
