//! Hosts with a network of their own: a namespace each, with its own loopback and one way out, a
//! veth pair whose other end is in a namespace that the calling thread moves to.
//!
//! Nothing is left behind: a namespace goes with the last thread, process and value that has it.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};

/// A host, as the kernel sees one: a network and nothing else.
#[derive(Debug)]
pub struct Host {
    namespace: File,
    /// Its end of the way out.
    pub address: Ipv4Addr,
    /// The other end, with whoever made the hosts.
    pub neighbour: Ipv4Addr,
}

impl Host {
    /// Moves the calling thread, and what it starts from now on, to a network that has so many
    /// hosts around it and no other way.
    ///
    /// # Errors
    /// When this user may not have network namespaces, or has no `ip`; the text says which.
    ///
    /// # Panics
    /// When a thread cannot be started.
    pub fn several(count: u8) -> Result<Vec<Self>, String> {
        own_network()?;
        ip(&["link", "set", "lo", "up"])?;
        (1..=count).map(Self::new).collect()
    }

    fn new(number: u8) -> Result<Self, String> {
        let namespace = thread::spawn(|| {
            own_network()?;
            File::open("/proc/thread-self/ns/net").map_err(|error| error.to_string())
        });
        let namespace = namespace.join().unwrap()?;
        let address = Ipv4Addr::new(10, 0, number, 2);
        let neighbour = Ipv4Addr::new(10, 0, number, 1);
        let host = Self { namespace, address, neighbour };
        let name = format!("host{number}");
        let place = format!("/proc/{}/fd/{}", std::process::id(), host.namespace.as_raw_fd());
        ip(&["link", "add", &name, "type", "veth", "peer", "name", "out", "netns", &place])?;
        bring_up(&name, neighbour)?;
        host.within(|| {
            ip(&["link", "set", "lo", "up"])?;
            bring_up("out", address)
        })?;
        Ok(host)
    }

    /// Does something on this host, in a thread of its own.
    ///
    /// # Panics
    /// When what is done panics.
    pub fn within<T: Send>(&self, run: impl FnOnce() -> T + Send) -> T {
        let moved = || {
            setns(&self.namespace, CloneFlags::CLONE_NEWNET).unwrap();
            run()
        };
        let done = thread::scope(|scope| scope.spawn(moved).join());
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn own_network() -> Result<(), String> {
    unshare(CloneFlags::CLONE_NEWNET)
        .map_err(|error| format!("no network namespace for this user: {error}"))
}

fn bring_up(link: &str, address: Ipv4Addr) -> Result<(), String> {
    ip(&["address", "add", &format!("{address}/24"), "dev", link])?;
    ip(&["link", "set", link, "up"])
}

fn ip(args: &[&str]) -> Result<(), String> {
    let ran = Command::new("ip").args(args).output();
    let ran = ran.map_err(|error| format!("cannot run `ip`: {error}; install iproute2"))?;
    let said = String::from_utf8_lossy(&ran.stderr);
    if ran.status.success() { Ok(()) } else { Err(format!("ip {}: {said}", args.join(" "))) }
}
