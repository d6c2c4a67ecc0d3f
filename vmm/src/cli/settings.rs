//! The settings of a monitor: one list, as flags, as variables of the environment, and as keys of a
//! configuration file. What they mean is for `config`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use serde::{Deserialize, Serialize};

use super::parse;

/// What may be said of a monitor, in any of these ways; sizes and times as on the command line.
#[derive(Debug, Clone, Default, PartialEq, clap::Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Where calls over QUIC arrive [default: 127.0.0.1:7410]
    #[arg(long, env = "FAASLET_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Where HTTP arrives [default: 127.0.0.1:7411]
    #[arg(long, env = "FAASLET_HTTP", value_name = "ADDRESS")]
    pub http: Option<SocketAddr>,
    /// Where HTTP over TLS arrives, with the folder's certificate
    #[arg(long, env = "FAASLET_HTTP_TLS", value_name = "ADDRESS")]
    pub http_tls: Option<SocketAddr>,
    /// Worker threads of each cell [default: one for each processor]
    #[arg(long, env = "FAASLET_WORKERS")]
    pub workers: Option<usize>,
    /// Slots of each worker
    #[arg(long, env = "FAASLET_SLOTS")]
    pub slots: Option<usize>,
    /// Deadline of a call when nothing else says one
    #[arg(long, env = "FAASLET_TIMEOUT", value_parser = parse::time)]
    #[serde(with = "time")]
    pub timeout: Option<Duration>,
    /// End a tenant's cell after this long without calls
    #[arg(long, env = "FAASLET_IDLE_CELL", value_parser = parse::time)]
    #[serde(with = "time")]
    pub idle_cell: Option<Duration>,
    /// How long calls may take to end at shutdown
    #[arg(long, env = "FAASLET_DRAIN", value_parser = parse::time)]
    #[serde(with = "time")]
    pub drain: Option<Duration>,
    /// Most memory of a cell
    #[arg(long, env = "FAASLET_CELL_MEMORY", value_parser = parse::size)]
    #[serde(with = "size")]
    pub cell_memory: Option<u64>,
    /// Most memory of a builder
    #[arg(long, env = "FAASLET_BUILDER_MEMORY", value_parser = parse::size)]
    #[serde(with = "size")]
    pub builder_memory: Option<u64>,
    /// Versions of a function that are kept beside the current one
    #[arg(long, env = "FAASLET_KEEP_VERSIONS")]
    pub keep_versions: Option<usize>,
    /// Most memory for state, of all tenants
    #[arg(long, env = "FAASLET_STATE_MEMORY", value_parser = parse::size)]
    #[serde(with = "size")]
    pub state_memory: Option<u64>,
    /// Most memory for the state of one tenant
    #[arg(long, env = "FAASLET_STATE_MEMORY_PER_TENANT", value_parser = parse::size)]
    #[serde(with = "size")]
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
    /// Most memory for images, of all tenants; the least recently used go [default: 8G]
    #[arg(long, env = "FAASLET_IMAGE_MEMORY", value_parser = parse::size, value_name = "SIZE")]
    #[serde(with = "size")]
    pub image_memory: Option<u64>,
    /// Most slots of all cells together; those of the least recently used functions go
    /// [default: 32768]
    #[arg(long, env = "FAASLET_HOST_SLOTS")]
    pub host_slots: Option<u64>,
    /// Most bytes of modules, code and images on disk; old versions go to keep within it
    #[arg(long, env = "FAASLET_DISK_BUDGET", value_parser = parse::size, value_name = "SIZE")]
    #[serde(with = "size")]
    pub disk_budget: Option<u64>,
    /// Most bytes of a tenant's uploads that no function uses [default: 1G]
    #[arg(long, env = "FAASLET_UPLOAD_QUOTA", value_parser = parse::size, value_name = "SIZE")]
    #[serde(with = "size")]
    pub upload_quota: Option<u64>,
    /// What to do about a fence of a cell's jail that this machine cannot put up: start no cell
    /// (strict, the default for root), or say what is lost and go on (degrade)
    #[arg(long, env = "FAASLET_SANDBOX", value_name = "strict|degrade", value_parser = Sandbox::parse)]
    pub sandbox: Option<Sandbox>,
    /// Call functions whose image is larger than this before all of it is in memory, or never
    /// [default: 4M]
    #[arg(long, env = "FAASLET_LAZY_ABOVE", value_name = "SIZE|never",
          value_parser = parse::size_or_never)]
    #[serde(with = "size_or_never")]
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

/// What to do about a fence of a jail that the machine cannot put up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sandbox {
    /// Start no cell.
    Strict,
    /// Say what is lost, and go on.
    Degrade,
}

impl Sandbox {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "strict" => Ok(Self::Strict),
            "degrade" => Ok(Self::Degrade),
            _ => Err(format!("expected strict or degrade; found {text:?}")),
        }
    }
}

impl Settings {
    /// Reads a file of them; the error names the line.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }
}

/// Times, as the command line takes them.
#[allow(clippy::ref_option, reason = "the signature is serde's")]
mod time {
    use super::{Duration, parse};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn deserialize<'de, D>(from: D) -> Result<Option<Duration>, D::Error>
    where
        D: Deserializer<'de>,
    {
        parse::time(&String::deserialize(from)?).map(Some).map_err(D::Error::custom)
    }

    pub(super) fn serialize<S>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error>
    where
        S: Serializer,
    {
        let Some(time) = time else { return to.serialize_none() };
        to.collect_str(&format_args!("{}.{:09}s", time.as_secs(), time.subsec_nanos()))
    }
}

/// Sizes without a bound too.
#[allow(clippy::ref_option, reason = "the signature is serde's")]
mod size_or_never {
    use super::parse;
    pub(super) use super::size::serialize;
    use serde::{Deserialize, Deserializer, de::Error};

    pub(super) fn deserialize<'de, D>(from: D) -> Result<Option<u64>, D::Error>
    where
        D: Deserializer<'de>,
    {
        parse::size_or_never(&String::deserialize(from)?).map(Some).map_err(D::Error::custom)
    }
}

/// Sizes, as the command line takes them.
#[allow(clippy::ref_option, reason = "the signature is serde's")]
mod size {
    use super::parse;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn deserialize<'de, D>(from: D) -> Result<Option<u64>, D::Error>
    where
        D: Deserializer<'de>,
    {
        parse::size(&String::deserialize(from)?).map(Some).map_err(D::Error::custom)
    }

    pub(super) fn serialize<S>(bytes: &Option<u64>, to: S) -> Result<S::Ok, S::Error>
    where
        S: Serializer,
    {
        match bytes {
            Some(bytes) => to.collect_str(bytes),
            None => to.serialize_none(),
        }
    }
}
