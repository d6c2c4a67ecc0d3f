//! Functions as things that are listed, replaced, brought back and removed.

use faaslet_tests::{Site, eventually_some};

#[test]
fn versions_replace_each_other_and_come_back() {
    let site = Site::new();
    let monitor = site.up();
    monitor.deploy("f", &site.wat("echo"));
    assert_eq!(monitor.call("f", "x").text(), "x");
    monitor.deploy("f", &site.wat("counter"));
    assert_eq!(monitor.call("f", "x").text(), "11");

    let versions = monitor.run(&["--json", "versions", "f"]).json();
    let versions: Vec<_> = versions
        .as_array()
        .unwrap()
        .iter()
        .map(|version| (version["version"].as_u64().unwrap(), version["current"] == true))
        .collect();
    assert_eq!(versions, [(1, false), (2, true)]);

    let _ = monitor.run(&["rollback", "f"]).ok();
    assert_eq!(monitor.call("f", "x").text(), "x");
    let _ = monitor.run(&["rollback", "f", "2"]).ok();
    assert_eq!(monitor.call("f", "x").text(), "11");
    let none = monitor.run(&["rollback", "f", "9"]).failed(4);
    assert!(none.contains('9'), "{none}");
    assert_eq!(monitor.call("f", "x").text(), "11", "a refused rollback changes nothing");
    monitor.stop();
}

#[test]
fn a_list_shows_calls_and_errors_and_a_removed_function_is_gone() {
    let site = Site::new();
    let monitor = site.up();
    monitor.deploy_wat("echo");
    monitor.deploy_wat("trap");
    for _ in 0..3 {
        let _ = monitor.call("echo", "x").ok();
    }
    let _ = monitor.call("trap", "u").failed(1);
    let listed = monitor.run(&["--json", "ps"]).json();
    let listed: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (f["name"].as_str().unwrap(), f["calls"].as_u64(), f["errors"].as_u64()))
        .collect();
    assert_eq!(listed, [("echo", Some(3), Some(0)), ("trap", Some(1), Some(1))]);
    let table = monitor.run(&["ps"]).text();
    assert!(table.lines().count() == 3 && table.trim_start().starts_with("NAME"), "{table}");

    let _ = monitor.run(&["rm", "trap"]).ok();
    let _ = monitor.call("trap", "u").failed(4);
    let _ = monitor.run(&["rm", "trap"]).failed(4);
    assert_eq!(monitor.run(&["--json", "ps"]).json().as_array().unwrap().len(), 1);
    // The name is free again.
    monitor.deploy("trap", &site.wat("counter"));
    assert_eq!(monitor.call("trap", "").text(), "11");
    monitor.stop();
}

#[test]
fn the_same_module_again_needs_no_bake() {
    let site = Site::new();
    let monitor = site.up();
    let first = monitor.deploy_with("a", &site.wat("init-heavy"), &[]).json();
    let second = monitor.deploy_with("b", &site.wat("init-heavy"), &[]).json();
    assert!(!first["phases"].as_array().unwrap().is_empty(), "{first}");
    assert!(second["phases"].as_array().unwrap().is_empty(), "{second}");
    assert_eq!(first["image"], second["image"]);
    assert_eq!(monitor.call("a", "").ok(), monitor.call("b", "").ok());
    monitor.stop();
}

#[test]
fn two_monitors_bake_the_same_image_for_the_same_secret_and_others_for_another() {
    let (one, two) = (Site::new(), Site::new());
    let image = |site: &Site, name: &str| {
        let monitor = site.up();
        let deployed = monitor.deploy_with("f", &site.wat(name), &[]).json();
        monitor.stop();
        deployed["image"].as_str().unwrap().to_owned()
    };
    // What draws no random bytes is the same everywhere; what does depends on the tenant's secret.
    assert_eq!(image(&one, "init-heavy"), image(&two, "init-heavy"));
    assert_ne!(image(&one, "random"), image(&two, "random"));
    assert_eq!(image(&one, "random"), image(&one, "random"));
}

#[test]
fn every_call_draws_its_own_random_bytes() {
    let site = Site::new();
    let monitor = site.up();
    monitor.deploy_wat("random");
    let client = monitor.default_tenant().connect().unwrap();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..500 {
        let drawn = client.call("random", &b""[..]).unwrap().payload;
        assert!(seen.insert(drawn[..16].to_vec()), "drawn twice: {drawn:?}");
    }
    monitor.stop();
}

#[test]
fn metrics_count_what_happened() {
    let site = Site::new();
    let monitor = site.up();
    monitor.deploy_wat("echo");
    let _ = monitor.call("echo", "x").ok();
    let line = r#"faaslet_calls_total{tenant="default",function="echo",outcome="returned"}"#;
    let counted = eventually_some("the call is counted", || {
        let text = monitor.operator().get("/metrics").text();
        text.contains(line).then(|| monitor.count(line))
    });
    assert_eq!(counted, 1);
    assert_eq!(monitor.count("faaslet_cells"), 1);
    assert_eq!(monitor.count("faaslet_functions"), 1);
    assert_eq!(monitor.default_tenant().get("/metrics").problem(), "forbidden");
    monitor.stop();
}

#[test]
fn a_function_that_is_run_by_name_gets_standard_input() {
    let site = Site::new();
    let module = site.wat("chain");
    let ran = site.run_with(&["run", module.to_str().unwrap(), "--invoke", "child"], b"hello");
    assert_eq!(ran.ok(), b"child:hello");
}
