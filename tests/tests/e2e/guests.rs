//! Functions that people write: in C, C++ and Rust, with the SDKs, and ordinary programs.
//!
//! They need `tests/guests/build.sh`.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use faaslet_net::Mode;
use faaslet_net::client::CallOptions;
use faaslet_tests::{Monitor, Site, built, eventually_some, picture};

/// The texts of a function's log, once it has `count` lines.
fn log(monitor: &Monitor<'_>, name: &str, count: usize) -> Vec<String> {
    eventually_some(&format!("{count} lines in the log of {name}"), || {
        let lines = monitor.run(&["--json", "logs", name]).text();
        let text = |line: &str| {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            format!("{} {}", record["level"].as_str().unwrap(), record["text"].as_str().unwrap())
        };
        let lines: Vec<String> = lines.lines().map(text).collect();
        (lines.len() >= count).then_some(lines)
    })
}

#[test]
fn recognise_tells_a_picture_of_a_person_from_another() {
    let site = Site::new();
    let monitor = site.up();
    monitor.deploy("recognise", &built("recognise"));
    let client = monitor.default_tenant().connect().unwrap();
    for (name, label) in [("person", "person"), ("no-person", "no person")] {
        let bytes = std::fs::read(picture(name)).unwrap();
        let path = picture(name);
        let called = monitor.run(&["call", "recognise", "--file", path.to_str().unwrap()]).json();
        let (with, without) = (called["person"].as_f64(), called["no_person"].as_f64());
        assert_eq!(with > without, name == "person", "{label}: {called}");
        for mode in [Mode::Fork, Mode::Fresh] {
            let options = CallOptions { mode, ..CallOptions::default() };
            let reply = client.call_with("recognise", bytes.clone(), options).unwrap();
            let answer: serde_json::Value = serde_json::from_slice(&reply.payload).unwrap();
            assert_eq!(answer, called, "{mode:?}");
        }
        assert_eq!(monitor.default_tenant().call("recognise", &bytes).json(), called, "HTTP");
    }
    let none = monitor.call("recognise", "no picture").failed(1);
    assert!(none.contains("picture"), "{none}");
    monitor.stop();
}

#[test]
fn a_rust_function_takes_and_gives_json() {
    let site = Site::new();
    let monitor = site.up();
    monitor.deploy("hello", &built("hello"));
    let greeted = monitor.call("hello", r#"{"name": "Ada"}"#).json();
    assert_eq!(greeted, serde_json::json!({ "greeting": "Hello, Ada!" }));
    assert_eq!(log(&monitor, "hello", 1), ["info greeting Ada"]);
    let refused = monitor.call("hello", r#"{"name": ""}"#).failed(1);
    assert!(refused.contains("expected a name of 1 to 256 bytes, found 0"), "{refused}");
    let missing = monitor.call("hello", "{}").failed(1);
    assert!(missing.contains("missing field `name`"), "{missing}");
    monitor.stop();
}

#[test]
fn an_ordinary_program_reads_its_standard_input_and_ends_with_a_status() {
    let site = Site::new();
    let monitor = site.up();
    let args = ["--arg", "one", "--arg", "--two"];
    let _ = monitor.deploy_with("command", &built("command-c"), &args).ok();
    assert_eq!(site.run_with(&["call", "command"], b"some text\n").text(), "SOME TEXT\n");
    let lines = log(&monitor, "command", 2);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].ends_with("argument 1: one"), "{lines:?}");
    assert!(lines[1].ends_with("argument 2: --two"), "{lines:?}");
    // Environment changes without a new version, and reaches the next call.
    let _ = monitor.run(&["env", "command", "TEST_STATUS=3"]).ok();
    let status = monitor.call("command", "x").failed(1);
    assert!(status.contains('3'), "{status}");
    let _ = monitor.run(&["env", "command"]).ok();
    assert_eq!(monitor.call("command", "x").text(), "X");
    let versions = monitor.run(&["--json", "versions", "command"]).json();
    assert_eq!(versions.as_array().unwrap().len(), 1);
    monitor.stop();
}

#[test]
fn what_a_function_prints_and_logs_is_in_its_log_and_not_in_its_answer() {
    let site = Site::new();
    let monitor = site.up();
    monitor.deploy("streams", &built("streams-c"));
    monitor.deploy("fail", &built("fail-c"));
    assert_eq!(monitor.call("streams", "").text(), "answer");
    let mut lines = log(&monitor, "streams", 4);
    lines.sort();
    let texts: Vec<_> = lines.iter().map(|line| line.split_once(' ').unwrap().1).collect();
    let mut expected = ["one", "two", "three without an end", "to standard error"];
    expected.sort_unstable();
    let mut found = texts.clone();
    found.sort_unstable();
    assert_eq!(found, expected);

    let failed = monitor.call("fail", "out of paper").failed(1);
    assert!(failed.contains("out of paper") && !failed.contains("dropped"), "{failed}");
    let levels = log(&monitor, "fail", 4);
    let expected = ["error", "warn", "info", "debug"]
        .iter()
        .enumerate()
        .map(|(number, level)| format!("{level} level {number}: out of paper"));
    assert_eq!(levels, expected.collect::<Vec<_>>());
    monitor.stop();
}

#[test]
fn a_log_can_be_followed() {
    let site = Site::new();
    let monitor = site.up();
    monitor.deploy("fail", &built("fail-c"));
    let _ = monitor.call("fail", "before").failed(1);
    let _ = log(&monitor, "fail", 4);
    let mut follow = site
        .command(&["logs", "fail", "--follow", "--lines", "1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert!(next().ends_with("level 3: before"));
    let _ = monitor.call("fail", "after").failed(1);
    for level in 0..4 {
        let line = next();
        assert!(line.ends_with(&format!("level {level}: after")), "{line}");
    }
    follow.kill().unwrap();
    follow.wait().unwrap();
    monitor.stop();
}

#[test]
fn a_function_sees_the_http_request_and_shapes_the_response() {
    let site = Site::new();
    let monitor = site.up();
    monitor.deploy("http", &built("http-c"));
    let tenant = monitor.default_tenant();
    let answer = tenant.ask("PUT", "/f/http/some/path?a=b", &[("x-test", "yes")], b"12345");
    assert_eq!(answer.status, 201);
    assert_eq!(
        (&answer.headers["content-type"], &answer.headers["x-test"]),
        (&"text/plain".parse().unwrap(), &"yes".parse().unwrap())
    );
    let text = answer.text();
    assert!(text.starts_with("PUT /some/path?a=b\r\n"), "{text}");
    assert!(text.ends_with("body: 5 bytes\n"), "{text}");
    assert!(!text.contains(&tenant.token), "the token is not for the function");
    assert_eq!(monitor.call("http", "").text(), "no request");
    monitor.stop();
}

#[test]
fn functions_in_c_fan_out_and_the_depth_of_chains_is_bounded() {
    let site = Site::new();
    let monitor = site.up();
    monitor.deploy("chain", &built("chain-c"));
    monitor.deploy("fail", &built("fail-c"));
    assert_eq!(monitor.call("chain", "fan 100").text(), "4950");
    assert_eq!(monitor.call("chain", "late").text(), "-7");
    assert_eq!(monitor.call("chain", "pending").text(), "-10");
    assert_eq!(monitor.call("chain", "again").text(), "0 0 0 -3");
    let deep: u32 = monitor.call("chain", "deep").text().trim().parse().unwrap();
    assert!((1..10_000).contains(&deep), "{deep}");
    let outcome = monitor.call("chain", "outcome fail").text();
    assert!(outcome.starts_with('1'), "{outcome}");
    monitor.stop();
}

#[test]
fn a_trap_names_function_file_and_line() {
    let site = Site::new();
    let monitor = site.up();
    monitor.deploy("deep-trap", &built("deep-trap-c"));
    let trap = monitor.call("deep-trap", "").failed(1);
    for part in ["unreachable", "bottom", "middle", "deep-trap.c:"] {
        assert!(trap.contains(part), "{part} in {trap}");
    }
    monitor.deploy("panics", &built("panics-rs"));
    let panic = monitor.call("panics", "").failed(1);
    assert!(panic.contains("panic"), "{panic}");
    monitor.stop();
}

#[test]
fn the_host_refuses_pointers_outside_memory() {
    let site = Site::new();
    let monitor = site.up();
    monitor.deploy("pointers", &built("pointers-c"));
    for mode in ["fork", "fresh"] {
        let text =
            monitor.run(&["call", "pointers", "--mode", mode, "--data", "some input"]).text();
        assert!(text.starts_with("ok "), "{text}");
    }
    monitor.stop();
}
