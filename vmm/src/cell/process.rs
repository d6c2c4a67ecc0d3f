//! The process of a cell: enters the jail, starts its workers, and obeys the monitor's orders.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use faaslet_ring::{CellEnd, RingFds};
use faaslet_sandbox::filter::Role;
use faaslet_sandbox::jail::{self, Policy};
use faaslet_sandbox::parcel::{self, ParcelError};
use faaslet_sandbox::{Message, ReceiveError, Socket, Strictness};
use faaslet_snapshot::board::Faults;
use faaslet_snapshot::dirty::Pagemap;
use faaslet_snapshot::image::Image;
use faaslet_tier::Tracker;
use faaslet_wasi::{Config, OpenFiles, Preopen};
use wasmtime::{Engine, Linker};

use super::file;
use super::function::{Function, Source};
use super::host::{self, Host};
use super::limits::FILLING_WORKERS;
use super::local::LocalTier;
use super::peers::{Inbox, Post};
use super::thread::{self as worker_thread, Workplace};
use super::ticker::Ticker;
use crate::control::{FunctionHead, Order, Report, SettingsHead};
use crate::engine;

/// First argument of a cell's process.
pub const ROLE: &str = "__cell";

/// Descriptors of each ring: its memory and its bell.
const RING_DESCRIPTORS: usize = 2;
/// Longest reason of a failure that is told.
const MAX_REASON_BYTES: usize = 4 << 10;

/// A cell that runs.
struct Process {
    socket: Socket,
    engine: Engine,
    linker: Linker<Host>,
    tenant: String,
    inboxes: Arc<[Inbox]>,
    functions: HashMap<u32, Arc<Function>>,
}

/// Runs a cell until the monitor ends it.
#[must_use]
pub fn main(limits: jail::Limits) -> ExitCode {
    match run(limits) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("cell: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(limits: jail::Limits) -> Result<(), String> {
    let pagemap = jail::without_capabilities(Pagemap::open).map_err(|error| error.to_string())?;
    let pagemap = Arc::new(pagemap);
    let tracker = jail::without_capabilities(Tracker::open).map_err(|error| error.to_string())?;
    // Where there are none, no image comes here before it is whole.
    let faults = Faults::open(FILLING_WORKERS).unwrap_or_default();
    let keep = pagemap.descriptor().into_iter().chain(tracker.descriptors());
    let keep: Vec<_> = keep.chain(faults.descriptors()).collect();
    let policy = Policy::of(Role::Cell, Strictness::inherited(), limits, &keep);
    let socket = Socket::inherited().ok_or("no socket to the monitor")?;
    let begun = Instant::now();
    let jailed = jail::enter(&socket, &policy).map_err(|error| error.to_string())?;
    let missing = jailed.missing.iter().map(ToString::to_string).collect();
    let jail_us = micros(begun);
    let message = socket.recv_parcel(parcel::ANY).map_err(|error| error.to_string())?;
    let begun = Instant::now();
    let mut process = Process::start(socket, message, &pagemap, tracker, &faults)?;
    let ready = Report::Ready { missing, jail_us, engine_us: micros(begun) };
    process.report_with(&ready, &faults)?;
    process.obey()
}

impl Process {
    fn start(
        socket: Socket,
        message: Message,
        pagemap: &Arc<Pagemap>,
        tracker: Tracker,
        faults: &Faults,
    ) -> Result<Self, String> {
        let order = serde_json::from_slice(&message.bytes).map_err(|error| error.to_string())?;
        let Order::Start { tenant, workers, filling_workers, slots, state_bytes } = order else {
            return Err(format!("expected the order to start; found {order:?}"));
        };
        let engine = engine::engine().map_err(|error| format!("{error:#}"))?;
        let linker = host::linker(&engine).map_err(|error| format!("{error:#}"))?;
        let mut descriptors = message.descriptors;
        let board = descriptors.pop().ok_or("the board of faults is missing")?;
        let watches = faults.watches(board).map_err(|error| error.to_string())?;
        let plain = workers as usize;
        let rings = rings(descriptors, plain + filling_workers as usize)?;
        let inboxes: Arc<[Inbox]> = rings.iter().map(|ring| Inbox::new(ring.waker())).collect();
        let ticker = Ticker::start(&engine).map_err(|error| error.to_string())?;
        let local = Arc::new(LocalTier::new(state_bytes, tracker));
        for (number, ring) in rings.into_iter().enumerate() {
            let place = Workplace {
                number,
                plain,
                inboxes: Arc::clone(&inboxes),
                pagemap: Arc::clone(pagemap),
                slots: slots as usize,
                local: Arc::clone(&local),
                ticker: ticker.clone(),
                watch: number.checked_sub(plain).and_then(|line| watches.get(line)).cloned(),
            };
            let run = move || {
                if let Err(error) = worker_thread::run(ring, place) {
                    eprintln!("cell: worker {number}: {error}");
                }
                std::process::exit(1);
            };
            let name = format!("worker {number}");
            thread::Builder::new().name(name).spawn(run).map_err(|error| error.to_string())?;
        }
        Ok(Self { socket, engine, linker, tenant, inboxes, functions: HashMap::new() })
    }

    fn report(&self, report: &Report) -> Result<(), String> {
        self.report_with(report, &Faults::default())
    }

    fn report_with(&self, report: &Report, faults: &Faults) -> Result<(), String> {
        let bytes = serde_json::to_vec(report).map_err(|error| error.to_string())?;
        let descriptors: Vec<_> = faults.descriptors().collect();
        self.socket.send(&bytes, &descriptors).map_err(|error| error.to_string())
    }

    /// The next order; nothing once the monitor has closed the socket. An order that arrives without
    /// all its descriptors, as this process may hold no more, is lost, and no more than that.
    fn next_order(&self) -> Result<Option<Message>, String> {
        let mut lost = false;
        loop {
            match self.socket.recv_parcel(parcel::ANY) {
                Ok(message) => return Ok(Some(message)),
                Err(ParcelError::Receive(error @ ReceiveError::TooManyDescriptors)) => {
                    lost = true;
                    self.report(&Report::Failed { number: 0, message: error.to_string() })?;
                }
                // What is left of it.
                Err(ParcelError::Malformed { .. }) if lost => {}
                Err(_) => return Ok(None),
            }
        }
    }

    fn obey(&mut self) -> Result<(), String> {
        loop {
            // The monitor ends a cell by closing the socket.
            let Some(message) = self.next_order()? else { return Ok(()) };
            let order =
                serde_json::from_slice(&message.bytes).map_err(|error| error.to_string())?;
            let mut descriptors = message.descriptors.into_iter();
            match order {
                Order::Start { .. } => return Err("started twice".into()),
                Order::Function(head) => {
                    let number = head.number;
                    let report = match self.add(*head, &mut descriptors) {
                        Ok([artefact_us, image_us]) => {
                            Report::Added { number, artefact_us, image_us }
                        }
                        Err(message) => failed(number, message),
                    };
                    self.report(&report)?;
                }
                Order::Settings { number, settings } => {
                    let report = match self.change(number, settings, &mut descriptors) {
                        Ok(()) => Report::Changed { number },
                        Err(message) => failed(number, message),
                    };
                    self.report(&report)?;
                }
                Order::Whole { number } => {
                    let report = match self.whole(number) {
                        Ok(()) => Report::Changed { number },
                        Err(message) => failed(number, message),
                    };
                    self.report(&report)?;
                }
                Order::Remove { number } => {
                    self.functions.remove(&number);
                    self.post(|| Post::Remove(number));
                }
            }
        }
    }

    fn change(
        &self,
        number: u32,
        settings: SettingsHead,
        descriptors: &mut impl Iterator<Item = OwnedFd>,
    ) -> Result<(), String> {
        // One that is unknown was replaced meanwhile, and its successor has the new ones.
        let Some(function) = self.functions.get(&number) else { return Ok(()) };
        let settings = config(settings, descriptors, function.image.as_deref())?;
        function.set_settings(Arc::new(settings));
        Ok(())
    }

    fn whole(&self, number: u32) -> Result<(), String> {
        let Some(function) = self.functions.get(&number) else { return Ok(()) };
        let Some(image) = &function.image else { return Ok(()) };
        image.memory().become_whole().map_err(|error| error.to_string())
    }

    fn post(&self, post: impl Fn() -> Post) {
        for inbox in self.inboxes.iter() {
            // Only chained calls are ever given back.
            let _ = inbox.post(post());
        }
    }

    /// Takes a function in; the times that its artefact and its image took, in microseconds.
    fn add(
        &mut self,
        head: FunctionHead,
        descriptors: &mut impl Iterator<Item = OwnedFd>,
    ) -> Result<[u64; 2], String> {
        let mut next = || descriptors.next().ok_or("a descriptor is missing");
        let (artefact, original, blob) = (next()?, next()?, next()?);
        let memory = if head.image { Some(next()?) } else { None };
        let blob = file::read_all(&File::from(blob)).map_err(|error| error.to_string())?;
        let (plan, image) =
            blob.split_at_checked(head.plan_bytes).ok_or("the plan is cut short")?;
        let plan = serde_json::from_slice(plan).map_err(|error| error.to_string())?;
        let begun = Instant::now();
        let image = match memory {
            None => None,
            Some(memory) => {
                let take = if head.filling { Image::filling_from_parts } else { Image::from_parts };
                Some(Arc::new(take(memory, image).map_err(|error| error.to_string())?))
            }
        };
        let image_us = micros(begun);
        let settings = config(head.settings, descriptors, image.as_deref())?;
        let begun = Instant::now();
        let module = engine::load(&self.engine, File::from(artefact));
        let module = module.map_err(|error| error.to_string())?;
        let artefact_us = micros(begun);
        let source = Source {
            number: head.number,
            tenant: self.tenant.clone(),
            name: head.name,
            version: head.version,
            plan,
            original: Some(File::from(original)),
            image,
            limits: head.limits,
            mode: head.mode,
            settings: Arc::new(settings),
        };
        let function = Function::new(source, &module, &self.linker);
        let mut function = function.map_err(|error| format!("{error:#}"))?;
        function.set_workers(self.inboxes.len());
        let function = Arc::new(function);
        self.functions.insert(head.number, Arc::clone(&function));
        self.post(|| Post::Add(Arc::clone(&function)));
        Ok([artefact_us, image_us])
    }
}

fn micros(since: Instant) -> u64 {
    since.elapsed().as_micros() as u64
}

fn rings(descriptors: Vec<OwnedFd>, workers: usize) -> Result<Vec<CellEnd>, String> {
    if workers == 0 || descriptors.len() != workers * RING_DESCRIPTORS {
        return Err(format!(
            "expected two descriptors for each of {workers} workers; found {}",
            descriptors.len()
        ));
    }
    let mut descriptors = descriptors.into_iter();
    let mut rings = Vec::with_capacity(workers);
    let one_core = thread::available_parallelism().is_ok_and(|cores| cores.get() == 1);
    while let (Some(memory), Some(bell)) = (descriptors.next(), descriptors.next()) {
        let ring = CellEnd::attach(RingFds { memory, bell });
        let mut ring = ring.map_err(|error| error.to_string())?;
        if one_core {
            // Whoever should be looked for needs the core to come.
            ring.set_spin(Duration::ZERO);
        }
        rings.push(ring);
    }
    Ok(rings)
}

fn failed(number: u32, mut message: String) -> Report {
    message.truncate(message.floor_char_boundary(MAX_REASON_BYTES));
    Report::Failed { number, message }
}

/// What calls of a function are given; the files that were open in its image are among it.
fn config(
    head: SettingsHead,
    descriptors: &mut impl Iterator<Item = OwnedFd>,
    image: Option<&Image>,
) -> Result<Config, String> {
    let mut folders = Vec::with_capacity(head.folders.len());
    for folder in head.folders {
        let descriptor = descriptors.next().ok_or("a folder's descriptor is missing")?;
        folders.push(Preopen::new(folder.guest, descriptor, folder.read_only));
    }
    let config = Config::new(&head.args, &head.env, folders).map_err(|error| error.to_string())?;
    let Some(image) = image else { return Ok(config) };
    let files = OpenFiles::decode(image.head().files()).map_err(|error| error.to_string())?;
    Ok(config.with_open_files(files))
}
