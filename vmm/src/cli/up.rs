//! `up`: the monitor, in the foreground.

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use faaslet_net::server::Server;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Context;
use super::client::Address;
use super::config::Flags;
use super::exit::{Code, Failure};
use super::logging;
use super::new::Lang;
use super::output::write_all;
use crate::http::{self, HttpServer};
use crate::monitor::{ADDRESS_FILE, Monitor};

/// What the kernel reads from here: the longest wake-up that is allowed, in microseconds.
const LATENCY_FILE: &str = "/dev/cpu_dma_latency";

/// How long clients may take for the last answers, once no call is in flight.
const FAREWELL: Duration = Duration::from_secs(2);

/// Start the monitor, and stop it with SIGTERM or Ctrl-C.
#[derive(Debug, clap::Args)]
pub struct Up {
    #[command(flatten)]
    flags: Flags,
}

/// A monitor that listens.
struct Running {
    monitor: Arc<Monitor>,
    quic: Server,
    http: HttpServer,
    /// Invariant: there while the monitor runs, and taken away by whoever wrote it.
    address: AddressFile,
}

impl Up {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let (filter, json) = self.flags.log()?;
        logging::start(&filter, json)?;
        let dir = context.target.folder()?;
        let config = self.flags.config(dir)?;
        // From here on a signal means a drain, also while it starts.
        let end = Ending::new()?;
        let _awake = config.low_latency.then(keep_awake).transpose()?;
        let running = Running::start(config)?;
        // Compiler settings and keys are read once; where it fails, their code stays in memory.
        let _ = faaslet_sandbox::release_code();
        running.greet(context)?;
        // Without systemd there is nobody to tell.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        end.wait();
        tracing::info!(in_flight = running.monitor.calls_in_flight(), "draining");
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        running.stop(&end)
    }
}

impl Running {
    fn start(config: crate::monitor::Config) -> Result<Self, Failure> {
        let (dir, http, tls) = (config.dir.clone(), config.http, config.http_tls);
        let start = |error: &dyn std::fmt::Display| Failure::new(Code::Local, error.to_string());
        let (monitor, quic) = Monitor::start(config).map_err(|error| start(&error))?;
        let http = http::serve(Arc::clone(&monitor), http, tls).map_err(|error| start(&error))?;
        let address = Address {
            quic: quic.local_addr(),
            http: http.address(),
            https: http.tls_address(),
            pid: std::process::id(),
        };
        let address = AddressFile::write(&dir, address)?;
        Ok(Self { monitor, quic, http, address })
    }

    fn greet(&self, context: &Context) -> Result<(), Failure> {
        let address = &self.address.address;
        if context.output.json {
            let text = serde_json::to_string(address)
                .map_err(|error| Failure::local("cannot show the addresses", error))?;
            return write_all(&format!("{text}\n"));
        }
        let dir = self.monitor.config.dir.display();
        let tls = address.https.map(|at| format!("\n  HTTPS  https://{at}")).unwrap_or_default();
        // A folder that was named here has to be named there.
        let named = context.target.dir.as_ref().and_then(|dir| fs::canonicalize(dir).ok());
        let named = named.map(|dir| format!("export FAASLET_DIR={}\n  ", dir.display()));
        write_all(&format!(
            "faaslet {} listens\n  QUIC   {}\n  HTTP   http://{}{tls}\n  folder {dir}\n\n\
             Next, in another terminal:\n  {}\
             faaslet new --lang rust hello && faaslet deploy hello\n  \
             faaslet call hello --data '{}'\n",
            env!("CARGO_PKG_VERSION"),
            address.quic,
            address.http,
            named.unwrap_or_default(),
            Lang::Rust.example_input(),
        ))
    }

    fn stop(self, end: &Ending) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::local("the monitor did not end well", error);
        drop(self.address);
        // The endpoint's thread drives the cells too, so it ends last.
        self.quic.go_away();
        end.runtime.block_on(self.monitor.drain());
        self.quic.drain(FAREWELL);
        self.http.stop();
        drop(self.monitor);
        self.quic.join().map_err(failed)?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// The file in which clients find the monitor.
struct AddressFile {
    path: PathBuf,
    address: Address,
}

impl AddressFile {
    fn write(dir: &Path, address: Address) -> Result<Self, Failure> {
        let path = dir.join(ADDRESS_FILE);
        let text = serde_json::to_string(&address)
            .map_err(|error| Failure::local("cannot write the address", error))?;
        let new = path.with_extension("new");
        let written = fs::write(&new, text + "\n").and_then(|()| fs::rename(&new, &path));
        written
            .map_err(|error| Failure::local(format!("cannot write {}", path.display()), error))?;
        Ok(Self { path, address })
    }
}

impl Drop for AddressFile {
    fn drop(&mut self) {
        // The next monitor writes its own.
        let _ = fs::remove_file(&self.path);
    }
}

/// SIGTERM and Ctrl-C.
struct Ending {
    runtime: Runtime,
    signals: RefCell<[Signal; 2]>,
}

impl Ending {
    fn new() -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::local("cannot wait for signals", error);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(failed)?;
        let signals = {
            let _entered = runtime.enter();
            let listen = |kind| signal(kind).map_err(failed);
            [listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?]
        };
        Ok(Self { runtime, signals: RefCell::new(signals) })
    }

    /// Waits for one.
    fn wait(&self) {
        let mut signals = self.signals.borrow_mut();
        let [terminate, interrupt] = &mut *signals;
        self.runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        });
    }
}

/// Keeps the processor out of deep sleep for as long as the file is open.
fn keep_awake() -> Result<File, Failure> {
    let hold = || {
        let mut file = OpenOptions::new().write(true).open(LATENCY_FILE)?;
        file.write_all(&0_i32.to_ne_bytes())?;
        Ok(file)
    };
    hold().map_err(|error: std::io::Error| {
        Failure::local(
            format!(
                "--low-latency: cannot hold {LATENCY_FILE}; run as root, or leave the flag out"
            ),
            error,
        )
    })
}
