//! The disk of a store: what is collected by itself, and what is refused when it is full.

use std::fs;
use std::path::PathBuf;

use faaslet_tests::{Monitor, Site, eventually};

/// A module that no other is like.
fn module(site: &Site, seed: usize) -> PathBuf {
    let text = format!(
        r#"(module (memory (export "memory") 1) (data (i32.const 8) "{seed}")
        (func (export "faaslet_main") (result i32) i32.const 0))"#
    );
    site.module(&format!("module-{seed}.wasm"), &text)
}

fn versions(monitor: &Monitor<'_>) -> Vec<u64> {
    let versions = monitor.run(&["--json", "versions", "f"]).json();
    let version = |version: &serde_json::Value| version["version"].as_u64().unwrap();
    versions.as_array().unwrap().iter().map(version).collect()
}

/// Makes all files older than any grace.
fn age(site: &Site) {
    for folder in ["modules", "artefacts", "images", "plans"] {
        for file in fs::read_dir(site.data().join(folder)).unwrap() {
            let file = fs::File::open(file.unwrap().path()).unwrap();
            let long_ago = fs::FileTimes::new().set_modified(std::time::SystemTime::UNIX_EPOCH);
            file.set_times(long_ago).unwrap();
        }
    }
}

#[test]
fn old_versions_and_their_files_go_by_themselves() {
    let site = Site::new();
    let monitor = site.up_with(&["--keep-versions", "1"]);
    for seed in 0..3 {
        monitor.deploy("f", &module(&site, seed));
    }
    eventually("the oldest version is collected", || versions(&monitor) == [2, 3]);
    age(&site);
    monitor.deploy("f", &module(&site, 3));
    eventually("one more is", || versions(&monitor) == [3, 4]);
    let images = || fs::read_dir(site.data().join("images")).unwrap().count();
    eventually("and the files of both", || images() == 2);
    monitor.stop();
}

#[test]
fn a_store_over_its_budget_lets_old_versions_go_and_then_takes_no_more() {
    let site = Site::new();
    let monitor = site.up();
    for seed in 0..3 {
        monitor.deploy("f", &module(&site, seed));
    }
    assert_eq!(versions(&monitor), [1, 2, 3]);
    monitor.stop();
    age(&site);
    // Less than one version has.
    let monitor = site.up_with(&["--disk-budget", "1K"]);
    eventually("all but the current version go", || versions(&monitor) == [3]);
    let full = monitor.deploy_with("f", &module(&site, 4), &[]);
    assert!(full.code != Some(0) && full.err.contains("--disk-budget"), "{full:?}");
    let _ = monitor.call("f", "").ok();
    let _ = monitor.run(&["rm", "f"]).ok();
    monitor.deploy("f", &module(&site, 5));
    monitor.stop();
}

#[test]
fn uploads_that_nothing_uses_are_bounded_for_each_tenant() {
    let site = Site::new();
    let monitor = site.up_with(&["--upload-quota", "1M"]);
    let (tenant, other) = (monitor.default_tenant(), monitor.add_tenant("other"));
    let upload = |tenant: &faaslet_tests::Tenant, seed: u8| {
        tenant.ask("POST", "/v1/modules", &[], &vec![seed; 600 << 10])
    };
    assert_eq!(upload(&tenant, 1).status, 200);
    let refused = upload(&tenant, 2);
    assert_eq!((refused.status, refused.problem().as_str()), (507, "disk-full"));
    assert_eq!(upload(&other, 3).status, 200, "another tenant has its own");
    assert_eq!(fs::read_dir(site.data().join("tmp")).unwrap().count(), 0);
    // What a function uses does not count.
    for seed in 0..3 {
        monitor.deploy("f", &module(&site, seed));
    }
    monitor.stop();
}
