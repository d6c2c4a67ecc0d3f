//! Hosts that know each other: a folder for each, keys, and the list of all.

use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;

use crate::{Monitor, Site};

/// Folders with keys, and the list of all hosts.
#[derive(Debug)]
pub struct Hosts {
    /// One for each.
    pub sites: Vec<Site>,
    /// Names and addresses of all.
    pub table: Vec<(String, SocketAddr)>,
    /// The list as a file.
    pub list: String,
    /// The folder of all keys.
    pub keys: PathBuf,
}

impl Hosts {
    /// Hosts of these names.
    ///
    /// # Panics
    /// When there is no room for them.
    #[must_use]
    pub fn new(names: &[&str]) -> Self {
        let sites: Vec<Site> = names.iter().map(|_| Site::new()).collect();
        // All are held until all are known, so that they differ.
        let sockets: Vec<_> =
            names.iter().map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        let table = names.iter().zip(&sockets);
        let table: Vec<_> = table
            .map(|(name, socket)| ((*name).to_owned(), socket.local_addr().unwrap()))
            .collect();
        let lines = table.iter().map(|(name, address)| format!("{name} {address}\n"));
        let text: String = ["# name address\n".to_owned()].into_iter().chain(lines).collect();
        let list = sites[0].file("hosts", text.as_bytes()).to_str().unwrap().to_owned();
        let keys = sites[0].path("keys");
        let _ = sites[0].run(&["peers", "init", &list, keys.to_str().unwrap()]).ok();
        Self { sites, table, list, keys }
    }

    /// Starts the monitor of a host.
    #[must_use]
    pub fn up(&self, number: usize) -> Monitor<'_> {
        self.up_with(number, &[])
    }

    /// Starts the monitor of a host with more flags.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn up_with(&self, number: usize, flags: &[&str]) -> Monitor<'_> {
        let name = &self.table[number].0;
        let keys = self.keys.join(name);
        let own = ["--peers", &self.list, "--host", name, "--peer-keys", keys.to_str().unwrap()];
        self.sites[number].up_with(&[&own[..], flags].concat())
    }
}
