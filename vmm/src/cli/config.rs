//! What `up` is told: flags over environment over file over defaults, checked once.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::BoolishValueParser;
use faaslet_sandbox::Strictness;

use super::exit::{Code, Failure};
use super::manifest::{self, Sandbox, Settings};
use super::{parse, peers};
use crate::monitor::state::PeersConfig;
use crate::monitor::{Config, MAX_WORKERS};

/// Settings of a monitor, as flags or environment give them.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Flags {
    /// Where calls over QUIC arrive [default: 127.0.0.1:7410]
    #[arg(long, env = "FAASLET_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Where HTTP arrives [default: 127.0.0.1:7411]
    #[arg(long, env = "FAASLET_HTTP", value_name = "ADDRESS")]
    pub http: Option<SocketAddr>,
    /// Where HTTP over TLS arrives, with the folder's certificate
    #[arg(long, env = "FAASLET_HTTP_TLS", value_name = "ADDRESS")]
    pub http_tls: Option<SocketAddr>,
    /// Configuration file (TOML)
    #[arg(long, env = "FAASLET_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Worker threads of each cell [default: one for each processor]
    #[arg(long, env = "FAASLET_WORKERS")]
    pub workers: Option<usize>,
    /// Slots of each worker
    #[arg(long, env = "FAASLET_SLOTS")]
    pub slots: Option<usize>,
    /// Deadline of a call when nothing else says one
    #[arg(long, env = "FAASLET_TIMEOUT", value_parser = parse::time)]
    pub timeout: Option<Duration>,
    /// End a tenant's cell after this long without calls
    #[arg(long, env = "FAASLET_IDLE_CELL", value_parser = parse::time)]
    pub idle_cell: Option<Duration>,
    /// How long calls may take to end at shutdown
    #[arg(long, env = "FAASLET_DRAIN", value_parser = parse::time)]
    pub drain: Option<Duration>,
    /// Most memory of a cell
    #[arg(long, env = "FAASLET_CELL_MEMORY", value_parser = parse::size)]
    pub cell_memory: Option<u64>,
    /// Most memory of a builder
    #[arg(long, env = "FAASLET_BUILDER_MEMORY", value_parser = parse::size)]
    pub builder_memory: Option<u64>,
    /// Versions of a function that are kept beside the current one
    #[arg(long, env = "FAASLET_KEEP_VERSIONS")]
    pub keep_versions: Option<usize>,
    /// Most memory for state, of all tenants
    #[arg(long, env = "FAASLET_STATE_MEMORY", value_parser = parse::size)]
    pub state_memory: Option<u64>,
    /// Most memory for the state of one tenant
    #[arg(long, env = "FAASLET_STATE_MEMORY_PER_TENANT", value_parser = parse::size)]
    pub state_memory_per_tenant: Option<u64>,
    /// Most values of one tenant
    #[arg(long, env = "FAASLET_STATE_VALUES_PER_TENANT")]
    pub state_values_per_tenant: Option<u64>,
    /// The hosts that share state: a file with a line `NAME ADDRESS` for each
    #[arg(long, env = "FAASLET_PEERS", value_name = "FILE", requires = "host")]
    pub peers: Option<PathBuf>,
    /// Which of them this is
    #[arg(long, env = "FAASLET_HOST", value_name = "NAME")]
    pub host: Option<String>,
    /// Where this one listens for the others [default: its address in the file]
    #[arg(long, env = "FAASLET_PEER_LISTEN", value_name = "ADDRESS")]
    pub peer_listen: Option<SocketAddr>,
    /// Its keys, made by `faaslet peers init` [default: `peer` in the monitor's folder]
    #[arg(long, env = "FAASLET_PEER_KEYS", value_name = "FOLDER")]
    pub peer_keys: Option<PathBuf>,
    /// Most bytes of modules, code and images on disk; old versions go to keep within it
    #[arg(long, env = "FAASLET_DISK_BUDGET", value_parser = parse::size, value_name = "SIZE")]
    pub disk_budget: Option<u64>,
    /// Most bytes of a tenant's uploads that no function uses [default: 1G]
    #[arg(long, env = "FAASLET_UPLOAD_QUOTA", value_parser = parse::size, value_name = "SIZE")]
    pub upload_quota: Option<u64>,
    /// What to do about a fence of a cell's jail that this machine cannot put up: start no cell
    /// (strict, the default for root), or say what is lost and go on (degrade)
    #[arg(long, env = "FAASLET_SANDBOX", value_name = "strict|degrade", value_parser = sandbox)]
    pub sandbox: Option<Sandbox>,
    /// Call functions whose image is larger than this before all of it is in memory, or never
    /// [default: 4M]
    #[arg(long, env = "FAASLET_LAZY_ABOVE", value_name = "SIZE|never",
          value_parser = parse::size_or_never)]
    pub lazy_above: Option<u64>,
    /// Keep the processor awake: faster answers, more power
    #[arg(long, env = "FAASLET_LOW_LATENCY", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_name = "BOOL",
          value_parser = BoolishValueParser::new())]
    pub low_latency: Option<bool>,
    /// What is logged: error, warn, info, debug, trace, or a filter such as `faaslet_vmm=debug`
    /// [default: info]
    #[arg(long, env = "FAASLET_LOG")]
    pub log: Option<String>,
    /// Log as JSON
    #[arg(long, env = "FAASLET_LOG_JSON", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_name = "BOOL",
          value_parser = BoolishValueParser::new())]
    pub log_json: Option<bool>,
}

impl From<Sandbox> for Strictness {
    fn from(sandbox: Sandbox) -> Self {
        match sandbox {
            Sandbox::Strict => Self::Require,
            Sandbox::Degrade => Self::Degrade,
        }
    }
}

impl From<Settings> for Flags {
    fn from(file: Settings) -> Self {
        Self {
            listen: file.listen,
            http: file.http,
            http_tls: file.http_tls,
            config: None,
            workers: file.workers,
            slots: file.slots,
            timeout: file.timeout,
            idle_cell: file.idle_cell,
            drain: file.drain,
            cell_memory: file.cell_memory,
            builder_memory: file.builder_memory,
            keep_versions: file.keep_versions,
            state_memory: file.state_memory,
            state_memory_per_tenant: file.state_memory_per_tenant,
            state_values_per_tenant: file.state_values_per_tenant,
            peers: file.peers,
            host: file.host,
            peer_listen: file.peer_listen,
            peer_keys: file.peer_keys,
            disk_budget: file.disk_budget,
            upload_quota: file.upload_quota,
            sandbox: file.sandbox,
            lazy_above: file.lazy_above,
            low_latency: file.low_latency,
            log: file.log,
            log_json: file.log_json,
        }
    }
}

impl Flags {
    /// The configuration of a monitor over `dir`.
    pub fn config(&self, dir: PathBuf) -> Result<Config, Failure> {
        let mut config = Config::new(dir);
        let file = self.file()?;
        for layer in [&file, self] {
            layer.apply(&mut config);
        }
        check(&config)?;
        config.peers = self.others(&file, &config.dir)?;
        Ok(config)
    }

    /// What is logged, and whether as JSON.
    pub fn log(&self) -> Result<(String, bool), Failure> {
        let file = self.file()?;
        let filter = self.log.clone().or(file.log).unwrap_or_else(|| "info".to_owned());
        Ok((filter, self.log_json.or(file.log_json).unwrap_or(false)))
    }

    fn file(&self) -> Result<Self, Failure> {
        self.config.as_deref().map_or(Ok(Self::default()), read)
    }

    /// The list of hosts, if there is one.
    fn others(&self, file: &Self, dir: &Path) -> Result<Option<PeersConfig>, Failure> {
        let Some(list) = self.peers.as_ref().or(file.peers.as_ref()) else { return Ok(None) };
        let host = self.host.as_ref().or(file.host.as_ref()).ok_or_else(|| {
            Failure::new(Code::Usage, "expected --host NAME beside --peers: which host this is")
        })?;
        let keys = self.peer_keys.as_ref().or(file.peer_keys.as_ref());
        let keys = keys.cloned().unwrap_or_else(|| dir.join(peers::KEYS_FOLDER));
        peers::config(list, host, self.peer_listen.or(file.peer_listen), &keys).map(Some)
    }

    fn apply(&self, config: &mut Config) {
        fn set<T: Copy>(target: &mut T, value: Option<T>) {
            *target = value.unwrap_or(*target);
        }
        set(&mut config.listen, self.listen);
        set(&mut config.http, self.http);
        config.http_tls = self.http_tls.or(config.http_tls);
        set(&mut config.workers, self.workers);
        set(&mut config.slots, self.slots);
        set(&mut config.timeout, self.timeout);
        set(&mut config.idle_cell, self.idle_cell);
        set(&mut config.drain, self.drain);
        set(&mut config.cell_memory_bytes, self.cell_memory);
        set(&mut config.builder_memory_bytes, self.builder_memory);
        set(&mut config.keep_versions, self.keep_versions);
        set(&mut config.state.bytes, self.state_memory);
        set(&mut config.state.bytes_per_tenant, self.state_memory_per_tenant);
        set(&mut config.state.values_per_tenant, self.state_values_per_tenant);
        config.disk_budget_bytes = self.disk_budget.or(config.disk_budget_bytes);
        set(&mut config.upload_quota_bytes, self.upload_quota);
        set(&mut config.lazy_above_bytes, self.lazy_above);
        set(&mut config.low_latency, self.low_latency);
        set(&mut config.sandbox, self.sandbox.map(Into::into));
    }
}

fn sandbox(text: &str) -> Result<Sandbox, String> {
    let both = [Sandbox::Strict, Sandbox::Degrade];
    let found = both.into_iter().find(|sandbox| sandbox.word() == text);
    found.ok_or_else(|| format!("expected strict or degrade; found {text:?}"))
}

fn read(path: &Path) -> Result<Flags, Failure> {
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::new(Code::Usage, format!("configuration {}: {error}", path.display()))
    };
    let text = manifest::read(path).map_err(|error| wrong(&error))?;
    Settings::parse(&text).map(Flags::from).map_err(|error| wrong(&error))
}

fn check(config: &Config) -> Result<(), Failure> {
    let counts = [("workers", config.workers, MAX_WORKERS), ("slots", config.slots, 16_384)];
    for (name, found, most) in counts {
        if found == 0 || found > most {
            let what = format!("expected 1 to {most} {name}; found {found}; change --{name}");
            return Err(Failure::new(Code::Usage, what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("faaslet.toml");
        std::fs::write(&path, text).unwrap();
        (dir, path)
    }

    #[test]
    fn flags_go_over_the_file_and_the_file_over_defaults() {
        let (_dir, path) = file(
            "workers = 3\nslots = 100\ntimeout = \"5s\"\nlow-latency = true\ndisk-budget = \"2G\"\n",
        );
        let flags = Flags { config: Some(path), workers: Some(2), ..Flags::default() };
        let config = flags.config("/nowhere".into()).unwrap();
        assert_eq!((config.workers, config.slots), (2, 100));
        assert_eq!(config.timeout, Duration::from_secs(5));
        assert!(config.low_latency);
        assert_eq!(config.disk_budget_bytes, Some(2 << 30));
        assert_eq!(config.drain, Config::new("/".into()).drain);
    }

    #[test]
    fn a_flag_turns_off_what_the_file_turns_on() {
        let (_dir, path) = file("low-latency = true\nlog = \"debug\"\nlog-json = true\n");
        let flags = Flags { config: Some(path), ..Flags::default() };
        assert!(flags.config("/nowhere".into()).unwrap().low_latency);
        assert_eq!(flags.log(), Ok(("debug".to_owned(), true)));
        let flags = Flags {
            low_latency: Some(false),
            log: Some("warn".to_owned()),
            log_json: Some(false),
            ..flags
        };
        assert!(!flags.config("/nowhere".into()).unwrap().low_latency);
        assert_eq!(flags.log(), Ok(("warn".to_owned(), false)));
        assert_eq!(Flags::default().log(), Ok(("info".to_owned(), false)));
    }

    #[test]
    fn a_wrong_file_is_a_usage_error_that_names_it() {
        for text in ["wrokers = 3", "workers = \"x\"", "timeout = \"5 parsecs\"", "workers = 0"] {
            let (_dir, path) = file(text);
            let flags = Flags { config: Some(path.clone()), ..Flags::default() };
            let failure = flags.config("/nowhere".into()).unwrap_err();
            assert_eq!(failure.code, Code::Usage, "{text}");
            let named = failure.message.contains(&*path.to_string_lossy());
            assert!(named || failure.message.contains("--workers"), "{}", failure.message);
        }
        let flags = Flags { config: Some("/nowhere/at/all".into()), ..Flags::default() };
        assert_eq!(flags.config("/".into()).unwrap_err().code, Code::Usage);
    }
}
