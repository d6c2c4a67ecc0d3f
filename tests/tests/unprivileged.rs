//! The main job without root: everything but cgroups and granted folders works, and `doctor` says
//! what is lost.
#![allow(clippy::unwrap_used)]

use faaslet_tests::Site;

#[test]
fn a_user_without_root_deploys_and_calls() {
    let site = Site::without_root();
    let monitor = site.up();
    monitor.deploy_wat("counter");
    monitor.deploy("command", &site.wat("command"));
    assert_eq!(monitor.call("counter", "").ok(), b"11");
    assert_eq!(monitor.call("counter", "").ok(), b"11", "the fork is reset");
    let fresh = ["call", "counter", "--data", "", "--mode", "fresh"];
    assert_eq!(monitor.run(&fresh).ok(), b"11");
    let _ = monitor.run(&["ps"]).ok();
    monitor.stop();
}

#[test]
fn every_cell_of_a_user_without_root_has_its_fences() {
    let site = Site::without_root();
    let monitor = site.up();
    monitor.deploy_wat("echo");
    assert_eq!(monitor.call("echo", "x").ok(), b"x");
    let log = monitor.log();
    assert!(!log.contains("cell without a fence"), "{log}");
    monitor.stop();
}

#[test]
fn what_was_deployed_is_there_after_a_restart() {
    let site = Site::without_root();
    let monitor = site.up();
    monitor.deploy_wat("echo");
    monitor.kill();
    let monitor = site.up();
    assert_eq!(monitor.call("echo", "again").ok(), b"again");
    monitor.stop();
}

#[test]
fn doctor_says_what_root_would_add() {
    let site = Site::without_root();
    let doctor = site.run(&["doctor"]);
    let text = String::from_utf8_lossy(&doctor.out).into_owned();
    for part in ["control groups", "detached mounts", "run as root"] {
        assert!(text.contains(part), "{part}: {text} {}", doctor.err);
    }
}
