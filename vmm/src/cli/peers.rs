//! The list of hosts, and the keys that they trust each other by.
//!
//! The list is a file with a line for each host: its name and where it listens for other hosts;
//! `#` begins a comment. All hosts have the same.
//!
//! ```text
//! # name  address
//! one     10.0.0.1:7412
//! two     10.0.0.2:7412
//! ```

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use faaslet_net::peer::{HostId, tls};
use serde_json::json;

use super::Context;
use super::exit::{Code, Failure};
use super::manifest;
use crate::monitor::state::PeersConfig;

/// Folder of a host's keys, in the monitor's folder.
pub const KEYS_FOLDER: &str = "peer";
/// Folder of the authority, among those of the hosts.
const AUTHORITY_FOLDER: &str = "authority";
/// Most hosts.
const MAX_HOSTS: usize = 1024;

/// The list of hosts, and their keys.
#[derive(Debug, Subcommand)]
pub enum Peers {
    /// Make the keys of all hosts of a list
    Init(Init),
}

/// Make the keys of all hosts of a list; those that are there stay.
#[derive(Debug, clap::Args)]
pub struct Init {
    /// The list: a line with name and address for each host
    list: PathBuf,
    /// Where to put a folder for each host, and one of the authority, which no host needs
    folder: PathBuf,
}

/// Reads a list of hosts.
pub fn read(path: &Path) -> Result<Vec<(HostId, SocketAddr)>, Failure> {
    let text = manifest::read(path).map_err(|error| {
        Failure::new(Code::Usage, format!("the list of hosts {}: {error}", path.display()))
    })?;
    let wrong = |number: usize, why: &dyn std::fmt::Display| {
        let what = format!("the list of hosts {}, line {}: {why}", path.display(), number + 1);
        Failure::new(Code::Usage, what)
    };
    let mut hosts: Vec<(HostId, SocketAddr)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        let (name, address) = match words[..] {
            [] => continue,
            [name, address] => (name, address),
            _ => return Err(wrong(number, &"expected a name and an address")),
        };
        let name = HostId::new(name).map_err(|error| wrong(number, &error))?;
        let address = address.parse::<SocketAddr>().map_err(|_| {
            wrong(number, &format!("expected an address such as 10.0.0.1:7412; found {address:?}"))
        })?;
        if hosts.iter().any(|(known, _)| *known == name) {
            return Err(wrong(number, &format!("host {name} is there twice")));
        }
        hosts.push((name, address));
    }
    if hosts.is_empty() || hosts.len() > MAX_HOSTS {
        return Err(wrong(0, &format!("expected 1 to {MAX_HOSTS} hosts; found {}", hosts.len())));
    }
    Ok(hosts)
}

/// What `up` is told of other hosts, checked.
pub fn config(
    list: &Path,
    host: &str,
    listen: Option<SocketAddr>,
    keys: &Path,
) -> Result<PeersConfig, Failure> {
    let usage = |what: String| Failure::new(Code::Usage, what);
    let table = read(list)?;
    let host = HostId::new(host).map_err(|error| usage(format!("--host: {error}")))?;
    let own = table.iter().find(|(name, _)| *name == host).map(|(_, address)| *address);
    let own = own.ok_or_else(|| {
        usage(format!("--host: expected a host of {}; found {host}", list.display()))
    })?;
    let tls = tls::load(keys, host).map_err(|error| {
        let what = format!("{error}; `faaslet peers init` makes keys, --peer-keys says where");
        Failure::new(Code::Local, what)
    })?;
    Ok(PeersConfig { table, listen: listen.unwrap_or(own), tls })
}

impl Peers {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let Self::Init(Init { list, folder }) = self;
        let hosts = read(&list)?;
        let made = |error: faaslet_net::tls::TlsError| Failure::new(Code::Local, error.to_string());
        let authority = folder.join(AUTHORITY_FOLDER);
        std::fs::create_dir_all(&folder)
            .map_err(|error| Failure::local(format!("cannot make {}", folder.display()), error))?;
        tls::generate_authority(&authority).map_err(made)?;
        for (host, _) in &hosts {
            tls::generate_host(&authority, *host, &folder.join(host.as_str())).map_err(made)?;
        }
        let names: Vec<&str> = hosts.iter().map(|(host, _)| host.as_str()).collect();
        context.output.show(&json!({ "hosts": names }), || {
            format!(
                "keys of {} hosts are in {}; give each host its folder:\n  \
                 faaslet up --peers {} --host {} --peer-keys {}",
                names.len(),
                folder.display(),
                list.display(),
                names[0],
                folder.join(names[0]).display()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_a_line_for_each_host_and_errors_name_theirs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hosts");
        let with = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read(&path)
        };
        let hosts = with("# all\none 127.0.0.1:1\n\n two  127.0.0.1:2 # second\n").unwrap();
        assert_eq!(hosts.len(), 2);
        for (text, named) in [
            ("", "1 to 1024"),
            ("one", "line 1"),
            ("one 127.0.0.1:1\none 127.0.0.1:2", "twice"),
            ("one here", "an address"),
            ("-one- 127.0.0.1:1", "line 1"),
        ] {
            let failure = with(text).unwrap_err();
            assert!(failure.message.contains(named), "{text:?}: {}", failure.message);
            assert_eq!(failure.code, Code::Usage);
        }
    }
}
