//! The two hosts of a round: `one`, and `two`, which owns the values and has the accidents.

use std::sync::Mutex;

use faaslet_tests::{Host, Monitor, Site, Tenant, built};

/// Where monitors listen for each other.
pub(crate) const PORT: u16 = 7412;
/// Keys that are tried until so many are found that `two` owns.
const MAX_KEYS: usize = 64;

/// A host with its folder, and whoever calls its monitor, which changes when it starts again.
pub(crate) struct Seat<'a> {
    pub(crate) host: &'a Host,
    site: &'a Site,
    flags: Vec<String>,
    tenant: Mutex<Option<Tenant>>,
}

/// Seats for both, with keys and lists: each takes its end of the relay for the other.
pub(crate) fn seats<'a>(hosts: [&'a Host; 2], sites: [&'a Site; 2]) -> [Seat<'a>; 2] {
    let [one, two] = hosts;
    let lists = [(one.address, one.neighbour), (two.neighbour, two.address)];
    let keys = sites[0].path("keys").to_str().unwrap().to_owned();
    let lists = [0, 1].map(|number| {
        let (one, two) = lists[number];
        let text = format!("one {one}:{PORT}\ntwo {two}:{PORT}\n");
        sites[number].file("hosts", text.as_bytes()).to_str().unwrap().to_owned()
    });
    let _ = sites[0].run(&["peers", "init", &lists[0], &keys]).ok();
    [0, 1].map(|number| {
        let name = ["one", "two"][number];
        let keys = format!("{keys}/{name}");
        let flags = ["--peers", &lists[number], "--host", name, "--peer-keys", &keys];
        let flags = flags.map(str::to_owned).to_vec();
        Seat { host: hosts[number], site: sites[number], flags, tenant: Mutex::default() }
    })
}

impl<'a> Seat<'a> {
    /// Starts its monitor.
    pub(crate) fn up(&self) -> Monitor<'a> {
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        let monitor = self.host.within(|| self.site.up_with(&flags));
        *self.tenant.lock().unwrap() = Some(monitor.default_tenant());
        monitor
    }

    /// Whoever calls the monitor that started last.
    pub(crate) fn tenant(&self) -> Tenant {
        self.tenant.lock().unwrap().clone().expect("its monitor was started")
    }

    /// Deploys what clients call.
    pub(crate) fn deploy(&self, monitor: &Monitor<'_>) {
        self.host.within(|| monitor.deploy("shared", &built("shared-rs")));
    }

    /// How many values its monitor owns.
    fn owned(&self, monitor: &Monitor<'_>) -> u64 {
        self.host.within(|| monitor.count("faaslet_state_values{tenant=\"default\"}"))
    }

    /// Makes durable numbers until so many of them are this host's.
    pub(crate) fn numbers(&self, monitor: &Monitor<'_>, count: usize) -> Vec<String> {
        let tenant = self.tenant();
        let mut found = Vec::new();
        for number in 0..MAX_KEYS {
            let path = format!("/v1/state/number/{number}?durable=true&element=u64&quota_bytes=8");
            let made = self.host.within(|| tenant.ask("PUT", &path, &[], &0_u64.to_le_bytes()));
            assert_eq!(made.status, 200, "{}", made.text());
            if self.owned(monitor) > found.len() as u64 {
                found.push(format!("number/{number}"));
            }
            if found.len() == count {
                return found;
            }
        }
        panic!("hardly one of {MAX_KEYS} keys is of the host: {found:?}");
    }
}
