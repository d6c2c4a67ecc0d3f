//! A disk that is full while a function is deployed.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use faaslet_tests::{Monitor, Site};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// The monitor's disk: what a store keeps free of files and more than two deployments beside it.
const DISK_BYTES: u64 = 48 << 20;
/// What the function that finds no room has in its module, and again in its image.
const DATA_BYTES: usize = 4 << 20;
/// Room is left in steps of so much, so that it runs out in every step of a deployment.
const STEP_BYTES: usize = 1 << 20;

/// Gives this thread, and what it starts, a small disk at a folder. False where that needs rights
/// that nobody has here.
fn small_disk(folder: &Path) -> bool {
    if let Err(error) = unshare(CloneFlags::CLONE_NEWNS) {
        println!("skipped: no mount namespace for this user ({error})");
        return false;
    }
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
    fs::create_dir(folder).unwrap();
    let size = format!("size={DISK_BYTES}");
    mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::empty(), Some(size.as_str())).unwrap();
    true
}

/// Fills the disk to the last byte, but for so many.
fn fill(file: &Path, but: usize) {
    let _ = fs::remove_file(file);
    let mut filler = File::create(file).unwrap();
    let part = vec![1; 64 << 10];
    while filler.write_all(&part).is_ok() {}
    let length = filler.metadata().unwrap().len();
    filler.set_len(length - (but as u64).min(length)).unwrap();
}

/// A module of which neither pages nor bytes are zeros.
fn large(site: &Site) -> std::path::PathBuf {
    let data: String = (0..DATA_BYTES).map(|at| char::from(b'a' + (at % 23) as u8)).collect();
    let text = format!(
        r#"(module (memory (export "memory") 80) (data (i32.const 0) "{data}")
        (func (export "faaslet_main") (result i32) i32.const 0))"#
    );
    site.module("large.wasm", &text)
}

fn functions(monitor: &Monitor<'_>) -> Vec<String> {
    let listed = monitor.run(&["--json", "ps"]).json();
    let name = |function: &serde_json::Value| function["name"].as_str().unwrap().to_owned();
    listed.as_array().unwrap().iter().map(name).collect()
}

#[test]
fn a_deployment_that_finds_the_disk_full_leaves_nothing_and_works_once_there_is_room() {
    let site = Site::new();
    if !small_disk(&site.data()) {
        return;
    }
    let monitor = site.up();
    monitor.deploy_wat("counter");
    let (module, filler) = (large(&site), site.data().join("filler"));
    let mut refusals = 0;
    for left in (0..).map(|step| step * STEP_BYTES) {
        fill(&filler, left);
        let deployed = monitor.deploy_with("large", &module, &[]);
        if deployed.code == Some(0) {
            break;
        }
        refusals += 1;
        assert!(
            deployed.err.contains("on the disk of the store"),
            "{left} bytes left: {deployed:?}"
        );
        assert_eq!(functions(&monitor), ["counter"], "{left} bytes left");
        assert_eq!(fs::read_dir(site.data().join("tmp")).unwrap().count(), 0, "{left} bytes left");
        assert_eq!(monitor.call("large", "").code, Some(4), "{left} bytes left");
        assert_eq!(monitor.call("counter", "").text(), "11", "{left} bytes left");
    }
    println!("refused {refusals} times");
    assert!(refusals > DATA_BYTES / STEP_BYTES, "refused {refusals} times only");
    fs::remove_file(&filler).unwrap();
    assert_eq!(functions(&monitor), ["counter", "large"]);
    let _ = monitor.call("large", "").ok();
    monitor.stop();
}
