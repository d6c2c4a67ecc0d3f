//! A Redis server of our own, on a unix socket and on TCP, that keeps nothing on the disk unless
//! it is told to.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use redis::{Client, Connection, ConnectionAddr, IntoConnectionInfo};
use tempfile::TempDir;

use crate::results::home;

/// How long the server may take to begin.
const START_LIMIT: Duration = Duration::from_secs(10);

/// By what a client reaches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Socket {
    Unix,
    Tcp,
}

impl Socket {
    pub(crate) const BOTH: [Self; 2] = [Self::Unix, Self::Tcp];

    pub(crate) fn name(self) -> &'static str {
        if self == Self::Unix { "unix" } else { "tcp" }
    }
}

/// See the module's documentation; ended when it is dropped.
pub(crate) struct RedisServer {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl RedisServer {
    /// With more settings, such as `--io-threads 2`.
    pub(crate) fn start(settings: &[&str]) -> Result<Self> {
        // Where figures go: a temporary folder may lie in memory, and a log is to reach the disk.
        let target = home().join("../target");
        std::fs::create_dir_all(&target)?;
        let folder = TempDir::new_in(target.canonicalize()?)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &address.port().to_string()])
            .args(["--save", "", "--daemonize", "no", "--dir"])
            .arg(folder.path())
            .arg("--unixsocket")
            .arg(socket(&folder))
            .args(settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start redis-server; type: apt-get install -y redis-server")?;
        let server = Self { child, address, folder };
        let begun = Instant::now();
        while server.connect(Socket::Tcp).is_err() || server.connect(Socket::Unix).is_err() {
            ensure!(begun.elapsed() < START_LIMIT, "redis-server did not listen");
            std::thread::yield_now();
        }
        Ok(server)
    }

    pub(crate) fn connect(&self, by: Socket) -> Result<Connection> {
        let address = match by {
            Socket::Unix => ConnectionAddr::Unix(socket(&self.folder)),
            Socket::Tcp => ConnectionAddr::Tcp(self.address.ip().to_string(), self.address.port()),
        };
        connect(address)
    }

    /// Its unix socket.
    pub(crate) fn socket(&self) -> PathBuf {
        socket(&self.folder)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn socket(folder: &TempDir) -> PathBuf {
    folder.path().join("redis.sock")
}

fn connect(address: ConnectionAddr) -> Result<Connection> {
    Ok(Client::open(address.into_connection_info()?)?.get_connection()?)
}

/// Connects to a server by its unix socket.
pub(crate) fn connect_unix(socket: &Path) -> Result<Connection> {
    connect(ConnectionAddr::Unix(socket.to_owned()))
}
