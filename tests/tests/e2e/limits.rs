//! Deployments as large as they may be: what travels between the processes must arrive whole.

use std::fs;

use faaslet_tests::{Site, built};
use serde_json::json;

#[test]
fn a_cell_has_as_many_workers_as_it_is_told() {
    let site = Site::new();
    let monitor = site.up_with(&["--workers", "9", "--slots", "8"]);
    monitor.deploy_wat("echo");
    assert_eq!(monitor.call("echo", "nine").text(), "nine");
    monitor.stop();
}

#[test]
fn settings_of_the_largest_size_reach_a_function_that_is_loaded_and_one_that_is_not() {
    let site = Site::new();
    let monitor = site.up();
    monitor.deploy("f", &built("environment-c"));
    let tenant = monitor.default_tenant();
    let set = |last: char| {
        let value = "x".repeat((256 << 10) - 2) + &last.to_string();
        let settings = json!({ "env": { "A": value } }).to_string();
        let set = tenant.ask("PUT", "/v1/functions/f/settings", &[], settings.as_bytes());
        assert!(set.status < 300, "{set:?}");
    };
    set('1');
    assert_eq!(monitor.call("f", "A").text(), "262143 1", "when it is loaded");
    set('2');
    assert_eq!(monitor.call("f", "A").text(), "262143 2", "while it is loaded");
    monitor.stop();
}

#[test]
fn warm_up_inputs_and_lines_of_an_initialisation_are_larger_than_a_message() {
    let site = Site::new();
    let monitor = site.up();
    let input = site.file("input", &vec![b'x'; 12 << 20]);
    let input = input.to_str().unwrap();
    let _ = monitor.deploy_with("echo", &site.wat("echo"), &["--warm", input]).ok();
    assert_eq!(monitor.call("echo", "x").text(), "x");
    monitor.deploy("chatty", &built("chatty-c"));
    assert_eq!(monitor.call("chatty", "").text(), "200000");
    monitor.stop();
}

#[test]
fn a_function_has_as_many_folders_as_it_may() {
    let site = Site::new();
    let monitor = site.up();
    let mut flags = Vec::new();
    for n in 0..64 {
        let folder = site.path(&format!("folder-{n}"));
        fs::create_dir(&folder).unwrap();
        let guest = format!("/data/{n}");
        let grant = json!({ "folder": format!("{}::{guest}:ro", folder.display()) });
        let granted = monitor.operator().post("/v1/tenants/default/grants", &grant);
        assert!(granted.status < 300, "{granted:?}");
        flags.extend(["--dir".to_owned(), guest]);
    }
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let _ = monitor.deploy_with("echo", &site.wat("echo"), &flags).ok();
    assert_eq!(monitor.call("echo", "x").text(), "x");
    let _ = monitor.run(&["env", "echo", "A=b"]).ok();
    assert_eq!(monitor.call("echo", "y").text(), "y");
    monitor.stop();
}
