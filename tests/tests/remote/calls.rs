//! Calls of functions that another host has.

use std::fs;

use faaslet_store::{BlobKind, Code, FunctionName, Hash, Store};
use faaslet_tests::{Hosts, Monitor, built, eventually};

/// The row of a function in a host's list.
fn row(monitor: &Monitor<'_>, name: &str) -> Option<serde_json::Value> {
    let rows = monitor.run(&["--json", "ps"]).json();
    rows.as_array().unwrap().iter().find(|row| row["name"] == name).cloned()
}

/// Bytes of all files of a host's store.
fn stored(hosts: &Hosts, number: usize) -> u64 {
    let folders = ["modules", "artefacts", "images", "plans"];
    let folders = folders.map(|folder| hosts.sites[number].data().join(folder));
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn a_function_runs_on_a_host_where_it_was_not_deployed_and_is_there_after_a_restart() {
    let hosts = Hosts::new(&["one", "two"]);
    let (one, two) = (hosts.up(0), hosts.up(1));
    one.deploy_wat("init-heavy");
    let expected = one.call("init-heavy", "").ok();
    assert_eq!(two.call("init-heavy", "").ok(), expected);
    let copy = row(&two, "init-heavy").unwrap();
    assert_eq!((&copy["copy_of"], &copy["version"]), (&"one".into(), &1.into()), "{copy}");
    assert_eq!(copy["calls"], 1);
    let pulled = two.count("faaslet_remote_pulled_bytes_total");
    assert_eq!(pulled, stored(&hosts, 0), "each byte of its files came once");
    assert_eq!(one.count("faaslet_remote_served_bytes_total"), pulled);
    assert_eq!(two.call("init-heavy", "").ok(), expected);
    assert_eq!(two.count("faaslet_remote_pulled_bytes_total"), pulled);
    let seen = one.run(&["--json", "ps", "--host", "two"]).json();
    assert_eq!(seen[0]["copy_of"], "one", "{seen}");
    let images = one.run(&["--json", "images", "--host", "two"]).json();
    assert_eq!(images[0]["function"], "init-heavy", "{images}");

    one.stop();
    two.stop();
    let two = hosts.up(1);
    assert_eq!(two.call("init-heavy", "").ok(), expected, "its origin is gone, the copy is not");
    two.stop();
}

#[test]
fn a_copy_follows_its_origin_and_goes_with_it() {
    let hosts = Hosts::new(&["one", "two"]);
    let (one, two) = (hosts.up(0), hosts.up(1));
    let text = |answer: &str| {
        format!(
            r#"(module (import "faaslet_v1" "output_set" (func $set (param i32 i32) (result i32)))
            (memory (export "memory") 1) (data (i32.const 8) "{answer}")
            (func (export "faaslet_main") (result i32)
                (call $set (i32.const 8) (i32.const {}))))"#,
            answer.len()
        )
    };
    let module = |answer: &str| hosts.sites[0].module(&format!("{answer}.wasm"), &text(answer));
    one.deploy("f", &module("old"));
    assert_eq!(two.call("f", "").text(), "old");
    one.deploy("f", &module("newer"));
    eventually("the copy is renewed", || two.call("f", "").text() == "newer");
    assert_eq!(row(&two, "f").unwrap()["version"], 2);
    let _ = one.run(&["rm", "f"]).ok();
    eventually("the copy goes", || two.call("f", "").code != Some(0));
    assert!(row(&two, "f").is_none());

    two.deploy("f", &module("own"));
    one.deploy("f", &module("other"));
    assert_eq!(two.call("f", "").text(), "own", "what is deployed here stays");
    one.stop();
    two.stop();
}

#[test]
fn calls_at_once_bring_a_function_once() {
    let hosts = Hosts::new(&["one", "two"]);
    let (one, two) = (hosts.up(0), hosts.up(1));
    one.deploy_wat("init-heavy");
    let expected = one.call("init-heavy", "").ok();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(two.call("init-heavy", "").ok(), expected));
        }
    });
    assert_eq!(two.count("faaslet_remote_pulled_bytes_total"), stored(&hosts, 0));
    assert_eq!(two.count("faaslet_remote_copies_total"), 1);
    one.stop();
    two.stop();
}

#[test]
fn environment_and_secrets_travel_and_follow() {
    let hosts = Hosts::new(&["one", "two"]);
    let (one, two) = (hosts.up(0), hosts.up_with(1, &["--log", "trace"]));
    let flag = |text: &str| {
        let file = hosts.sites[0].file("secret", text.as_bytes());
        format!("KEY={}", file.display())
    };
    let secret = ["--secret-file", &flag("hidden-words")];
    let _ = one.deploy_with("f", &built("environment-c"), &secret).ok();
    let expected = one.call("f", "KEY").text();
    assert_eq!(two.call("f", "KEY").text(), expected);
    let _ = one.run(&["env", "f", "--secret-file", &flag("other")]).ok();
    let expected = one.call("f", "KEY").text();
    eventually("it has the new one", || two.call("f", "KEY").text() == expected);
    one.stop();
    two.stop();
    let log = fs::read_to_string(hosts.sites[1].log()).unwrap();
    assert!(log.contains("copied") && !log.contains("hidden-words"));
}

#[test]
fn code_for_another_processor_is_not_pulled_but_compiled() {
    let hosts = Hosts::new(&["one", "two"]);
    let one = hosts.up(0);
    one.deploy_wat("init-heavy");
    let expected = one.call("init-heavy", "").ok();
    one.stop();
    let store = Store::open(&hosts.sites[0].data()).unwrap();
    let function = FunctionName::new("default", "init-heavy").unwrap();
    let version = store.current(&function).unwrap();
    let artefact = store.put_blob(BlobKind::Artefact, None, &mut &b"of elsewhere"[..]).unwrap();
    let code = Code { artefact, engine: Hash([7; 32]), ..version.deployment.code() };
    store.replace_code(&function, 1, &code).unwrap();
    drop(store);
    let (one, two) = (hosts.up(0), hosts.up(1));
    assert_eq!(two.call("init-heavy", "").ok(), expected);
    let log = fs::read_to_string(hosts.sites[1].log()).unwrap();
    assert_eq!(log.matches("compiling for this processor").count(), 1, "{log}");
    one.stop();
    two.stop();
}

#[test]
fn a_function_that_nobody_has_is_not_found_and_hosts_that_are_silent_are_named() {
    let hosts = Hosts::new(&["one", "two"]);
    let two = hosts.up(1);
    let told = two.call("nowhere", "").failed(4);
    assert!(told.contains("nowhere") && told.contains("one"), "{told}");
    let one = hosts.up(0);
    eventually("nobody has it", || {
        let told = two.call("nowhere", "").failed(4);
        told.contains("the tenant has none of this name")
    });
    one.stop();
    two.stop();
}
