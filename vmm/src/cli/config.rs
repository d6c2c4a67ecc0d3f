//! What `up` is told: flags over environment over file over defaults, checked once.

use std::path::{Path, PathBuf};

use faaslet_sandbox::Strictness;

use super::exit::{Code, Failure};
use super::settings::{Sandbox, Settings};
use super::{manifest, peers};
use crate::monitor::state::PeersConfig;
use crate::monitor::{Config, MAX_WORKERS};

/// Settings of a monitor, as flags or environment give them, and where there are more.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Flags {
    #[command(flatten)]
    settings: Settings,
    /// Configuration file (TOML): the same settings as keys, without the dashes before them
    #[arg(long, env = "FAASLET_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl From<Sandbox> for Strictness {
    fn from(sandbox: Sandbox) -> Self {
        match sandbox {
            Sandbox::Strict => Self::Require,
            Sandbox::Degrade => Self::Degrade,
        }
    }
}

impl Flags {
    /// The configuration of a monitor over `dir`.
    pub fn config(&self, dir: PathBuf) -> Result<Config, Failure> {
        let mut config = Config::new(dir);
        let file = self.file()?;
        for layer in [&file, &self.settings] {
            layer.apply(&mut config);
        }
        check(&config)?;
        config.peers = others(&self.settings, &file, &config.dir)?;
        Ok(config)
    }

    /// What is logged, and whether as JSON.
    pub fn log(&self) -> Result<(String, bool), Failure> {
        let file = self.file()?;
        let Settings { log, log_json, .. } = &self.settings;
        let filter = log.clone().or(file.log).unwrap_or_else(|| "info".to_owned());
        Ok((filter, log_json.or(file.log_json).unwrap_or(false)))
    }

    fn file(&self) -> Result<Settings, Failure> {
        self.config.as_deref().map_or(Ok(Settings::default()), read)
    }
}

/// The list of hosts, if there is one.
fn others(flags: &Settings, file: &Settings, dir: &Path) -> Result<Option<PeersConfig>, Failure> {
    let Some(list) = flags.peers.as_ref().or(file.peers.as_ref()) else { return Ok(None) };
    let host = flags.host.as_ref().or(file.host.as_ref()).ok_or_else(|| {
        Failure::new(Code::Usage, "expected --host NAME beside --peers: which host this is")
    })?;
    let keys = flags.peer_keys.as_ref().or(file.peer_keys.as_ref());
    let keys = keys.cloned().unwrap_or_else(|| dir.join(peers::KEYS_FOLDER));
    peers::config(list, host, flags.peer_listen.or(file.peer_listen), &keys).map(Some)
}

impl Settings {
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
        set(&mut config.image_memory_bytes, self.image_memory);
        set(&mut config.host_slots, self.host_slots);
        config.disk_budget_bytes = self.disk_budget.or(config.disk_budget_bytes);
        set(&mut config.upload_quota_bytes, self.upload_quota);
        set(&mut config.lazy_above_bytes, self.lazy_above);
        set(&mut config.lazy_above_bytes, self.lazy_above);
        set(&mut config.low_latency, self.low_latency);
        set(&mut config.sandbox, self.sandbox.map(Into::into));
    }
}

fn read(path: &Path) -> Result<Settings, Failure> {
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::new(Code::Usage, format!("configuration {}: {error}", path.display()))
    };
    let text = manifest::read(path).map_err(|error| wrong(&error))?;
    Settings::parse(&text).map_err(|error| wrong(&error))
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
    use std::time::Duration;

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
        let settings = Settings { workers: Some(2), ..Settings::default() };
        let flags = Flags { config: Some(path), settings };
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
        let settings = Settings {
            low_latency: Some(false),
            log: Some("warn".to_owned()),
            log_json: Some(false),
            ..Settings::default()
        };
        let flags = Flags { settings, ..flags };
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
