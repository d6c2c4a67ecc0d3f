//! A monitor that runs: the real program, in a process of its own.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::groups;
use crate::program::Ran;
use crate::site::{self, Site};
use crate::tenant::Tenant;
use crate::wait::{eventually, eventually_some, is_alive};

/// Lines of its log that a failed test shows.
const LOG_LINES: usize = 60;

/// A running `faaslet up`.
///
/// Invariant: `child` is there until it is stopped, killed or dropped; it is reaped in all cases.
#[derive(Debug)]
pub struct Monitor<'a> {
    site: &'a Site,
    child: Option<Child>,
    /// Calls over QUIC.
    pub quic: SocketAddr,
    /// HTTP.
    pub http: SocketAddr,
}

impl<'a> Monitor<'a> {
    pub(crate) fn start(site: &'a Site, flags: &[&str], environment: &[(&str, &str)]) -> Self {
        let log = OpenOptions::new().create(true).append(true).open(site.log()).unwrap();
        let mut up = site.command(&["up", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        let mut child = up
            .args(flags)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let pid = u64::from(child.id());
        let address = eventually_some("the monitor says where it listens", || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the monitor ended with {status}:\n{}", log_of(site));
            }
            let text = fs::read_to_string(site.data().join("address.json")).ok()?;
            let address: Value = serde_json::from_str(&text).ok()?;
            // One that was killed leaves its file.
            (address["pid"].as_u64() == Some(pid)).then_some(address)
        });
        let at = |what: &str| address[what].as_str().unwrap().parse().unwrap();
        Self { site, child: Some(child), quic: at("quic"), http: at("http") }
    }

    /// Where it runs.
    #[must_use]
    pub fn site(&self) -> &'a Site {
        self.site
    }

    /// Its process.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the monitor runs").id()
    }

    /// Runs a command against it, as the tenant that every folder has.
    #[must_use]
    pub fn run(&self, args: &[&str]) -> Ran {
        self.site.run(args)
    }

    /// Deploys a module under a name, with more flags.
    #[must_use]
    pub fn deploy_with(&self, name: &str, module: &Path, flags: &[&str]) -> Ran {
        let deploy = ["--json", "deploy", site::text(module), "--name", name];
        self.run(&[&deploy[..], flags].concat())
    }

    /// Deploys a module under a name; it must work.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn deploy(&self, name: &str, module: &Path) {
        let deployed = self.deploy_with(name, module, &[]).json();
        assert_eq!(deployed["name"], name);
    }

    /// Deploys a guest of `tests/guests/wat` under its own name; it must work.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn deploy_wat(&self, name: &str) {
        self.deploy(name, &self.site.wat(name));
    }

    /// Calls a function by the command line.
    #[must_use]
    pub fn call(&self, name: &str, input: &str) -> Ran {
        self.run(&["call", name, "--data", input])
    }

    /// The operator.
    ///
    /// # Panics
    /// When there is no token of it.
    #[must_use]
    pub fn operator(&self) -> Tenant {
        Tenant::new(self, &self.token("admin.token"))
    }

    /// The tenant that every folder has.
    ///
    /// # Panics
    /// When there is no token of it.
    #[must_use]
    pub fn default_tenant(&self) -> Tenant {
        Tenant::new(self, &self.token("default.token"))
    }

    fn token(&self, file: &str) -> String {
        fs::read_to_string(self.site.data().join(file)).unwrap().trim().to_owned()
    }

    /// Adds a tenant.
    ///
    /// # Panics
    /// When the monitor refuses.
    #[must_use]
    pub fn add_tenant(&self, name: &str) -> Tenant {
        let body = serde_json::json!({ "name": name });
        let added = self.operator().post("/v1/tenants", &body);
        assert_eq!(added.status, 201, "{added:?}");
        Tenant::new(self, added.json()["token"].as_str().unwrap())
    }

    /// The process of a tenant's cell, if it has one.
    ///
    /// # Panics
    /// When the monitor does not say.
    #[must_use]
    pub fn cell(&self, tenant: &str) -> Option<u32> {
        let tenants = self.operator().get("/v1/tenants").json();
        let tenants = tenants.as_array().unwrap();
        let tenant = tenants.iter().find(|found| found["name"] == tenant)?;
        let pid = u32::try_from(tenant["cell_pid"].as_u64()?).ok()?;
        is_alive(pid).then_some(pid)
    }

    /// What a file says in a cgroup of a tenant's cell, by the first of these names that is there;
    /// nothing where cells have none.
    #[must_use]
    pub fn cell_group(&self, tenant: &str, files: &[&str]) -> Option<String> {
        let names = groups::of(&BTreeSet::from([self.cell(tenant)?]));
        let folders = groups::folders(&names);
        let mut paths =
            folders.iter().flat_map(|folder| files.iter().map(|file| folder.join(file)));
        paths.find_map(|path| fs::read_to_string(path).ok())
    }

    /// A number that it counts: the one in the line that begins with `name`.
    ///
    /// # Panics
    /// When it does not count it.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        let text = self.operator().get("/metrics").text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    /// Waits until so many calls have begun and not ended.
    pub fn wait_in_flight(&self, calls: u64) {
        let what = format!("{calls} calls are in flight");
        eventually(&what, || self.count("faaslet_calls_in_flight") == calls);
    }

    /// Asks it to stop, and does not wait.
    pub fn terminate(&self) {
        signal(self.pid(), Signal::SIGTERM);
    }

    /// Waits until it has stopped by itself, with status 0 and nothing left.
    ///
    /// # Panics
    /// When it ends otherwise.
    pub fn wait_stopped(mut self) {
        let processes = self.processes();
        let names = groups::of(&processes);
        let mut child = self.child.take().expect("the monitor runs");
        let status = eventually_some("the monitor stops", || child.try_wait().unwrap());
        assert_eq!(status.code(), Some(0), "{status}:\n{}", log_of(self.site));
        assert!(!self.site.data().join("address.json").exists(), "the address is taken away");
        gone(&processes);
        assert!(groups::folders(&names).is_empty(), "cgroups are left: {names:?}");
    }

    /// Stops it as an operator does.
    pub fn stop(self) {
        self.terminate();
        self.wait_stopped();
    }

    /// Ends it without warning; its cells and builders must end with it.
    ///
    /// # Panics
    /// When it has ended before.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let processes = descendants(child.id());
        self.site.keep_groups(groups::of(&processes));
        signal(child.id(), Signal::SIGKILL);
        child.wait().unwrap();
        gone(&processes);
    }

    /// Its cells and builders.
    #[must_use]
    pub fn processes(&self) -> BTreeSet<u32> {
        self.child.as_ref().map(|child| descendants(child.id())).unwrap_or_default()
    }

    /// Names of the cgroups that its cells and builders are in.
    #[must_use]
    pub fn groups(&self) -> BTreeSet<String> {
        groups::of(&self.processes())
    }

    /// Its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        log_of(self.site)
    }
}

impl Drop for Monitor<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the monitor's log ends with\n{}", log_of(self.site));
        }
        self.end();
    }
}

/// Ends one process without warning.
pub fn kill_process(pid: u32) {
    signal(pid, Signal::SIGKILL);
}

/// Halts a process, which can then be killed but do nothing.
///
/// # Panics
/// When there is none.
pub fn halt_process(pid: u32) {
    signal(pid, Signal::SIGSTOP);
    let halted = |task: &Path| {
        let stat = fs::read_to_string(task.join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    };
    eventually("every thread of it stands still", || {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        tasks.flatten().all(|task| halted(&task.path()))
    });
}

/// Lets a process go on that was halted.
pub fn resume_process(pid: u32) {
    signal(pid, Signal::SIGCONT);
}

fn signal(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.cast_signed()), signal).unwrap();
}

fn gone(processes: &BTreeSet<u32>) {
    let left = || processes.iter().filter(|pid| is_alive(**pid)).collect::<Vec<_>>();
    if !std::thread::panicking() {
        eventually("cells and builders end with their monitor", || left().is_empty());
    }
}

/// All processes beneath one.
fn descendants(of: u32) -> BTreeSet<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid: u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let parent = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()?;
            Some((pid, parent))
        })
        .collect();
    let mut found = BTreeSet::from([of]);
    loop {
        let more = parents.iter().filter(|(_, parent)| found.contains(parent));
        let more: Vec<u32> = more.map(|(pid, _)| *pid).filter(|pid| !found.contains(pid)).collect();
        if more.is_empty() {
            break;
        }
        found.extend(more);
    }
    found.remove(&of);
    found
}

fn log_of(site: &Site) -> String {
    let text = File::open(site.log()).and_then(std::io::read_to_string).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}
