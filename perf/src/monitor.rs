//! A monitor in a process of its own, and `cold`: how long until it answers, and what it takes up
//! while it waits.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use faaslet_net::client::{BlockingClient, ClientConfig};
use faaslet_net::tls;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use tempfile::TempDir;

use crate::book::Book;
use crate::guests;
use crate::machine::{Memory, children};
use crate::measure::Times;

/// Times that a monitor is started.
const STARTS: usize = 7;

/// Where a monitor listens, as it says itself.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Address {
    pub(crate) quic: SocketAddr,
    pub(crate) http: SocketAddr,
}

/// A running `faaslet up`; stopped when dropped.
pub(crate) struct Monitor {
    child: Child,
    dir: PathBuf,
    pub(crate) address: Address,
}

impl Monitor {
    /// Starts one over `dir` and waits until it listens.
    pub(crate) fn up(dir: &Path) -> Result<Self> {
        Self::up_with(dir, &[""; 0])
    }

    /// The same, with more flags.
    pub(crate) fn up_with(dir: &Path, flags: &[impl AsRef<OsStr>]) -> Result<Self> {
        Self::start(dir, flags, "warn", Stdio::inherit())
    }

    /// The same, with what it logs as JSON in a file.
    pub(crate) fn up_logging(dir: &Path, filter: &str, log: &Path) -> Result<Self> {
        Self::start(dir, &[""; 0], filter, File::create(log)?.into())
    }

    fn start(dir: &Path, flags: &[impl AsRef<OsStr>], filter: &str, log: Stdio) -> Result<Self> {
        let mut child = command(dir)?
            .args(["up", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--json"])
            .args(["--log", filter, "--log-json"])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("no standard output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let address = serde_json::from_str(&line);
        let address =
            address.with_context(|| format!("the monitor did not start; it said {line:?}"));
        match address {
            Ok(address) => Ok(Self { child, dir: dir.to_owned(), address }),
            Err(error) => {
                let _ = child.kill().and_then(|()| child.wait());
                Err(error)
            }
        }
    }

    /// Deploys a module as `name`.
    pub(crate) fn deploy(&self, name: &str, module: &[u8]) -> Result<()> {
        let file = self.dir.join(format!("{name}.wasm"));
        std::fs::write(&file, module)?;
        let file = file.to_str().context("a folder whose name is no text")?;
        self.command(&["deploy", "--name", name, "--json", file]).map(|_| ())
    }

    /// Runs a command against it, and gives what that says.
    pub(crate) fn command(&self, args: &[&str]) -> Result<Vec<u8>> {
        let output = command(&self.dir)?.args(args).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{} ended {}: {said}", args[0], output.status);
        Ok(output.stdout)
    }

    /// The token of the default tenant.
    pub(crate) fn token(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.dir.join("default.token"))?.trim().to_owned())
    }

    /// How a client reaches it.
    pub(crate) fn client(&self) -> Result<ClientConfig> {
        let trust = tls::client_config(&self.dir.join("tls"))?;
        Ok(ClientConfig::new(self.address.quic, trust, self.token()?))
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

/// The program beside this one, or above it where this one is a test, over a folder.
fn command(dir: &Path) -> Result<Command> {
    let own = std::env::current_exe()?;
    let mut folders = own.ancestors().skip(1).take(2).map(|folder| folder.join("faaslet"));
    let path = folders.find(|path| path.is_file());
    let path =
        path.with_context(|| format!("no faaslet beside {}; run `make build`", own.display()))?;
    let mut command = Command::new(path);
    command.env("FAASLET_DIR", dir);
    Ok(command)
}

pub(crate) fn run(book: &mut Book) -> Result<()> {
    let folder = TempDir::new()?;
    let (mut up, mut connect, mut first, mut whole) =
        (Times::new(), Times::new(), Times::new(), Times::new());
    Monitor::up(folder.path())?.deploy("noop", &guests::text("noop")?)?;
    for _ in 0..STARTS {
        let begun = Instant::now();
        let monitor = Monitor::up(folder.path())?;
        up.add(begun.elapsed());
        let before = Instant::now();
        let client = BlockingClient::connect(monitor.client()?)?;
        connect.add(before.elapsed());
        let before = Instant::now();
        client.call("noop", &b""[..])?;
        first.add(before.elapsed());
        whole.add(begun.elapsed());
    }
    let ms = |times: &Times| times.p50_us() / 1000.0;
    book.put("cold.monitor", ms(&up), "ms");
    book.put("cold.connect", ms(&connect), "ms");
    book.put("cold.tenant", ms(&first), "ms");
    book.put("cold.first_call", ms(&whole), "ms");
    idle(book, folder.path())
}

/// What a monitor and a cell with one function take up while nothing happens.
fn idle(book: &mut Book, dir: &Path) -> Result<()> {
    let monitor = Monitor::up(dir)?;
    book.put("idle.monitor.pss", Memory::of(monitor.pid())?.pss_kib as f64 / 1024.0, "MiB");
    let client = BlockingClient::connect(monitor.client()?)?;
    client.call("noop", &b""[..])?;
    let cells = children(monitor.pid());
    let cell = cells.first().context("the monitor has no child after a call")?;
    book.put("idle.cell.pss", Memory::of(*cell)?.pss_kib as f64 / 1024.0, "MiB");
    Ok(())
}
