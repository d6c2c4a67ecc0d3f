//! Functions that are made warm before their calls come.

use faaslet_tests::Hosts;
use serde_json::Value;

fn of<'a>(rows: &'a Value, host: &str) -> &'a Value {
    rows.as_array().unwrap().iter().find(|row| row["host"] == host).unwrap()
}

#[test]
fn a_function_is_made_warm_on_all_hosts_that_are_named_and_again_costs_nothing() {
    let hosts = Hosts::new(&["one", "two", "three"]);
    let (one, two, three) = (hosts.up(0), hosts.up(1), hosts.up(2));
    one.deploy_wat("init-heavy");
    let order = ["--json", "prewarm", "init-heavy", "--slots", "3", "--wait"];
    let all = ["--host", "one", "--host", "two", "--host", "three"];
    let prewarm = || one.run(&[&order[..], &all].concat()).json();
    let first = prewarm();
    for host in ["one", "two", "three"] {
        let row = of(&first, host);
        assert_eq!((&row["stage"], &row["slots"]), (&"done".into(), &3.into()), "{first}");
        assert!(row["pages"].as_u64().unwrap() >= 512, "{first}");
        assert_eq!(row["first_call_us"], Value::Null);
    }
    assert_eq!(of(&first, "one")["moved_bytes"], 0);
    let moved = of(&first, "two")["moved_bytes"].as_u64().unwrap();
    assert!(moved > 2 << 20, "{first}");

    let _ = two.call("init-heavy", "").ok();
    let again = prewarm();
    for host in ["one", "two", "three"] {
        assert_eq!(of(&again, host)["stage"], "done", "{again}");
        assert_eq!(of(&again, host)["moved_bytes"], 0, "{again}");
    }
    assert!(of(&again, "two")["first_call_us"].as_u64().unwrap() > 0, "{again}");
    assert_eq!(of(&again, "three")["first_call_us"], Value::Null, "{again}");
    assert_eq!(two.count("faaslet_remote_pulled_bytes_total"), moved);
    let rows = one.run(&["--json", "ps", "--host", "three"]).json();
    assert_eq!(rows[0]["warm_slots"], 3, "{rows}");
    one.stop();
    two.stop();
    three.stop();
}

#[test]
fn a_host_that_fails_is_named_and_the_others_are_warm() {
    let hosts = Hosts::new(&["one", "two"]);
    let one = hosts.up(0);
    one.deploy_wat("echo");
    let order = ["--json", "prewarm", "echo", "--wait", "--host", "one", "--host", "two"];
    let ran = one.run(&order);
    let rows: Value = serde_json::from_slice(&ran.out).unwrap();
    let told = ran.failed(4);
    assert!(told.contains("two"), "{told}");
    assert_eq!(of(&rows, "one")["stage"], "done", "{rows}");
    assert_eq!(of(&rows, "two")["stage"], "failed", "{rows}");
    let told = one.run(&["prewarm", "echo", "--host", "four"]).failed(4);
    assert!(told.contains("four") && told.contains("two"), "{told}");
    let told = one.run(&["prewarm", "nothing", "--wait"]).failed(4);
    assert!(told.contains("nothing"), "{told}");
    let told = one.run(&["prewarm", "echo", "--slots", "16000", "--wait"]).failed(4);
    assert!(told.contains("--slots"), "{told}");
    one.stop();
}

#[test]
fn a_monitor_that_knows_no_other_makes_its_own_functions_warm() {
    let site = faaslet_tests::Site::new();
    let monitor = site.up();
    monitor.deploy_wat("echo");
    let rows = monitor.run(&["--json", "prewarm", "echo", "--slots", "4", "--wait"]).json();
    assert_eq!((&rows[0]["host"], &rows[0]["slots"]), (&"local".into(), &4.into()), "{rows}");
    monitor.stop();
}
