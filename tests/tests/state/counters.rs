//! Sixty-four Faaslets count in one value, by every way that promises to be exact.

use faaslet_tests::{Hosts, Monitor, Site, built};
use serde_json::json;

const FAASLETS: usize = 64;

fn did(monitor: &Monitor<'_>, what: &str, key: &str, how: &str) -> u64 {
    let task = json!({ "do": what, "key": key, "how": how }).to_string();
    let answer = monitor.default_tenant().call("shared", task.as_bytes());
    assert_eq!(answer.status, 200, "{task}: {}", answer.text());
    answer.json()["total"].as_u64().unwrap()
}

/// All of them at once, in turn on each of the hosts.
fn count(monitors: &[&Monitor<'_>], key: &str, how: &str) {
    std::thread::scope(|scope| {
        for number in 0..FAASLETS {
            let monitor = monitors[number % monitors.len()];
            scope.spawn(move || did(monitor, "count", key, how));
        }
    });
}

#[test]
fn on_one_host_sixty_four_faaslets_count_exactly_in_every_way() {
    let site = Site::new();
    let monitor = site.up();
    monitor.deploy("shared", &built("shared-rs"));
    for how in ["local", "global", "sum", "append"] {
        count(&[&monitor], how, how);
        assert_eq!(did(&monitor, "total", how, how), FAASLETS as u64, "{how}");
    }
    monitor.stop();
}

#[test]
fn on_two_hosts_sixty_four_faaslets_count_exactly_in_every_way_that_is_for_hosts() {
    let hosts = Hosts::new(&["one", "two"]);
    let (one, two) = (hosts.up(0), hosts.up(1));
    for monitor in [&one, &two] {
        monitor.deploy("shared", &built("shared-rs"));
    }
    for how in ["global", "sum", "append"] {
        // Several, so that each host owns one at least.
        for number in 0..3 {
            let key = format!("{how}/{number}");
            count(&[&one, &two], &key, how);
            for monitor in [&one, &two] {
                assert_eq!(did(monitor, "total", &key, how), FAASLETS as u64, "{key}");
            }
        }
    }
    one.stop();
    two.stop();
}

#[test]
fn a_value_that_has_grown_elsewhere_is_not_cut_by_who_opens_it_shorter() {
    let hosts = Hosts::new(&["one", "two"]);
    let (one, two) = (hosts.up(0), hosts.up(1));
    for monitor in [&one, &two] {
        monitor.deploy("shared", &built("shared-rs"));
    }
    let open = |monitor: &Monitor<'_>, key: &str, len: u64| {
        let task = json!({ "do": "open", "key": key, "len": len }).to_string();
        let answer = monitor.default_tenant().call("shared", task.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["total"].as_u64().unwrap()
    };
    for key in ["grown/0", "grown/1", "grown/2"] {
        assert_eq!((open(&one, key, 1), open(&two, key, 4)), (1, 4));
        // It knows of one number.
        assert_eq!(open(&one, key, 2), 4, "{key}");
    }
    one.stop();
    two.stop();
}
