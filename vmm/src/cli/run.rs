//! `run`: one program or one call, in this process, without a monitor.
//!
//! It goes the way of a fresh Faaslet on a worker, as in a cell, but its streams are those of this
//! process. There is no jail around it beside Wasm: it is for one's own programs.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use faaslet_abi::Outcome;
use faaslet_rewrite::Entry as Kind;
use faaslet_snapshot::dirty::Pagemap;
use faaslet_wasi::{Config as Settings, Preopen};

use super::exit::{Code, Failure};
use super::output::write_bytes;
use super::{Context, parse};
use crate::builder::{BakeLimits, Baked, Recipe, bake};
use crate::cell::{
    Answer, Call, Departure, Direct, Entry, Function, Limits, LogLine, Mode, Origin, Outside,
    Parent, Source, Ticker, Worker, linker,
};
use crate::engine;

/// Slots: for the call, and for those that it makes of its own module.
const SLOTS: usize = 64;
/// The one call from outside.
const CALL: u64 = 1;
/// Longest input of a function.
const MAX_INPUT_BYTES: u64 = 64 << 20;
/// A call without a deadline has this one.
const DEFAULT_TIMEOUT: Duration = Duration::from_hours(24);

/// Run a WASI command, or call a function once, without a monitor.
#[derive(Debug, clap::Args)]
pub struct Run {
    /// The module (.wasm), a source file in C or C++, or a project folder
    path: PathBuf,
    /// A folder of this machine, and the name that the program sees
    #[arg(long = "dir", value_name = "HOST::GUEST[:ro]")]
    folders: Vec<String>,
    /// Environment, as NAME=VALUE
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse::pair)]
    env: Vec<(String, String)>,
    /// Call this export in place of the program's entry
    #[arg(long, value_name = "NAME")]
    invoke: Option<String>,
    /// Most linear memory, such as 256M
    #[arg(long, value_parser = parse::size)]
    memory: Option<u64>,
    /// Stop it after this time
    #[arg(long, value_parser = parse::time)]
    timeout: Option<Duration>,
    /// Arguments of the program
    #[arg(last = true)]
    args: Vec<String>,
}

impl Run {
    pub fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let progress = super::deploy::Progress::new(!context.output.json);
        let built = super::build::module(&self.path, &progress)?;
        progress.done();
        let module = std::fs::read(built.path()).map_err(|error| {
            Failure::local(format!("cannot read {}", built.path().display()), error)
        })?;
        let engine = engine::engine().map_err(|error| local(&format!("{error:#}")))?;
        let limits = self.limits();
        let recipe = Recipe {
            limits: BakeLimits { function: limits, ..BakeLimits::default() },
            ..Recipe::default()
        };
        let baked = bake(&engine, &module, &recipe, false, |_| {})
            .map_err(|error| Failure::new(Code::Refused, error.to_string()))?;
        let input = Self::input(&baked)?;
        let direct = Arc::new(Direct::default());
        let command = baked.plan.entry == Kind::Command && self.invoke.is_none();
        let function = self.function(&engine, &module, baked, limits, &direct)?;
        let ticker = Ticker::start(&engine).map_err(|error| local(&error))?;
        ticker.begin();
        let answer = self.drive(function, input);
        ticker.stop();
        let status = direct.status.load(Ordering::Relaxed);
        finish(&answer, command.then_some(status))
    }

    fn limits(&self) -> Limits {
        let default = Limits::default();
        let memory_bytes = self.memory.map_or(default.memory_bytes, |bytes| bytes as usize);
        Limits { memory_bytes, ..default }
    }

    /// A program reads its input itself; a function is given it.
    fn input(baked: &Baked) -> Result<Vec<u8>, Failure> {
        use std::io::IsTerminal;
        let stdin = std::io::stdin();
        if baked.plan.entry == Kind::Command || stdin.is_terminal() {
            return Ok(Vec::new());
        }
        let mut input = Vec::new();
        let read = stdin.lock().take(MAX_INPUT_BYTES + 1).read_to_end(&mut input);
        read.map_err(|error| Failure::local("cannot read standard input", error))?;
        if input.len() as u64 > MAX_INPUT_BYTES {
            let what = format!("expected an input of at most {MAX_INPUT_BYTES} bytes; found more");
            return Err(Failure::new(Code::Refused, what));
        }
        Ok(input)
    }

    fn function(
        &self,
        engine: &wasmtime::Engine,
        module: &[u8],
        baked: Baked,
        limits: Limits,
        direct: &Arc<Direct>,
    ) -> Result<Arc<Function>, Failure> {
        let compiled =
            engine::load_bytes(engine, &baked.artefact).map_err(|error| local(&error))?;
        let name = self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let source = Source {
            number: 0,
            tenant: "local".to_owned(),
            name,
            version: 1,
            plan: baked.plan,
            original: None,
            image: None,
            limits,
            mode: Mode::Fresh,
            settings: Arc::new(self.settings()?),
        };
        let linker = linker(engine).map_err(|error| local(&format!("{error:#}")))?;
        let function = Function::new(source, &compiled, &linker);
        let mut function = function.map_err(|error| local(&format!("{error:#}")))?;
        function.set_original(module);
        function.set_direct(Arc::clone(direct));
        Ok(Arc::new(function))
    }

    fn settings(&self) -> Result<Settings, Failure> {
        let usage = |error: &dyn std::fmt::Display| Failure::new(Code::Usage, error.to_string());
        let program = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let args: Vec<String> = std::iter::once(program).chain(self.args.iter().cloned()).collect();
        let folders =
            self.folders.iter().map(|folder| preopen(folder)).collect::<Result<_, _>>()?;
        Settings::new(&args, &self.env, folders).map_err(|error| usage(&error))
    }

    fn drive(&self, function: Arc<Function>, input: Vec<u8>) -> Answer {
        let mut worker = Worker::new(0, &Arc::new(Pagemap::open()), SLOTS, Ending::default());
        worker.add(function);
        let deadline = Instant::now() + self.timeout.unwrap_or(DEFAULT_TIMEOUT);
        let entry = self.invoke.clone().map_or(Entry::Main, Entry::Export);
        let call = Call {
            id: rand::random(),
            attempt: 1,
            mode: Mode::Fresh,
            entry,
            input,
            ..Call::making(deadline)
        };
        worker.submit(0, call, Origin::Outside(CALL));
        loop {
            if let Some(answer) = worker.outside().answer.take() {
                return answer;
            }
            if !worker.turn() {
                let until = worker.next_timer().unwrap_or(deadline);
                std::thread::park_timeout(until.saturating_duration_since(Instant::now()));
            }
            worker.fire(Instant::now());
        }
    }
}

/// A folder of this machine, as the program sees it.
fn preopen(text: &str) -> Result<Preopen, Failure> {
    let usage = || {
        let what = format!("expected HOST::GUEST or HOST::GUEST:ro; found {text:?}");
        Failure::new(Code::Usage, what)
    };
    let (host, guest) = text.split_once("::").ok_or_else(usage)?;
    let (guest, read_only) =
        guest.strip_suffix(":ro").map_or((guest, false), |guest| (guest, true));
    if host.is_empty() || guest.is_empty() {
        return Err(usage());
    }
    let opened = File::open(Path::new(host)).and_then(|folder| match folder.metadata()?.is_dir() {
        true => Ok(folder),
        false => Err(std::io::ErrorKind::NotADirectory.into()),
    });
    let folder =
        opened.map_err(|error| Failure::local(format!("cannot open the folder {host}"), error))?;
    Ok(Preopen::new(guest, OwnedFd::from(folder), read_only))
}

fn local(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Code::Local, error.to_string())
}

/// The answer on the streams of this process; `status` is that of a program.
fn finish(answer: &Answer, status: Option<i32>) -> Result<ExitCode, Failure> {
    let text = || String::from_utf8_lossy(&answer.body).into_owned();
    match (answer.outcome, status) {
        (Outcome::Returned, _) => {
            write_bytes(&answer.body)?;
            Ok(ExitCode::SUCCESS)
        }
        // A program that exits has said itself what there was to say.
        (Outcome::Failed, Some(status)) => Ok(ExitCode::from(status as u8)),
        (Outcome::Failed | Outcome::Trapped, _) => Err(Failure::new(Code::Function, text())),
        (Outcome::TimedOut, _) => Err(Failure::new(Code::TimedOut, text())),
        (Outcome::Refused, _) => Err(Failure::new(Code::Refused, text())),
        (Outcome::Lost, _) => Err(Failure::new(Code::Lost, text())),
    }
}

/// What lies outside the worker: nothing but the end of the call.
#[derive(Default)]
struct Ending {
    answer: Option<Answer>,
}

impl Outside for Ending {
    fn answer(&mut self, _number: u64, answer: Answer) {
        self.answer = Some(answer);
    }

    fn answer_peer(&mut self, _parent: Parent, _answer: Answer) {}

    fn depart(&mut self, departure: Departure, _load: usize) -> Option<Departure> {
        Some(departure)
    }

    fn pass_turn(&mut self, _: u32, _: &Arc<Function>) {}

    fn log(&mut self, _function: &Function, _call: &[u8; 16], line: LogLine) {
        eprintln!("{}", String::from_utf8_lossy(&line.text));
    }

    fn call_id(&mut self) -> [u8; 16] {
        rand::random()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_given_as_host_and_guest() {
        let dir = tempfile::tempdir().unwrap();
        let host = dir.path().display();
        assert!(preopen(&format!("{host}::/data")).is_ok());
        assert!(preopen(&format!("{host}::/data:ro")).is_ok());
        for bad in ["/data", "::/data", "/x::"] {
            assert_eq!(preopen(bad).unwrap_err().code, Code::Usage, "{bad}");
        }
        assert_eq!(preopen("/nowhere/at/all::/x").unwrap_err().code, Code::Local);
        assert_eq!(preopen("/dev/null::/x").unwrap_err().code, Code::Local);
    }
}
