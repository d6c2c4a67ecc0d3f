//! `state`: values of a tenant, from the command line.

mod backup;
mod put;
mod salvage;

use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use indicatif::ProgressBar;
use serde_json::json;
use ureq::http::Method;

use super::Context;
use super::client::{At, Client, Right, escaped};
use super::exit::Failure;
use super::output::{bytes, duration, write_all};
use super::parse;
use crate::api::{StateDiff, StateInfo, StateList, StateVersion};

/// Bytes that are copied at once.
const PART_BYTES: usize = 256 << 10;
/// A value that is longer shows how far it is, on a terminal.
const SHOWN_BYTES: u64 = 8 << 20;
/// How long one question of `watch` waits.
const WATCH: Duration = Duration::from_secs(25);

/// Values that functions share.
#[derive(Debug, Subcommand)]
pub enum State {
    /// List values
    Ls(At<List>),
    /// Write a value, or a part of it, to standard output or a file
    Get(At<Get>),
    /// Make a value of a file or standard input, or write over a part of it
    Put(At<put::Put>),
    /// Append a file or standard input to a value
    Append(At<put::Append>),
    /// Say what is known of a value
    Stat(At<Named>),
    /// List the versions of a value that are kept
    Versions(At<Named>),
    /// Say what differs between two versions
    Diff(At<Diff>),
    /// Delete a value
    Rm(At<Remove>),
    /// Tell each new version of a value as it comes
    Watch(At<Watch>),
    /// Write all durable values to a file
    Export(At<backup::Export>),
    /// Take values from such a file
    Import(At<backup::Import>),
    /// Look whether what a monitor that does not run has stored is whole
    Check(At<salvage::Check>),
    /// Write what is whole of a damaged store to such files
    Salvage(At<salvage::Salvage>),
}

/// List values.
#[derive(Debug, clap::Args)]
pub struct List {
    /// What their keys begin with
    #[arg(default_value = "")]
    prefix: String,
}

/// A value.
#[derive(Debug, clap::Args)]
pub struct Named {
    /// Its key
    key: String,
}

/// Write a value out.
#[derive(Debug, clap::Args)]
pub struct Get {
    /// Its key
    key: String,
    /// The file, instead of standard output
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Only these bytes, such as 0-99, 100- or -100
    #[arg(long, value_name = "RANGE", allow_hyphen_values = true)]
    range: Option<String>,
    /// A version that is kept, instead of the newest
    #[arg(long)]
    version: Option<String>,
}

/// Compare two versions.
#[derive(Debug, clap::Args)]
pub struct Diff {
    /// The value's key
    key: String,
    /// One version
    from: String,
    /// The other
    to: String,
}

/// Delete a value.
#[derive(Debug, clap::Args)]
pub struct Remove {
    /// Its key
    key: String,
    /// Only if it is at this version
    #[arg(long, value_name = "VERSION")]
    if_version: Option<String>,
}

/// Watch a value.
#[derive(Debug, clap::Args)]
pub struct Watch {
    /// Its key
    key: String,
    /// End after so many versions
    #[arg(long)]
    count: Option<u64>,
    /// End after this time
    #[arg(long, value_parser = parse::time)]
    r#for: Option<Duration>,
}

impl State {
    pub fn run(self, mut context: Context) -> Result<(), Failure> {
        let target = &mut context.target;
        match self {
            Self::Ls(at) => at.into_command(target).run(&context),
            Self::Get(at) => at.into_command(target).run(&context),
            Self::Put(at) => at.into_command(target).run(&context),
            Self::Append(at) => at.into_command(target).run(&context),
            Self::Stat(at) => at.into_command(target).stat(&context),
            Self::Versions(at) => at.into_command(target).versions(&context),
            Self::Diff(at) => at.into_command(target).run(&context),
            Self::Rm(at) => at.into_command(target).run(&context),
            Self::Watch(at) => at.into_command(target).run(&context),
            Self::Export(at) => at.into_command(target).run(&context),
            Self::Import(at) => at.into_command(target).run(&context),
            Self::Check(at) => at.into_command(target).run(&context),
            Self::Salvage(at) => at.into_command(target).run(&context),
        }
    }
}

/// The path of a value.
fn path(key: &str) -> String {
    format!("/v1/state/{}", escaped(key))
}

fn info(client: &Client, key: &str) -> Result<StateInfo, Failure> {
    client.get(&format!("/v1/state-info/{}", escaped(key)))
}

/// All values with a prefix.
fn all(client: &Client, prefix: &str) -> Result<Vec<StateInfo>, Failure> {
    let mut values: Vec<StateInfo> = Vec::new();
    loop {
        let after = values.last().map_or("", |value| &value.key);
        let path = format!("/v1/state?prefix={}&after={}", escaped(prefix), escaped(after));
        let StateList { values: more_values, more } = client.get(&path)?;
        let end = more_values.is_empty() || !more;
        values.extend(more_values);
        if end {
            return Ok(values);
        }
    }
}

fn progress(len: u64) -> ProgressBar {
    if len > SHOWN_BYTES { ProgressBar::new(len) } else { ProgressBar::hidden() }
}

/// Copies what comes, and shows how far it is.
fn copy(from: &mut dyn Read, to: &mut dyn Write, len: u64) -> Result<u64, Failure> {
    let failed = |error| Failure::local("cannot copy the value", error);
    let bar = progress(len);
    let mut part = vec![0; PART_BYTES];
    let mut copied = 0;
    loop {
        let read = from.read(&mut part).map_err(failed)?;
        if read == 0 {
            break;
        }
        to.write_all(&part[..read]).map_err(failed)?;
        copied += read as u64;
        bar.set_position(copied);
    }
    bar.finish_and_clear();
    to.flush().map_err(failed)?;
    Ok(copied)
}

impl List {
    fn run(&self, context: &Context) -> Result<(), Failure> {
        let values = all(&context.target.http(Right::Tenant)?, &self.prefix)?;
        context.output.list(&values, &["KEY", "SIZE", "VERSION", "ELEMENT", "RULE", "KEPT"], || {
            values.iter().map(row).collect()
        })
    }
}

fn row(value: &StateInfo) -> Vec<String> {
    if value.lost {
        return [&*value.key, "-", "-", "-", "-", "lost"].map(str::to_owned).into();
    }
    let kept = if value.durable { "durable" } else { "memory" };
    vec![
        value.key.clone(),
        bytes(value.len),
        value.version.clone(),
        value.element.clone(),
        value.rule.clone(),
        kept.to_owned(),
    ]
}

impl Named {
    fn stat(&self, context: &Context) -> Result<(), Failure> {
        let info = info(&context.target.http(Right::Tenant)?, &self.key)?;
        context.output.show(&info, || {
            let StateInfo { key, len, version, made, element, rule, quota_bytes, .. } = &info;
            let kept = if info.durable { "durable" } else { "in memory" };
            format!(
                "{key}: {len} bytes, version {version} (made as {made}), {kept}\n\
                 {element} merged by {rule}, at most {}, {} older versions kept",
                bytes(*quota_bytes),
                info.keep_versions
            )
        })
    }

    fn versions(&self, context: &Context) -> Result<(), Failure> {
        let path = format!("/v1/state-versions/{}", escaped(&self.key));
        let versions: Vec<StateVersion> = context.target.http(Right::Tenant)?.get(&path)?;
        context.output.list(&versions, &["VERSION", "SIZE", "CHANGED", "AGE"], || {
            let row = |version: &StateVersion| {
                let age = duration(Duration::from_millis(version.age_ms));
                vec![version.version.clone(), bytes(version.len), bytes(version.changed_bytes), age]
            };
            versions.iter().map(row).collect()
        })
    }
}

impl Get {
    fn run(&self, context: &Context) -> Result<(), Failure> {
        let client = context.target.http(Right::Tenant)?;
        let version = self.version.as_ref();
        let query = version.map(|version| format!("?version={}", escaped(version)));
        let path = path(&self.key) + &query.unwrap_or_default();
        let range = self.range.as_ref().map(|range| format!("bytes={range}"));
        let headers: Vec<(&str, &str)> = range.iter().map(|range| ("range", &**range)).collect();
        let response = client.send(Method::GET, &path, &headers, &[])?;
        let len = response.body().content_length().unwrap_or(0);
        let mut body = response.into_body().into_reader();
        match &self.out {
            None => copy(&mut body, &mut std::io::stdout().lock(), len)?,
            Some(path) => {
                let file = File::create(path);
                let mut file = file.map_err(|error| {
                    Failure::local(format!("cannot write {}", path.display()), error)
                })?;
                copy(&mut body, &mut file, len)?
            }
        };
        Ok(())
    }
}

impl Diff {
    fn run(&self, context: &Context) -> Result<(), Failure> {
        let (from, to) = (escaped(&self.from), escaped(&self.to));
        let path = format!("/v1/state-diff/{}?from={from}&to={to}", escaped(&self.key));
        let diff: StateDiff = context.target.http(Right::Tenant)?.get(&path)?;
        context.output.list(&diff, &["AT", "BYTES"], || {
            let rows = diff.changes.iter();
            let mut rows: Vec<_> =
                rows.map(|change| vec![change.at.to_string(), change.len.to_string()]).collect();
            if !diff.complete {
                rows.push(vec!["more".to_owned(), String::new()]);
            }
            rows
        })
    }
}

impl Remove {
    fn run(&self, context: &Context) -> Result<(), Failure> {
        let client = context.target.http(Right::Tenant)?;
        let tag = self.if_version.as_ref().map(|version| format!("\"{version}\""));
        let headers: Vec<(&str, &str)> = tag.iter().map(|tag| ("if-match", &**tag)).collect();
        client.send(Method::DELETE, &path(&self.key), &headers, &[])?;
        context.output.show(&json!({ "deleted": self.key }), || format!("{} deleted", self.key))
    }
}

impl Watch {
    fn run(&self, context: &Context) -> Result<(), Failure> {
        let client = context.target.http(Right::Tenant)?;
        let until = self.r#for.map(|time| std::time::Instant::now() + time);
        let mut value = info(&client, &self.key)?;
        let mut left = self.count;
        loop {
            let line = if context.output.json {
                serde_json::to_string(&value).unwrap_or_default()
            } else {
                format!("{} {} bytes", value.version, value.len)
            };
            write_all(&(line + "\n"))?;
            left = left.map(|left| left.saturating_sub(1));
            let known = value.version.clone();
            while value.version == known {
                let now = std::time::Instant::now();
                let wait = until.map_or(WATCH, |until| until.saturating_duration_since(now));
                if left == Some(0) || wait.is_zero() {
                    return Ok(());
                }
                let wait = wait.min(WATCH).as_millis();
                let key = escaped(&self.key);
                value = client.get(&format!(
                    "/v1/state-info/{key}?known={}&wait_ms={wait}",
                    escaped(&known)
                ))?;
            }
        }
    }
}
