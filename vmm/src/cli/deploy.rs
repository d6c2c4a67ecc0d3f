//! `deploy`: build, upload, bake, store.

use std::io::{BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use indicatif::{ProgressBar, ProgressStyle};
use ureq::http::Method;

use super::call::CliMode;
use super::client::{Client, Right, problem_failure};
use super::exit::{Code, Failure};
use super::functions::secrets;
use super::output::{bytes, duration, short};
use super::{Context, build, parse, runtime};
use crate::api::{DeployEvent, DeployRequest, DeployedInfo, ModuleInfo};

/// How often a line of progress is drawn anew.
const TICK: Duration = Duration::from_millis(100);

/// Build, bake and store a function, so that it can be called.
#[derive(Debug, clap::Args)]
pub struct Deploy {
    /// A module (.wasm), a source file in C, C++ or Python, or a project folder
    path: PathBuf,
    /// Its name [default: the file's or the project's]
    #[arg(long)]
    name: Option<String>,
    /// The way that calls go in
    #[arg(long, default_value = "fork")]
    mode: CliMode,
    /// Most linear memory, such as 256M
    #[arg(long, value_parser = parse::size)]
    memory: Option<u64>,
    /// Deadline of a call that names none, such as 10s
    #[arg(long, value_parser = parse::time)]
    timeout: Option<Duration>,
    /// Time for the initialisation, such as 60s
    #[arg(long, value_parser = parse::time)]
    init_timeout: Option<Duration>,
    /// Faaslets of it that run at the same time
    #[arg(long)]
    concurrency: Option<u32>,
    /// Environment, as NAME=VALUE; replaces all of it, and none given leaves it as it is
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse::pair)]
    env: Vec<(String, String)>,
    /// A secret from a file, as NAME=FILE; replaces all secrets, and none given leaves them
    #[arg(long, value_name = "NAME=FILE", value_parser = parse::pair)]
    secret_file: Vec<(String, String)>,
    /// A folder that the operator granted, by the name that the guest sees; there at the bake too
    #[arg(long = "dir", value_name = "GUEST")]
    folders: Vec<String>,
    /// An input to run before the image is taken
    #[arg(long, value_name = "FILE")]
    warm: Vec<PathBuf>,
    /// An argument of a WASI command
    #[arg(long = "arg", value_name = "TEXT", allow_hyphen_values = true)]
    args: Vec<String>,
}

impl Deploy {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let progress = Progress::new(!context.output.json);
        let client = context.target.http(Right::Tenant)?;
        let python = build::is_python(&self.path);
        if python {
            runtime::ensure(&context.target, &progress)?;
        }
        let built = build::module(&self.path, &progress)?;
        let name = self.name.clone().or(built.name.clone()).ok_or_else(|| {
            Failure::new(Code::Usage, "no name for the function; give one with --name")
        })?;
        let module = upload(&client, built.path(), &progress)?;
        let request = self.request(module, python.then(|| runtime::PYTHON.to_owned()))?;
        let deployed = deploy(&client, &name, &request, &progress)?;
        progress.done();
        context.output.show(&deployed, || summary(&deployed))
    }

    fn request(&self, module: String, base: Option<String>) -> Result<DeployRequest, Failure> {
        let warm = |path: &PathBuf| {
            let bytes = std::fs::read(path).map_err(|error| {
                Failure::local(format!("cannot read {}", path.display()), error)
            })?;
            Ok(BASE64_STANDARD.encode(bytes))
        };
        Ok(DeployRequest {
            module,
            base,
            mode: self.mode.into(),
            memory_bytes: self.memory,
            timeout_ms: self.timeout.map(|time| time.as_millis().max(1) as u64),
            concurrency: self.concurrency,
            initialise_ms: self.init_timeout.map(|time| time.as_millis().max(1) as u64),
            env: self.env.clone(),
            secrets: secrets(&self.secret_file)?,
            folders: self.folders.clone(),
            args: self.args.clone(),
            warm: self.warm.iter().map(warm).collect::<Result<_, Failure>>()?,
        })
    }
}

/// Uploads a file; its hash.
pub fn upload(client: &Client, path: &Path, progress: &Progress) -> Result<String, Failure> {
    let failed = |error| Failure::local(format!("cannot read {}", path.display()), error);
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    progress.step(&format!("upload {}", bytes(size)));
    let info: ModuleInfo = client.upload("/v1/modules", &mut file)?;
    Ok(info.module)
}

/// Deploys what was uploaded.
pub fn deploy(
    client: &Client,
    name: &str,
    request: &DeployRequest,
    progress: &Progress,
) -> Result<DeployedInfo, Failure> {
    let path = format!("/v1/functions/{name}");
    let stream = client.stream(Method::PUT, &path, Some(request))?;
    for line in BufReader::new(stream).lines() {
        let line = line.map_err(|error| lost(&error))?;
        match serde_json::from_str(&line).map_err(|error| lost(&error))? {
            DeployEvent::Phase { phase } => progress.step(phase.name()),
            DeployEvent::Log { line } => progress.say(&line),
            DeployEvent::Store => progress.step("store"),
            DeployEvent::Deployed(info) => return Ok(info),
            DeployEvent::Failed(problem) => return Err(problem_failure(&problem)),
        }
    }
    Err(lost(&"the monitor ended the answer"))
}

fn lost(error: &dyn std::fmt::Display) -> Failure {
    let what =
        format!("cannot tell whether it is deployed ({error}); look with `faaslet versions`");
    Failure::new(Code::Lost, what)
}

fn summary(info: &DeployedInfo) -> String {
    let image = info.image.as_deref().map_or("no image".to_owned(), |id| {
        format!("image {} ({})", short(id), bytes(info.image_bytes))
    });
    let phases: Vec<String> = info
        .phases
        .iter()
        .map(|(phase, us)| format!("{} {}", phase.name(), duration(Duration::from_micros(*us))))
        .collect();
    let phases = match phases.as_slice() {
        [] => "an earlier bake served".to_owned(),
        phases => phases.join(", "),
    };
    let code = match &info.base {
        None => format!("code {}", bytes(info.artefact_bytes)),
        Some(base) => format!("on the runtime {base}"),
    };
    format!(
        "{name} is at version {version}: {code}, {image}\n  {phases}\n  call it: faaslet call {name}",
        name = info.name,
        version = info.version,
    )
}

/// Progress on standard error: a line for each step, and how long it took.
pub struct Progress {
    visible: bool,
    bar: ProgressBar,
    current: std::cell::RefCell<Option<(String, Instant)>>,
}

impl Progress {
    /// Shown only when it is `visible`, and drawn only on a terminal.
    pub fn new(visible: bool) -> Self {
        let drawn = visible && std::io::stderr().is_terminal();
        let bar = if drawn { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        Self { visible, bar, current: std::cell::RefCell::default() }
    }

    /// A step begins, and so the one before ends.
    pub fn step(&self, name: &str) {
        self.end_step();
        self.bar.set_message(name.to_owned());
        self.bar.reset_elapsed();
        self.bar.enable_steady_tick(TICK);
        *self.current.borrow_mut() = Some((name.to_owned(), Instant::now()));
    }

    /// A line beside it.
    pub fn say(&self, line: &str) {
        if self.visible {
            self.bar.suspend(|| eprintln!("  | {line}"));
        }
    }

    /// All is done.
    pub fn done(&self) {
        self.end_step();
        self.bar.finish_and_clear();
    }

    fn end_step(&self) {
        let Some((name, began)) = self.current.borrow_mut().take() else { return };
        if self.visible {
            self.bar.suspend(|| eprintln!("  {name:24} {}", duration(began.elapsed())));
        }
    }
}
