//! Commands beside the main ones.

use std::process::Command;

use faaslet_tests::{Site, eventually};
use serde_json::json;

#[test]
fn the_doctor_names_each_thing_with_what_its_lack_costs() {
    let site = Site::new();
    let checks = site.run(&["--json", "doctor"]).json();
    let checks = checks.as_array().unwrap();
    let names: Vec<_> = checks.iter().filter_map(|check| check["name"].as_str()).collect();
    for name in ["kernel", "memfd", "page map", "guest toolchain"] {
        assert!(names.contains(&name), "{names:?}");
    }
    let lacking = checks.iter().filter(|check| check["good"] == false);
    for check in lacking {
        assert!(check["loss"] != "" && check["mend"] != "", "{check}");
    }
    assert!(site.run(&["doctor"]).text().contains("kernel"));
}

#[test]
fn completions_are_a_script_that_the_shell_reads() {
    let site = Site::new();
    let script = site.file("completions", &site.run(&["completions", "bash"]).ok());
    let read = Command::new("bash").arg("-n").arg(&script).output().unwrap();
    assert!(read.status.success(), "{read:?}");
    let text = std::fs::read_to_string(script).unwrap();
    assert!(text.contains("tenant") && text.contains("--low-latency"));
}

#[test]
fn a_folder_is_built_and_deployed_under_its_name() {
    let site = Site::new();
    let monitor = site.up();
    let _ = site.run(&["new", "--lang", "c", "greeting"]).ok();
    let mut deploy = site.command(&["deploy", "greeting"]);
    for name in ["HOME", "PATH", "XDG_CACHE_HOME", "FAASLET_TOOLCHAIN"] {
        // The compilers lie in the cache of whoever runs the tests.
        if let Some(value) = std::env::var_os(name) {
            deploy.env(name, value);
        }
    }
    let output = deploy.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let called = monitor.run(&["call", "greeting", "--data", "Ada"]);
    assert!(!called.ok().is_empty());
    monitor.stop();
}

#[test]
fn a_warm_up_call_is_part_of_the_image() {
    let site = Site::new();
    let monitor = site.up();
    let input = site.file("input", b"");
    let warm = ["--warm", input.to_str().unwrap(), "--warm", input.to_str().unwrap()];
    let _ = monitor.deploy_with("f", &site.wat("counter"), &warm).ok();
    for _ in 0..2 {
        assert_eq!(monitor.call("f", "").text(), "33", "two calls went before each");
    }
    monitor.stop();
}

#[test]
fn a_list_counts_the_warm_slots_of_each_function() {
    let site = Site::new();
    let monitor = site.up_with(&["--workers", "1"]);
    for name in ["echo", "counter", "noop"] {
        monitor.deploy_wat(name);
    }
    let _ = (monitor.call("echo", "x").ok(), monitor.call("counter", "").ok());
    eventually("the list shows one warm slot of each that was called", || {
        let listed = monitor.run(&["--json", "ps"]).json();
        let warm: Vec<_> =
            listed.as_array().unwrap().iter().map(|f| f["warm_slots"].clone()).collect();
        warm == [json!(1), json!(1), json!(0)]
    });
    monitor.stop();
}

#[test]
fn tokens_and_limits_of_a_tenant_are_shown_and_changed() {
    let site = Site::new();
    let monitor = site.up();
    let _ = monitor.run(&["tenant", "add", "t", "--memory", "256M", "--functions", "1"]).ok();
    let second = monitor.run(&["--json", "tenant", "token", "add", "t"]).json();
    let listed = monitor.run(&["--json", "tenant", "token", "ls", "t"]).json();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    let (id, token) = (second["id"].as_str().unwrap(), second["token"].as_str().unwrap());
    let with = |args: &[&str]| monitor.run(&[&["--token", token], args].concat());
    let module = site.wat("echo");
    let deploy = |name| with(&["deploy", module.to_str().unwrap(), "--name", name]);
    let _ = deploy("one").ok();
    let refused = deploy("two").failed(4);
    assert!(refused.contains("1 functions"), "{refused}");
    let _ = monitor.run(&["tenant", "set", "t", "--functions", "2"]).ok();
    let _ = deploy("two").ok();
    let _ = monitor.run(&["tenant", "token", "rm", "t", id]).ok();
    let _ = with(&["ps"]).failed(3);
    let none = monitor.run(&["tenant", "token", "rm", "t", id]).failed(4);
    assert!(none.contains("faaslet tenant token ls"), "{none}");
    monitor.stop();
}
