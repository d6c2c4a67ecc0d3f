//! Values in memory, on one host.

use std::collections::BTreeSet;

use faaslet_tests::{Site, eventually, kill_process};

#[test]
fn calls_of_a_tenant_count_in_one_value_and_another_tenant_has_its_own() {
    let site = Site::new();
    let monitor = site.up();
    monitor.deploy_wat("tally");
    let counted: BTreeSet<String> = (0..3).map(|_| monitor.call("tally", "").text()).collect();
    assert_eq!(counted, ["1", "2", "3"].map(String::from).into());
    let other = monitor.add_tenant("other");
    other.deploy_wat(&monitor, "tally");
    assert_eq!(other.call("tally", b"").text(), "1");
    assert_eq!(monitor.call("tally", "").text(), "4");
    monitor.stop();
}

#[test]
fn what_was_pushed_outlives_its_cell() {
    let site = Site::new();
    let monitor = site.up();
    monitor.deploy_wat("tally");
    assert_eq!(monitor.call("tally", "").text(), "1");
    let cell = monitor.cell("default").unwrap();
    kill_process(cell);
    eventually("the monitor knows that it has ended", || monitor.log().contains("cell ended"));
    assert_eq!(monitor.call("tally", "").text(), "2");
    monitor.stop();
}
