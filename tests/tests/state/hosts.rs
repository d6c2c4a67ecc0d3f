//! Two monitors that share state.

use std::net::UdpSocket;

use faaslet_tests::{Monitor, Site};

/// Two folders with keys, and the list of both hosts.
pub struct Hosts {
    sites: [Site; 2],
    list: String,
    keys: String,
}

impl Hosts {
    pub fn new() -> Self {
        let sites = [Site::new(), Site::new()];
        // Both are held until both are known, so that they differ.
        let sockets = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let [one, two] = sockets.each_ref().map(|socket| socket.local_addr().unwrap());
        let text = format!("# name address\none {one}\ntwo {two}\n");
        let list = sites[0].file("hosts", text.as_bytes()).to_str().unwrap().to_owned();
        let keys = sites[0].path("keys").to_str().unwrap().to_owned();
        let _ = sites[0].run(&["peers", "init", &list, &keys]).ok();
        Self { sites, list, keys }
    }

    pub fn up(&self, number: usize) -> Monitor<'_> {
        let name = ["one", "two"][number];
        let keys = format!("{}/{name}", self.keys);
        let flags = ["--peers", &self.list, "--host", name, "--peer-keys", &keys];
        self.sites[number].up_with(&flags)
    }
}

#[test]
fn what_one_monitor_takes_the_other_gives_and_a_lost_owner_loses_what_was_in_memory_alone() {
    let hosts = Hosts::new();
    let (one, two) = (hosts.up(0), hosts.up(1));
    let (first, second) = (one.default_tenant(), two.default_tenant());
    let keys: Vec<String> = (0..16).map(|number| format!("key/{number}")).collect();
    for key in &keys {
        for kept in ["durable", "memory"] {
            let durable = kept == "durable";
            let path = format!("/v1/state/{key}/{kept}?durable={durable}");
            let put = first.ask("PUT", &path, &[], key.as_bytes());
            assert_eq!(put.status, 200, "{}", put.text());
        }
    }
    for key in &keys {
        assert_eq!(second.get(&format!("/v1/state/{key}/memory")).body, key.as_bytes());
        let appended = second.ask("POST", &format!("/v1/state/{key}/durable"), &[], b"+");
        assert_eq!(appended.status, 200, "{}", appended.text());
    }
    let listed = first.get("/v1/state").json();
    assert_eq!(listed["values"].as_array().unwrap().len(), 32, "names of both hosts");

    two.kill();
    let two = hosts.up(1);
    let mut lost = 0;
    for key in &keys {
        let durable = first.get(&format!("/v1/state/{key}/durable"));
        assert_eq!(durable.body, [key.as_bytes(), b"+"].concat(), "{}", durable.text());
        let memory = first.get(&format!("/v1/state/{key}/memory"));
        match memory.status {
            200 => assert_eq!(memory.body, key.as_bytes()),
            410 => lost += 1,
            status => panic!("{status}: {}", memory.text()),
        }
    }
    assert!((1..16).contains(&lost), "each host owned some of the values; {lost} are lost");
    one.stop();
    two.stop();
}

#[test]
fn a_host_that_is_not_in_the_list_or_has_no_keys_does_not_start() {
    let hosts = Hosts::new();
    let up = |host: &str, keys: &str| {
        let at = "127.0.0.1:0";
        let up = ["up", "--listen", at, "--http", at, "--peers", &hosts.list, "--host", host];
        hosts.sites[1].run(&[&up[..], &["--peer-keys", keys]].concat())
    };
    let told = up("three", &hosts.keys).failed(2);
    assert!(told.contains("three"), "{told}");
    let told = up("two", &format!("{}/one", hosts.keys)).failed(7);
    assert!(told.contains("faaslet peers init"), "{told}");
}
