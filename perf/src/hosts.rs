//! Two hosts with a monitor each, which know each other: their keys, their list, their folders.

use std::ffi::OsStr;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;

use anyhow::{Context, Result};
use faaslet_net::peer::{HostId, tls};
use faaslet_vmm::monitor::state::PeersConfig;
use tempfile::TempDir;

use crate::monitor::Monitor;

/// Their names.
const NAMES: [&str; 2] = ["one", "two"];

/// See the module's documentation.
pub(crate) struct Hosts {
    folder: TempDir,
    table: Vec<(HostId, SocketAddr)>,
}

impl Hosts {
    /// Both on this machine's loopback.
    pub(crate) fn on_loopback() -> Result<Self> {
        // Both are held until both are known, so that they differ.
        let sockets = [UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?];
        let [one, two] = &sockets;
        Self::at([one.local_addr()?, two.local_addr()?])
    }

    /// With these addresses for each other.
    pub(crate) fn at(addresses: [SocketAddr; 2]) -> Result<Self> {
        let folder = TempDir::new()?;
        let authority = folder.path().join("authority");
        tls::generate_authority(&authority)?;
        let (mut table, mut list) = (Vec::new(), String::new());
        for (name, address) in NAMES.iter().zip(addresses) {
            let host = HostId::new(name)?;
            tls::generate_host(&authority, host, &folder.path().join(name).join("peer"))?;
            table.push((host, address));
            list += &format!("{name} {address}\n");
        }
        std::fs::write(folder.path().join("list"), list)?;
        Ok(Self { folder, table })
    }

    /// The folder of one.
    pub(crate) fn dir(&self, number: usize) -> PathBuf {
        self.folder.path().join(NAMES[number])
    }

    /// What one knows of the other.
    pub(crate) fn peers(&self, number: usize) -> Result<PeersConfig> {
        let (host, listen) = *self.table.get(number).context("there are two hosts")?;
        let tls = tls::load(&self.dir(number).join("peer"), host)?;
        Ok(PeersConfig { table: self.table.clone(), listen, tls })
    }

    /// Starts the monitor of one.
    pub(crate) fn up(&self, number: usize) -> Result<Monitor> {
        let (list, keys) = (self.folder.path().join("list"), self.dir(number).join("peer"));
        let flags = ["--peers".as_ref(), list.as_os_str(), "--host".as_ref()];
        let more: [&OsStr; 3] = [NAMES[number].as_ref(), "--peer-keys".as_ref(), keys.as_os_str()];
        Monitor::up_with(&self.dir(number), &[flags, more].concat())
    }
}
