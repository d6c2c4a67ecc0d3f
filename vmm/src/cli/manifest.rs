//! The TOML files that users write: the settings of a monitor, and the manifest of a project.
//! Text in, checked values out. What a setting means is for `config`, and what is built from a
//! project is for the script that builds it.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::parse;

/// Longest file.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The text of a file that is no longer than such a file may be, whatever kind of file it is.
pub fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        let what = format!("expected at most {MAX_FILE_BYTES} bytes; found more");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    Ok(text)
}

/// Settings of a monitor; sizes and times as on the command line.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    pub listen: Option<SocketAddr>,
    pub http: Option<SocketAddr>,
    pub http_tls: Option<SocketAddr>,
    pub workers: Option<usize>,
    pub slots: Option<usize>,
    #[serde(deserialize_with = "time")]
    pub timeout: Option<Duration>,
    #[serde(deserialize_with = "time")]
    pub idle_cell: Option<Duration>,
    #[serde(deserialize_with = "time")]
    pub drain: Option<Duration>,
    #[serde(deserialize_with = "size")]
    pub cell_memory: Option<u64>,
    #[serde(deserialize_with = "size")]
    pub builder_memory: Option<u64>,
    pub keep_versions: Option<usize>,
    #[serde(deserialize_with = "size")]
    pub state_memory: Option<u64>,
    #[serde(deserialize_with = "size")]
    pub state_memory_per_tenant: Option<u64>,
    pub state_values_per_tenant: Option<u64>,
    pub peers: Option<PathBuf>,
    pub host: Option<String>,
    pub peer_listen: Option<SocketAddr>,
    pub peer_keys: Option<PathBuf>,
    #[serde(deserialize_with = "size")]
    pub disk_budget: Option<u64>,
    #[serde(deserialize_with = "size")]
    pub upload_quota: Option<u64>,
    pub sandbox: Option<Sandbox>,
    #[serde(deserialize_with = "size_or_never")]
    pub lazy_above: Option<u64>,
    pub low_latency: Option<bool>,
    pub log: Option<String>,
    pub log_json: Option<bool>,
}

/// What to do about a fence of a jail that the machine cannot put up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sandbox {
    /// Start no cell.
    Strict,
    /// Say what is lost, and go on.
    Degrade,
}

impl Sandbox {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Degrade => "degrade",
        }
    }
}

impl Settings {
    /// Reads settings; the error names the line.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }
}

fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    parse::time(&String::deserialize(from)?).map(Some).map_err(D::Error::custom)
}

fn size<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    parse::size(&String::deserialize(from)?).map(Some).map_err(D::Error::custom)
}

fn size_or_never<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    parse::size_or_never(&String::deserialize(from)?).map(Some).map_err(D::Error::custom)
}

/// The name in a project's manifest: at its top, or in one of its tables.
pub fn name(text: &str, table: Option<&str>) -> Option<String> {
    let whole: toml::Table = text.parse().ok()?;
    let holder = match table {
        Some(table) => whole.get(table)?.as_table()?,
        None => &whole,
    };
    Some(holder.get("name")?.as_str()?.to_owned())
}

#[cfg(test)]
#[path = "manifest/tests.rs"]
mod tests;
